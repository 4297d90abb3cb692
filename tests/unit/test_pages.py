"""The targets of the pages' links exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from listener.local.up import SHOWN

REPOSITORY = Path(__file__).parents[2]
PAGES = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("examples/**/*.md")]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]+)?\)")
SOURCE = re.compile(r"`((?:listener|migrations|schema|tools|tests|handlers|docs)/[\w/.*]+)`")


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_pages_and_headings(page: Path):
    """Of this repository; others change without asking."""
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), f"{target}{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_files_that_pages_name_exist(page: Path):
    """A renamed file is renamed there, too; `listener init` writes some of them."""
    for name in SOURCE.findall(page.read_text(encoding="utf-8")):
        written = REPOSITORY / "listener" / "starter" / f"{name}.template"
        assert written.exists() or list(REPOSITORY.glob(name.rstrip("/"))), name


@pytest.mark.parametrize("name", ["README.md", "docs/getting-started.md", "docs/client.md"])
def test_the_variables_that_a_page_uses_are_those_that_the_stack_prints(name: str):
    """A reader copies them from there."""
    used = set(re.findall(r"\$\{?([A-Z][A-Z_]{3,})", (REPOSITORY / name).read_text(encoding="utf-8")))
    assert used <= set(SHOWN)
