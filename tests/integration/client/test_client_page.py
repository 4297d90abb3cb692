"""The page of the Python client: its programs run as they stand, and it names what there is."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from listener import client
from listener.client import JobFault, JobSchedulerConfig, SupabaseJobScheduler
from listener.client.drive import operation
from listener.client.meeting_schedulers import MeetingService
from listener.client.scheduler import Scheduler

if TYPE_CHECKING:
    from listener.local.stack import Stack

pytestmark = pytest.mark.usefixtures("listener")
PAGE = (Path(__file__).parents[3] / "docs" / "client.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", PAGE, re.MULTILINE | re.DOTALL)
MEETING = """
end_time = datetime(2030, 1, 1, tzinfo=UTC)
[meeting] = scheduler.client.table("meetings").insert({"end_time": end_time.isoformat()}).execute().data
meeting_id = meeting["id"]
"""


def _operations(owner: type) -> set[str]:
    return {name for name, member in inspect.getmembers(owner) if isinstance(member, operation)}


def test_the_programs_of_the_page_run_as_shown(embedded_stack: Stack, tmp_path: Path):
    """One after the other, as one program, with the environment alone."""
    program = "print('---')\n".join(MEETING * ("meeting_id" in code) + code for code, _ in PROGRAMS)
    environment = {**os.environ, **embedded_stack.environment()}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = done.stdout.split("---\n")
    assert [answer for answer, (_, shown) in zip(answers, PROGRAMS, strict=True) if shown] == [
        shown for _, shown in PROGRAMS if shown
    ]


def test_the_page_names_every_operation():
    """Of the schedulers and of the service of meetings."""
    named = set(re.findall(r"`(\w+)\(", PAGE))
    assert _operations(Scheduler) | _operations(MeetingService) | {"watch"} <= named


def test_the_page_names_every_error():
    """In its table."""
    section = PAGE.split("## Errors")[1].split("##")[0]
    kinds = {kind.__name__ for kind in vars(client).values() if inspect.isclass(kind) and issubclass(kind, JobFault)}
    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == kinds - {"JobFault"}


def test_the_page_names_every_setting():
    """Of the configuration, with its default, and of a scheduler."""
    settings = {f"{name}={field.default}" for name, field in JobSchedulerConfig.model_fields.items()}
    section = PAGE.split("## What `JobSchedulerConfig` says")[1].split("##")[0]
    assert settings == set(re.findall(r"`(\w+=\w+)`", section))
    taken = set(inspect.signature(SupabaseJobScheduler).parameters)
    assert taken <= set(re.findall(r"`(\w+)`", PAGE.split("## Two schedulers")[1].split("##")[0]))
