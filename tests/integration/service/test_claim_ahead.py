"""A job is claimed before it is due and starts at its time; whatever its owner changes in between wins."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from patience import allowed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LISTENER = {"claim_ahead_seconds": 2}
pytestmark = pytest.mark.usefixtures("listener")


@pytest.fixture
def claimed(project: Any, marks: Path) -> Callable[..., int]:
    """Insert a job due in a moment, and return once it is claimed."""

    def claim(**columns: object) -> int:
        when = {"run_date": project.soon(2.5)} | columns
        job = project.insert("rest", metadata={"marks": str(marks)}, **when)
        project.wait(job, "running")
        return job

    return claim


def test_a_job_claimed_ahead_starts_at_its_due_time_and_not_before(project, claimed, marks) -> None:
    """Claimed early, begun at the instant or a moment after."""
    job = claimed()
    assert project.rows("select clock_timestamp() < %s as early", project.job(job)["run_date"]) == [{"early": True}]
    assert marks.read_text() == ""
    project.wait(job, "completed")
    run = project.ledger(job)[0]
    assert run["started_at"] >= run["scheduled_for"] == project.job(job)["run_date"]
    assert 0 <= run["lateness_ms"] < allowed(500, 5000)


def test_a_cancellation_between_claim_and_due_time_wins(project, claimed, marks, eventually) -> None:
    """The handler never begins, and the ledger says why, long before the due time."""
    job = claimed()
    project.update(job, status="cancelled")
    eventually(lambda: project.states(job) == [("cancelled", "cancelled")], "the claim is given back", 1)
    project.sql.execute("select pg_sleep_until(%s)", [project.job(job)["run_date"]])
    project.sql.execute("select pg_sleep(0.3)")
    assert marks.read_text() == ""
    assert project.job(job)["status"] == "cancelled"


def test_a_deletion_between_claim_and_due_time_wins(project, claimed, marks) -> None:
    """The handler never begins."""
    job = claimed()
    due = project.job(job)["run_date"]
    project.delete(job)
    project.sql.execute("select pg_sleep_until(%s + interval '0.3 s')", [due])
    assert marks.read_text() == ""


@pytest.mark.parametrize("seconds", [0, 0.2, 1, 4], ids="from now in {} s".format)
def test_a_new_time_between_claim_and_due_time_wins(project, claimed, seconds: float) -> None:
    """Earlier, a little or much later: it runs once, at the new time; the withdrawn claim says that it was edited."""
    job = claimed(run_date=project.soon(2.1))
    moved = project.soon(seconds)
    project.update(job, run_date=moved)
    project.wait(job, "completed")
    states = {row["scheduled_for"]: (row["status"], row["reason"]) for row in project.ledger(job)}
    assert sorted(states.values()) == [("cancelled", "edited"), ("completed", None)]
    assert states[datetime.fromisoformat(moved)] == ("completed", None)


def test_a_recurring_job_edited_between_claim_and_due_time_keeps_only_its_new_schedule(project, claimed) -> None:
    """The instant that the old schedule had does not run."""
    old = {"trigger_type": "interval", "schedule": {"seconds": 3600}, "run_date": project.soon(2.1)}
    job = claimed(**old)
    moved = project.soon(0.7)
    project.update(job, run_date=moved, max_runs=1)
    project.wait(job, "completed")
    states = {row["scheduled_for"]: (row["status"], row["reason"]) for row in project.ledger(job)}
    assert sorted(states.values()) == [("cancelled", "edited"), ("completed", None)]
    assert states[datetime.fromisoformat(moved)] == ("completed", None)


def test_a_move_to_now_wins_over_every_claim(project, eventually) -> None:
    """Of 60 jobs that are moved one after the other, ends of withdrawn claims meet claims of the new time; all run.

    A machine that has much to do moves some of them only after they have run.
    """
    due = datetime.fromisoformat(project.soon(2.5))
    jobs = project.insert_many([{"handler": "noop", "run_date": due.isoformat()}] * 60)
    for job in jobs:
        eventually(lambda job=job: project.job(job)["status"] != "scheduled", "it is claimed")
    moved_in_time = []
    for job in jobs:
        project.update(job, run_date=project.soon(0))
        if datetime.fromisoformat(project.soon(0)) < due:
            moved_in_time.append(job)
    for job in jobs:
        project.wait(job, "completed")
    assert len(moved_in_time) >= allowed(60, 1)
    states = {tuple(sorted(project.states(job))) for job in moved_in_time}
    assert states == {(("cancelled", "edited"), ("completed", None))}
