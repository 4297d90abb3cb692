"""The page on writing handlers names what there is, and its examples run."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from listener.domain.outcome import Completed
from listener.handler_api.context import JobContext
from listener.handler_api.registry import MARK, Registry, handler
from listener.testing import run_handler

PAGE = (Path(__file__).parents[2] / "docs" / "handlers.md").read_text()
EXAMPLE = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
FOR_THE_SERVICE = {
    "belongs_to", "carried_row", "adopt", "masker", "fraction", "progress_message", "run_log", "stop", "take_logs"
}  # fmt: skip


async def test_the_first_example_runs():
    """It is what everybody copies."""
    assert EXAMPLE is not None
    names: dict[str, object] = {}
    exec(EXAMPLE[1], names)  # noqa: S102 - the example is ours
    reminder = next(each for each in names.values() if hasattr(each, MARK))
    report = await run_handler(reminder, {"event_id": "7", "message": "Soon"}, attempt=2)
    assert report.outcome == Completed({"sent_to": "everybody"})
    assert report.logs[0].message == "reminding"


@pytest.mark.slow
def test_the_test_that_it_shows_passes_under_plain_pytest(tmp_path: Path):
    """Beside the first example, in the module of that name, with no plugin and no option."""
    assert EXAMPLE is not None
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "jobs.py").write_text(EXAMPLE[1])
    [shown] = re.findall(r"```python\n(import asyncio.*?)```", PAGE, re.DOTALL)
    (tmp_path / "test_jobs.py").write_text(shown)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:anyio"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_every_argument_of_the_decorator_is_named():
    """With no other."""
    table = PAGE.split("## What `@handler` takes")[1].split("##")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(inspect.signature(handler).parameters)


def test_every_public_member_of_the_context_is_named():
    """Those that only the service uses are not."""
    section = PAGE.split("## `JobContext`")[1].split("##")[0]
    named = set(re.findall(r"`(\w+)(?:\([^`]*)?`", "".join(re.findall(r"^\|[^|]*\|", section, re.MULTILINE))))
    peers = {name for name in dir(JobContext) if not name.startswith("_")} - FOR_THE_SERVICE
    assert named == peers


@pytest.mark.parametrize("name", Registry.load(["handlers"]).names)
def test_every_handler_that_ships_is_named_with_a_payload(name):
    """The payloads of the table are JSON."""
    row = re.search(rf"^\| `{name}` \| (.*?) \| ", PAGE.split("## Handlers that ship")[1], re.MULTILINE)
    assert row is not None
    assert isinstance(json.loads(re.search(r"`(\{.*\})`", row[1])[1]), dict)
