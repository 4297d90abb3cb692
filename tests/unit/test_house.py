"""Modules and functions stay small enough to be read at one sitting, whichever folder they lie in."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "listener").rglob("*.py"))
MOST_LINES_OF_A_MODULE = 300
MOST_LINES_OF_A_FUNCTION = 60


def functions(source: str) -> Iterator[tuple[str, int]]:
    """The name of each function and its lines, from the signature to the end, without the docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            reported = ast.get_docstring(node, clean=False) is not None
            docstring = first.end_lineno - first.lineno + 1 if reported else 0
            yield node.name, node.end_lineno - node.lineno + 1 - docstring


def test_the_sources_are_found():
    """An empty list would satisfy any rule."""
    assert len(SOURCES) > 50


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_too_long(path):
    """Comments and docstrings count: they are read too."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES_OF_A_MODULE


def test_no_function_is_too_long():
    """It fits on a screen."""
    each = [found for path in SOURCES for found in functions(path.read_text(encoding="utf-8"))]
    assert [name for name, lines in each if lines > MOST_LINES_OF_A_FUNCTION] == []


def test_a_docstring_does_not_make_a_function_long():
    """It says more where there is more to say; every other line counts, comments and the signature included."""
    source = 'async def f(\n    a,\n):\n    """Words.\n\n    More words.\n    """\n\n    # a reason\n    return a\n'
    assert list(functions(source)) == [("f", 6)]
