"""A job may be edited, paused or cancelled while a run of it goes on."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import pytest
from job_model import NEVER
from life_database import LifeDatabase
from psycopg.types.json import Jsonb

from listener.domain.messages import ClaimRequest, RunResult
from listener.domain.schedule import first_run

ME = str(uuid.uuid4())
AHEAD_SECONDS = 1.25


@pytest.fixture
def life(stack):
    """Connections by role."""
    with LifeDatabase(stack) as database:
        yield database


def insert(life, due_in=0.0, **row):
    """Insert a job due in so many seconds, planned."""
    run_date = life.now() + timedelta(seconds=due_in)
    job = life.insert("service", {"trigger_type": "once", "schedule": {}, "run_date": run_date, **row})
    plan(life)
    return job


def hourly(life, **row):
    """Insert a job that is due each hour, for the first time in a moment."""
    return insert(life, 0.5, trigger_type="interval", schedule={"seconds": 3600}, **row)


def plan(life):
    """Plan as a listener does."""
    for job in life.rows():
        if job.unplanned:
            due = first_run(job.trigger, job.defined_at)
            life.service("plan_jobs_v1", {"plans": [{"id": job.id, "revision": job.revision, "due": due}]})


def claim(life, job, due, **fields):
    """Claim; the runs that are granted."""
    return life.claim(ME, [ClaimRequest(job, due, **fields)], AHEAD_SECONDS, 1)


def finish(life, run, status, **fields):
    """End a run; whether that was taken."""
    now = life.now()
    run_result = RunResult(run.execution_id, status, now, run.fence, started_at=now, **fields)
    return life.finish(ME, [run_result], 1)["taken"] == [run.execution_id]


def row_of(life, job):
    """Give the job as it is."""
    return life.read()[0][job]


def statuses(life, job):
    """Give the statuses in its ledger."""
    return sorted(run["status"] for run in life.read()[1][job].values())


def test_a_claim_of_an_instant_that_the_job_no_longer_has_is_refused(life) -> None:
    """Although the job is due: at another instant."""
    job = insert(life)
    old = row_of(life, job)["due_at"]
    life.update("service", job, {"run_date": old - timedelta(seconds=5)})
    assert claim(life, job, old) == []
    assert row_of(life, job)["due_at"] == old - timedelta(seconds=5)
    assert len(claim(life, job, old - timedelta(seconds=5))) == 1


def test_an_edit_that_keeps_the_instant_keeps_its_run(life) -> None:
    """The run that was claimed ahead of it is not replaced by nothing."""
    job = hourly(life, overlap="replace")
    life.update("service", job, {"run_date": life.now() + timedelta(seconds=0.3)})
    plan(life)
    due = row_of(life, job)["due_at"]
    assert len(claim(life, job, due, next_due=due + timedelta(hours=1))) == 1
    life.update("service", job, {"max_runs": 5})
    plan(life)
    assert row_of(life, job)["due_at"] == due
    time.sleep(max(0.0, (due - life.now()).total_seconds()))
    assert claim(life, job, due, next_due=due + timedelta(hours=1)) == []
    assert (row_of(life, job)["status"], statuses(life, job)) == ("running", ["running"])
    assert row_of(life, job)["due_at"] == due + timedelta(hours=1)


def test_a_pause_while_the_last_instant_is_tried_again_grants_no_other(life) -> None:
    """The retry runs after the pause, and then the job is done."""
    job = hourly(life, max_runs=1)
    due = row_of(life, job)["due_at"]
    (run,) = claim(life, job, due, next_due=due + timedelta(hours=1))
    assert finish(life, run, "failed", retry_at=life.now())
    life.call("service", "pause_job", job)
    life.call("service", "resume_job", job)
    assert row_of(life, job)["due_at"] == NEVER
    (run,) = claim(life, job, None)
    assert finish(life, run, "completed")
    assert (row_of(life, job)["status"], row_of(life, job)["total_runs"]) == ("completed", 1)


def test_a_paused_retry_that_is_given_a_new_time_runs_at_that_time(life) -> None:
    """The retry is gone with the old time, and the job is due when it is resumed."""
    job = insert(life)
    (run,) = claim(life, job, row_of(life, job)["due_at"])
    assert finish(life, run, "failed", retry_at=life.now())
    life.call("service", "pause_job", job)
    later = life.now() + timedelta(hours=1)
    life.update("service", job, {"run_date": later})
    life.call("service", "resume_job", job)
    assert row_of(life, job)["next_run_at"] == later
    assert statuses(life, job) == ["cancelled", "failed"]


def test_a_new_instant_that_is_missed_leaves_the_job_to_the_retry_of_the_old_one(life) -> None:
    """The new one is entered as skipped; the retry runs, and ends the job."""
    job = insert(life, misfire="skip")
    (run,) = claim(life, job, row_of(life, job)["due_at"])
    life.update("service", job, {"run_date": life.now() - timedelta(minutes=5)})
    assert finish(life, run, "failed", error="broken", retry_at=life.now() + timedelta(seconds=30))
    missed = row_of(life, job)["due_at"]
    assert claim(life, job, missed, missed=(missed,), missed_reason="misfire") == []
    assert (row_of(life, job)["status"], statuses(life, job)) == ("scheduled", ["failed", "queued", "skipped"])
    life.shift(timedelta(minutes=1))
    (run,) = claim(life, job, None)
    assert finish(life, run, "completed")
    row = row_of(life, job)
    assert (row["status"], row["queued_runs"], row["next_run_at"]) == ("completed", 0, None)


@pytest.mark.parametrize("run_result", [{"status": "queued"}, {"status": "failed", "error": "broken"}])
def test_what_still_runs_of_a_cancelled_job_is_not_tried_again(life, run_result) -> None:
    """Its end is entered; it moves the job no more, although that was scheduled again and has run meanwhile."""
    job = insert(life)
    (old,) = claim(life, job, row_of(life, job)["due_at"])
    life.call("service", "cancel_job", job)
    life.call("service", "retry_job", job)
    (new,) = claim(life, job, row_of(life, job)["due_at"])
    assert finish(life, new, "completed")
    assert row_of(life, job)["status"] == "completed"
    assert row_of(life, job)["claimed_by"] is not None
    assert finish(life, old, retry_at=life.now(), **run_result)
    row = row_of(life, job)
    assert (row["status"], row["queued_runs"], row["next_run_at"], row["claimed_by"]) == ("completed", 0, None, None)
    assert "queued" not in statuses(life, job)


def test_the_end_of_a_scheduled_run_beside_a_manual_one_keeps_the_key_taken(life) -> None:
    """A third job waits until both have ended; and how the manual one ends does not hide that the other failed."""
    job, third = insert(life, concurrency_key="printer"), insert(life, concurrency_key="printer")
    life.run_now("service", job)
    granted = [
        run
        for due in (None, row_of(life, job)["due_at"])
        for run in life.claim(ME, [ClaimRequest(job, due)], AHEAD_SECONDS, 1 + (due is not None))
    ]
    assert len(granted) == 2
    assert finish(life, granted[1], "failed", error="broken")
    assert row_of(life, job)["status"] == "failed"
    assert life.claim(ME, [ClaimRequest(third, row_of(life, third)["due_at"])], AHEAD_SECONDS, 1) == []
    assert finish(life, granted[0], "completed")
    assert row_of(life, job)["status"] == "failed"
    assert len(claim(life, third, None)) == 1


def test_a_claim_by_an_older_definition_is_refused_although_the_instant_is_the_same(life) -> None:
    """The next instant has changed: the claim would take it from the old schedule."""
    job = insert(life, 0.5, trigger_type="interval", schedule={"seconds": 3600})
    old = armed(life, job)
    life.update("service", job, {"schedule": Jsonb({"seconds": 60})})
    plan(life)
    due = row_of(life, job)["due_at"]
    assert due == old.due_at, "the edit leads to the same instant"
    stale = {"next_due": due + timedelta(hours=1), "defined_at": old.defined_at}
    assert claim(life, job, due, **stale) == []
    assert claim(life, job, due, **stale, missed=(due,), missed_reason="misfire", run=None) == []
    assert row_of(life, job)["due_at"] == due
    fresh = {"next_due": due + timedelta(minutes=1), "defined_at": armed(life, job).defined_at}
    assert len(claim(life, job, due, **fresh)) == 1
    assert row_of(life, job)["due_at"] == due + timedelta(minutes=1)


def armed(life, job):
    """Give the job as a listener has it."""
    return next(each for each in life.rows() if each.id == job)
