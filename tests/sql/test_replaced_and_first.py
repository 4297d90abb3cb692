"""Claims decide who gets a free key, how a replaced run counts, and what handlers see."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from listener.domain.messages import ClaimRequest, RunResult
from listener.domain.status import RunStatus
from tests.support.life_database import LifeDatabase

ME = str(uuid.uuid4())
AHEAD_SECONDS = 1.0


@pytest.fixture
def life(stack):
    """Connections by role."""
    with LifeDatabase(stack) as database:
        yield database


def test_a_free_key_goes_to_the_highest_priority_of_a_batch(life) -> None:
    """Three that share a key are due at one instant and claimed at once; the last one inserted is the most urgent."""
    due = life.now()
    shared = {"schedule": {}, "run_date": due, "concurrency_key": "printer"}
    jobs = [life.insert("service", {**shared, "priority": priority}) for priority in (0, 3, 9)]
    (run,) = life.claim(ME, [ClaimRequest(job, due) for job in jobs], AHEAD_SECONDS, 1)
    assert run.job_id == jobs[-1]


@pytest.fixture
def replaced(life):
    """A job with two runs left, whose first one was replaced by its second one, and what followed in the ledger."""
    row = {"trigger_type": "interval", "schedule": {"seconds": 3600}, "overlap": "replace", "max_runs": 2}
    job = life.insert("service", {**row, "run_date": life.now() + timedelta(seconds=1)})
    life.shift(timedelta(seconds=1))
    due = life.read()[0][job]["due_at"]
    for instant in (due, due + timedelta(milliseconds=1)):
        life.claim(ME, [ClaimRequest(job, instant, next_due=instant + timedelta(milliseconds=1))], AHEAD_SECONDS, 1)
    jobs, ledger = life.read()
    return jobs[job], ledger[job]


def test_a_run_that_was_replaced_uses_up_one_of_max_runs(replaced) -> None:
    """Otherwise a job whose runs take longer than its interval would never end."""
    job, ledger = replaced
    assert sorted(run["status"] for run in ledger.values()) == ["cancelled", "running"]
    assert (job["scheduled_runs"], job["next_run_at"]) == (1, None)


def test_a_run_that_was_replaced_before_its_time_has_not_started(life) -> None:
    """It was claimed ahead, and its replacement meets it there; the answer says that its handler is not to begin."""
    row = {"trigger_type": "interval", "schedule": {"seconds": 3600}, "overlap": "replace"}
    job = life.insert("service", {**row, "run_date": life.now() + timedelta(seconds=1)})
    life.shift(timedelta(seconds=1))
    due = life.read()[0][job]["due_at"]
    later = due + timedelta(milliseconds=1)
    (first,) = life.claim(ME, [ClaimRequest(job, due, next_due=later)], AHEAD_SECONDS, 1)
    life._fate.execute("update job_executions set started_at = now() + interval '1 minute'")
    request = {"listener": ME, "lease_seconds": 30, "ahead_seconds": 1, "claims": [{"id": job, "due": later}]}
    answer = life.service("claim_runs_v1", request)
    assert answer["stopped"] == [first.execution_id]
    query = "select started_at, duration_ms, lateness_ms from job_executions where status = 'cancelled'"
    assert set(life._fate.execute(query).fetchone().values()) == {None}


def test_a_retry_of_a_job_that_may_overlap_starts_beside_its_run(life) -> None:
    """Its first instant failed and is tried again while the second one runs: the retry does not wait for that."""
    row = {"trigger_type": "interval", "schedule": {"seconds": 3600}, "overlap": "allow"}
    job = life.insert("service", {**row, "run_date": life.now() + timedelta(seconds=1)})
    life.shift(timedelta(seconds=1))
    due = life.read()[0][job]["due_at"]
    later = due + timedelta(milliseconds=1)
    (first,) = life.claim(ME, [ClaimRequest(job, due, next_due=later)], AHEAD_SECONDS, 1)
    life.claim(ME, [ClaimRequest(job, later, next_due=later + timedelta(hours=1))], AHEAD_SECONDS, 1)
    now = life.now()
    failed = RunResult(first.execution_id, RunStatus.FAILED, now, first.fence, started_at=now, retry_at=now)
    life.finish(ME, [failed], 1)
    jobs, _ = life.read()
    assert jobs[job]["status"] == "running"
    assert jobs[job]["next_run_at"] <= life.now()
    (retry,) = life.claim(ME, [ClaimRequest(job, later + timedelta(hours=1))], AHEAD_SECONDS, 1)
    assert (retry.scheduled_for, retry.attempt) == (due, 2)


def test_a_run_that_was_replaced_says_how_long_it_went_on(life, replaced) -> None:
    """It began, so the ledger has its lateness and its duration."""
    query = "select duration_ms, lateness_ms from job_executions where status = 'cancelled'"
    row = life._fate.execute(query).fetchone()
    assert row["duration_ms"] >= 0
    assert row["lateness_ms"] >= 0


def test_a_handler_sees_the_columns_that_its_documentation_names(life) -> None:
    """`job.row` has these, and no other."""
    due = life.now()
    job = life.insert("service", {"schedule": {}, "run_date": due, "description": "every night"})
    (run,) = life.claim(ME, [ClaimRequest(job, due)], AHEAD_SECONDS, 1)
    page = Path(__file__).parents[2].joinpath("docs", "handlers.md").read_text()
    (reported,) = re.findall(r"^\| `row` \|(.*)\|$", page, re.MULTILINE)
    assert sorted(run.row) == sorted(re.findall("`([a-z_]+)`", reported))
    assert (run.row["description"], run.row["schedule"], run.row["last_run_at"]) == ("every night", {}, None)
