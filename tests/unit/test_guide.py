"""The guide names what there is: files, tests, and all of the eight jobs and the ten endpoints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:tests|examples|docs|listener|dashboard)/[\w/.-]+)(?:::(\w+))?`", PAGE)))
ROW = re.compile(r"^\| (?!asked|endpoint|job |---)(.*) \|$", re.MULTILINE)


@pytest.mark.parametrize(("file", "test"), NAMED, ids=["::".join(filter(None, name)) for name in NAMED])
def test_what_the_guide_names_exists(file: str, test: str):
    """A file, and a test in it where one is named."""
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not test or re.search(rf"^(?:async )?def {test}\(", text, re.MULTILINE)


def test_each_row_names_a_test():
    """A row without one would be a promise."""
    rows = ROW.findall(PAGE)
    assert len(rows) > 50
    shown = re.compile(r"\| `(?:tests/[\w/]+\.py(?:::\w+)?|dashboard/[\w/.-]+\.test\.tsx?)`$")
    assert [row for row in rows if not shown.search(row)] == []


@pytest.mark.parametrize(
    "folder", ["tests/dashboard", "tests/unit/handlers"], ids=["pages of the dashboard", "handlers that ship"]
)
def test_no_part_is_left_out(folder: str):
    """Each file of tests is named by a row, but for those of parts that nobody asks for by themselves."""
    missing = {file.name for file in (ROOT / folder).glob("test_*.py") if f"{folder}/{file.name}" not in PAGE}
    assert missing <= {"test_gathering.py", "test_noop_and_log.py", "test_meeting_status.py"}


def test_the_eight_jobs_are_there_with_their_schedules():
    """As the example's operator schedules them."""
    pairs = r'"(\w+)": "([\d*/ ]+)"'
    scheduled = re.findall(pairs, (ROOT / "examples" / "library" / "setup.py").read_text(encoding="utf-8"))
    assert len(scheduled) == 8
    assert re.findall(r"^\| `(\w+)` \| `([\d*/ ]+)` \|", PAGE, re.MULTILINE) == scheduled


def test_the_ten_endpoints_are_there():
    """As the example's app has them."""
    routes = (ROOT / "examples" / "newsletter" / "newsletter_app" / "routes.py").read_text(encoding="utf-8")
    served = {(verb.upper(), path or "/") for verb, path in re.findall(r'@router\.(\w+)\("([^"]*)"', routes)}
    assert len(served) == 10
    assert set(re.findall(r"^\| `(GET|POST|PUT|DELETE) (/\S*)` \|", PAGE, re.MULTILINE)) == served
