"""A job paused while it runs: the run goes on to its end, and nothing follows it until the job is resumed."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from job_model import NEVER
from life_database import LifeDatabase

from listener.domain.messages import ClaimRequest, RunResult

ME = str(uuid.uuid4())
HOUR = timedelta(hours=1)


@pytest.fixture
def life(stack):
    """Connections by role."""
    with LifeDatabase(stack) as database:
        yield database


def running(life, tenant="service", **row):
    """Insert a job, claim its due instant, and pause it; the job and its run."""
    job = life.insert(tenant, {"trigger_type": "once", "schedule": {}, "run_date": life.now(), **row})
    due = row_of(life, job)["due_at"]
    (run,) = life.claim(ME, [ClaimRequest(job, due, next_due=due + HOUR)], 1, 1)
    life.call(tenant, "pause_job", job)
    assert row_of(life, job)["status"] == "paused"
    return job, run


def hourly(life, **row):
    """The same of a job that is due each hour."""
    when = {"run_date": life.now() + timedelta(seconds=0.5), "trigger_type": "interval", "schedule": {"seconds": 3600}}
    return running(life, **when, **row)


def finish(life, run, status="completed", **fields):
    """End a run; whether that was taken."""
    now = life.now()
    result = RunResult(run.execution_id, status, now, run.fence, started_at=now, **fields)
    return life.finish(ME, [result], 1)["taken"] == [run.execution_id]


def row_of(life, job):
    """Give the job as it is."""
    return life.read()[0][job]


def ledger(life, job):
    """Give statuses and attempts in its ledger."""
    return sorted((attempt, run["status"]) for (_, _, attempt), run in life.read()[1][job].items())


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_one_time_job_ends_as_its_run_did_once_it_is_resumed(life, status) -> None:
    """Until then it stays paused, with its totals; it does not run again."""
    job, run = running(life)
    assert finish(life, run, status)
    row = row_of(life, job)
    assert (row["status"], row["next_run_at"], row["claimed_by"]) == ("paused", None, None)
    assert (row["total_runs"], row["failed_runs"]) == (status != "cancelled", status == "failed")
    life.call("service", "resume_job", job)
    assert (row_of(life, job)["status"], row_of(life, job)["due_at"]) == (status, NEVER)
    assert ledger(life, job) == [(1, status)]


def test_a_retry_does_not_start_before_the_job_is_resumed(life) -> None:
    """Its time has come meanwhile, so it starts at once."""
    job, run = running(life)
    assert finish(life, run, "failed", retry_at=life.now())
    assert (row_of(life, job)["status"], row_of(life, job)["next_run_at"]) == ("paused", None)
    assert life.claim(ME, [ClaimRequest(job, None)], 1, 1) == []
    life.call("service", "resume_job", job)
    assert row_of(life, job)["status"] == "scheduled"
    (again,) = life.claim(ME, [ClaimRequest(job, None)], 1, 1)
    assert finish(life, again)
    assert (row_of(life, job)["status"], ledger(life, job)) == ("completed", [(1, "failed"), (2, "completed")])


def test_a_job_that_is_resumed_while_its_run_goes_on_shows_as_running(life) -> None:
    """So that the next instant meets a running job, whose `overlap` decides."""
    job, run = hourly(life, overlap="skip")
    life.call("service", "resume_job", job)
    row = row_of(life, job)
    assert (row["status"], row["next_run_at"]) == ("running", row["due_at"])
    life.shift(HOUR + timedelta(seconds=1))
    due = row_of(life, job)["due_at"]
    assert life.claim(ME, [ClaimRequest(job, due, next_due=due + HOUR)], 1, 1) == []
    assert ledger(life, job) == [(1, "running"), (1, "skipped")]
    assert finish(life, run)
    assert (row_of(life, job)["status"], row_of(life, job)["due_at"]) == ("scheduled", due + HOUR)


def test_the_next_instant_of_a_recurring_job_waits_for_the_end_of_the_pause(life) -> None:
    """The job keeps it: the listener enters what passed as skipped."""
    job, run = hourly(life)
    due = row_of(life, job)["due_at"]
    assert finish(life, run)
    assert (row_of(life, job)["status"], row_of(life, job)["next_run_at"]) == ("paused", None)
    life.call("service", "resume_job", job)
    assert (row_of(life, job)["status"], row_of(life, job)["next_run_at"]) == ("scheduled", due)


def test_the_last_run_that_max_runs_grants_is_the_last_after_a_pause_too(life) -> None:
    """The job is done when it is resumed."""
    job, run = hourly(life, max_runs=1)
    assert finish(life, run)
    life.call("service", "resume_job", job)
    assert (row_of(life, job)["status"], row_of(life, job)["total_runs"]) == ("completed", 1)


def test_a_paused_job_that_is_cancelled_stops_its_run(life) -> None:
    """The listeners are notified of it, and its end says nothing of the job any more."""
    job, run = running(life)
    life.call("service", "cancel_job", job)
    signals = life.service("poll_jobs_v1", {"cursor": 0, "until": life.now(), "after": None, "limit": 10})["signals"]
    assert [run.execution_id] in [each["rows"] for each in signals if each["table"] == "cancelled_runs"]
    assert finish(life, run, "failed", retry_at=life.now())
    assert (row_of(life, job)["status"], ledger(life, job)) == ("cancelled", [(1, "failed")])


def test_a_lost_run_of_a_paused_job_is_taken_over_after_the_pause(life) -> None:
    """The rescue queues the next attempt; nobody may claim it before."""
    job, _ = running(life)
    life.expire(ME)
    assert life.service("rescue_runs_v1", {"limit": 10})["rescued"] == 1
    assert (row_of(life, job)["status"], ledger(life, job)) == ("paused", [(1, "failed"), (2, "queued")])
    assert life.claim(ME, [ClaimRequest(job, None)], 1, 1) == []
    life.call("service", "resume_job", job)
    assert len(life.claim(ME, [ClaimRequest(job, None)], 1, 1)) == 1


def test_a_paused_job_keeps_its_lease_and_its_key(life) -> None:
    """Its run is extended like any other, and holds its `concurrency_key`."""
    job, run = running(life, concurrency_key="printer")
    assert life.extend(ME, [(run.execution_id, run.fence)])["lost"] == []
    other = life.insert(
        "service", {"trigger_type": "once", "schedule": {}, "run_date": life.now(), "concurrency_key": "printer"}
    )
    assert life.claim(ME, [ClaimRequest(other, row_of(life, other)["due_at"])], 1, 1) == []
    assert finish(life, run)
    assert len(life.claim(ME, [ClaimRequest(other, None)], 1, 1)) == 1
    assert row_of(life, job)["status"] == "paused"


def test_a_paused_job_that_has_run_for_the_last_time_counts_as_active(life) -> None:
    """Else a user could keep more jobs than the quota, and give each a new time."""
    job, run = running(life, "alice")
    assert finish(life, run)
    assert life.miscounted() == []
    later = life.now() + HOUR
    life.update("alice", job, {"run_date": later})
    life.call("alice", "resume_job", job)
    assert (row_of(life, job)["status"], row_of(life, job)["next_run_at"]) == ("scheduled", later)
