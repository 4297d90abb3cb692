"""Jobs whose due instants a listener cannot compute: the database lets them pass where it knows more zones."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.life_database import LifeDatabase

WHY = "timezone: there is no such zone"
REPORTED = f"no due instant can be computed: {WHY}"


@pytest.fixture
def life(stack):
    """Connections by role."""
    with LifeDatabase(stack) as database:
        yield database


@pytest.fixture
def job(life):
    """A daily job that was not planned yet."""
    row = {"trigger_type": "daily", "schedule": {"time": "08:00"}, "run_date": life.now()}
    return life.insert("service", row)


def report(life, job, error=WHY):
    """Report that the job's due instants cannot be computed."""
    (row,) = (row for row in life.rows() if row.id == job)
    life.service("plan_jobs_v1", {"plans": [{"id": job, "revision": row.revision, "due": None, "error": error}]})


def ledger(life):
    """Read what the ledger says."""
    query = "select scheduled_for, status, reason, error from job_executions order by scheduled_for"
    return life._fate.execute(query).fetchall()


def test_row_and_ledger_say_why_nothing_runs(life, job) -> None:
    """Once, however often a listener finds out; the job waits for one that knows more."""
    for _ in range(3):
        report(life, job)
    (entry,) = ledger(life)
    assert (entry["status"], entry["reason"], entry["error"]) == ("skipped", "invalid_schedule", REPORTED)
    row = life._fate.execute("select status, error, due_at from scheduled_jobs where id = %s", [job]).fetchone()
    assert (row["status"], row["error"], row["due_at"]) == ("scheduled", REPORTED, None)
    assert [each.unplanned for each in life.rows()] == [True]


def test_a_job_that_was_planned_says_it_of_its_due_instant(life, job) -> None:
    """A zone may be gone when the next instant has to be computed."""
    due = life.now() + timedelta(hours=1)
    (row,) = life.rows()
    life.service("plan_jobs_v1", {"plans": [{"id": job, "revision": row.revision, "due": due}]})
    report(life, job)
    (entry,) = ledger(life)
    assert entry["scheduled_for"] == due


def test_a_report_of_an_older_definition_is_not_entered(life, job) -> None:
    """The edit may have fixed it."""
    (row,) = life.rows()
    life.update("service", job, {"timezone": "Asia/Tokyo"})
    life.service("plan_jobs_v1", {"plans": [{"id": job, "revision": row.revision, "due": None, "error": WHY}]})
    assert ledger(life) == []


def test_a_schedule_that_makes_sense_again_is_planned(life, job) -> None:
    """As if nothing had been; the row does not go on about it."""
    report(life, job)
    due = life.now() + timedelta(hours=1)
    (row,) = life.rows()
    life.service("plan_jobs_v1", {"plans": [{"id": job, "revision": row.revision, "due": due}]})
    assert [each.due_at for each in life.rows()] == [due]
    assert life._fate.execute("select error from scheduled_jobs").fetchone() == {"error": None}
