"""Stock Supabase clients see the service: jobs through postgres_changes, meetings and the jobs that follow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("listener")
CLIENTS = Path(__file__).with_name("clients")
PROGRAMS = {
    "supabase-js": ["node", CLIENTS / "lifecycle.mjs"],
    "supabase-py": [sys.executable, CLIENTS / "lifecycle.py"],
}


@pytest.fixture
def play(embedded_stack):
    """Run a client with the stack's keys; give what it printed."""

    def run(*command: object, **environment: str):
        reported = {**os.environ, **embedded_stack.environment(), **environment}
        done = subprocess.run(command, env=reported, capture_output=True, text=True, timeout=40, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("user", [None, "alice"], ids=["service key", "signed-in user"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_client_sees_every_step_of_its_jobs(embedded_stack, project, play, program, user) -> None:
    """Insert, running, completed, deletion, cancellation; and nobody else sees anything of a user's job."""
    tokens = {"STRANGER_TOKEN": embedded_stack.user_token("bob")}
    if user:
        tokens["USER_TOKEN"] = embedded_stack.user_token(user)
    reported = play(*PROGRAMS[program], **tokens)
    assert reported["inserted"] == "INSERT scheduled"
    steps = [step for n, step in enumerate(reported["seen"]) if step not in reported["seen"][:n]]
    assert steps == ["UPDATE scheduled", "UPDATE running", "UPDATE completed", "DELETE"]
    assert reported["cancelled"] == ["UPDATE cancelled"]
    assert [step for step in reported["overheard"] if step != "DELETE"] == []
    assert reported["visible"] == []


def test_a_job_follows_its_meeting_at_once(play, capsys) -> None:
    """Inserted, moved, cancelled and deleted with supabase-js; usually within a tenth of a second."""
    reported = play("node", CLIENTS / "meetings.mjs", ROUNDS="5")
    with capsys.disabled():
        print(f"\nmilliseconds from the client's request to the job: {reported}")  # noqa: T201 - the figures are wanted
    assert {name: len(times) for name, times in reported.items()} == dict.fromkeys(reported, 5)
    assert all(sorted(times)[2] < 1000 for times in reported.values())


def test_a_meeting_is_done_when_its_end_has_passed(project, eventually) -> None:
    """By its job, on time."""
    row = {"title": "short", "end_time": project.soon(1)}
    meeting = project.client.table("meetings").insert(row).execute().data[0]["id"]
    status = "select status from public.meetings where id = %s"
    eventually(lambda: project.rows(status, meeting) == [{"status": "done"}], "the meeting is done")
    (job,) = project.rows("select id from public.scheduled_jobs where job_id = %s", f"meeting-status:{meeting}")
    assert project.wait(job["id"])["status"] == "completed"
    assert project.ledger(job["id"])[0]["lateness_ms"] >= 0
