"""Each example does what its page prints: every command is run as it stands there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from printed_pages import EXAMPLES, leaving_nothing, play, steps

if TYPE_CHECKING:
    from pathlib import Path

    from listener.local.stack import Stack

pytestmark = pytest.mark.stack
DIFFERS = re.compile(r"\d\d:\d\d:\d\d|\d{8}T\d+Z|(?<='bytes': )\d+")
LONGEST_SCRIPT, LONGEST_MODULE = 60, 150
PAGES = sorted(EXAMPLES.glob("*/README.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_the_page_runs_as_printed(stack: Stack, page: Path, tmp_path: Path):
    """Command by command, and each prints what the page shows, whatever time it is; what psql says is not shown."""
    with leaving_nothing(stack):
        printed = play(stack, page, tmp_path)
    for step, lines in zip(steps(page), printed, strict=True):
        if step.shown:
            assert _comparable(lines) == _comparable(step.shown), step.command


def _comparable(lines: list[str]) -> list[list[str]]:
    """Leave the time out; the lines of meeting and job come from two channels, so they may cross."""
    timeless = [DIFFERS.sub("", line) for line in lines]
    crossing = {what: [line for line in timeless if line.startswith(what)] for what in ("meeting ", "its job")}
    return [[line for line in timeless if not line.startswith(tuple(crossing))], *crossing.values()]


@pytest.mark.parametrize(
    "script", sorted([*EXAMPLES.rglob("*.py"), *EXAMPLES.rglob("*.mjs")]), ids=lambda it: str(it.relative_to(EXAMPLES))
)
def test_scripts_are_short_enough_to_read(script: Path):
    """An example that needs to be scrolled is not read; an app's modules are as long as ours."""
    most = LONGEST_SCRIPT if script.parent.parent == EXAMPLES else LONGEST_MODULE
    assert len(script.read_text(encoding="utf-8").splitlines()) <= most
