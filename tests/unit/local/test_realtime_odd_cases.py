"""The table of odd cases beside the recordings names a test for each case."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)
CASES = 26


def test_each_odd_case_of_the_real_server_has_a_test() -> None:
    """Every number once, and every name is that of a test."""
    rows = ROW.findall((TESTS / "recordings" / "README.md").read_text())
    folders = (TESTS / "integration" / "realtime", TESTS / "unit" / "local")
    sources = "".join(path.read_text() for folder in folders for path in folder.glob("test_*.py"))
    tests = set(re.findall(r"^(?:async )?def (test_\w+)", sources, re.MULTILINE))
    assert [int(number) for number, _ in rows] == list(range(1, CASES + 1))
    for number, names in rows:
        assert set(names.strip("`").split("`, `")) <= tests, number
