"""The glossary explains every class that the stages of the service are made of."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
PACKAGES = ("app", "scheduling", "runs", "execution", "maintenance")
MODULES = sorted(path for each in PACKAGES for path in (ROOT / "listener" / each).glob("*.py"))


def public_classes(path: Path) -> list[str]:
    """The names of a module's classes that others may use."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [each.name for each in tree.body if isinstance(each, ast.ClassDef) and not each.name.startswith("_")]


CLASSES = [(path, name) for path in [*MODULES, ROOT / "listener/domain/messages.py"] for name in public_classes(path)]


@pytest.mark.parametrize("name", [name for _, name in CLASSES])
def test_each_class_of_the_stages_has_its_entry(name: str):
    """In bold, in the first column of a table."""
    rows = re.findall(r"^\| (\*\*.+?) \|", PAGE, re.MULTILINE)
    entries = {term for row in rows for term in re.findall(r"\*\*(.+?)\*\*", row)}
    assert name in entries


def test_the_classes_are_found():
    """An empty list would satisfy any rule."""
    assert len(CLASSES) > 40
