"""Every instant that was missed is in the ledger, however many there are, and whoever claims them."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from answered_rows import runs_of

from listener.domain.misfire import MAX_RUNS, STEP
from listener.execution.claim_request import claim_request
from listener.supabase import requests, rows

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from listener.domain.job import Job

MISSED = 3 * STEP + 40
"""More than three steps, and with the hundred that may run, not in whole steps."""


def missed_job(database: psycopg.Connection[Any], misfire: str, overlap: str = "skip") -> Job:
    """A job that was due every second, `MISSED` times until now, and that nobody claimed; as listeners read it."""
    query = """
        insert into public.scheduled_jobs (handler, trigger_type, schedule, run_date, misfire, overlap)
        values ('noop', 'interval', '{"seconds": 1}', now() - make_interval(secs => %s), %s, %s)
        returning id
    """
    job = database.execute(query, [MISSED, misfire, overlap]).fetchone()
    with database.transaction():  # defined before all that, else it would not catch up
        database.execute("select set_config('job_scheduler.stage', 'service', true)")
        columns = "defined_at = run_date, due_at = run_date, next_run_at = run_date"
        database.execute(f"update public.scheduled_jobs set {columns} where id = %s", [job["id"]])  # noqa: S608 - fixed
    return seen(database, job["id"])


def seen(database: psycopg.Connection[Any], job: int) -> Job:
    """The job as listeners read it."""
    row = database.execute("select job_row from job_scheduler.job_rows where id = %s", [job]).fetchone()
    return rows.job(row["job_row"])


def claim(database: psycopg.Connection[Any], job: Job, now: datetime) -> dict[str, Any]:
    """Claim as a listener that has just started does."""
    claims = [requests.claim(claim_request(job, now))]
    request = {"listener": str(uuid.uuid4()), "lease_seconds": 30, "ahead_seconds": 0, "claims": claims}
    query = "select public.claim_runs_v1(%s) as answer"
    return database.execute(query, [json.dumps(request, default=str)]).fetchone()["answer"]


def caught_up(database: psycopg.Connection[Any], job: Job, now: datetime) -> tuple[list[dict[str, Any]], int]:
    """Claim until the past is settled; the runs that were granted, and after how many claims."""
    claims = 0
    while job.due_at <= now:
        answer = claim(database, job, now)
        claims += 1
        assert claims < 20
        job = seen(database, job.id)
        if runs_of(answer):
            return runs_of(answer), claims
    return [], claims


def ledger(database: psycopg.Connection[Any], job: Job) -> list[tuple[Any, ...]]:
    """Second since the first due instant, status and reason of each row."""
    query = """
        select extract(epoch from scheduled_for - (select run_date from public.scheduled_jobs where id = %(job)s))::int
            as second, status, reason
        from public.job_executions where scheduled_job_id = %(job)s order by scheduled_for
    """
    return [tuple(row.values()) for row in database.execute(query, {"job": job.id}).fetchall()]


def now_of(database: psycopg.Connection[Any], job: Job) -> datetime:
    """The instant up to which exactly `MISSED` due instants passed."""
    query = "select run_date + make_interval(secs => %s) as now from public.scheduled_jobs where id = %s"
    return database.execute(query, [MISSED - 0.5, job.id]).fetchone()["now"]


@pytest.mark.parametrize(("misfire", "first_to_run"), [("run_once", MISSED - 61), ("run_all", MISSED - MAX_RUNS)])
def test_every_missed_instant_gets_its_row_before_the_latest_run(
    database: psycopg.Connection[Any], misfire: str, first_to_run: int
) -> None:
    """In steps, each by another listener: skipped with its reason up to the first one that runs, and that one runs."""
    job = missed_job(database, misfire)
    runs, claims = caught_up(database, job, now_of(database, job))
    assert claims > 2
    assert ledger(database, job) == [
        *[(second, "skipped", "misfire") for second in range(first_to_run)],
        (first_to_run, "running", None),
    ]
    assert len(runs) == 1
    assert seen(database, job.id).due_at == job.due_at + timedelta(seconds=first_to_run + 1)


def test_skip_enters_every_missed_instant_and_runs_what_is_in_its_grace(database: psycopg.Connection[Any]) -> None:
    """The last minute is in its grace; of the rest each instant has its row."""
    job = missed_job(database, "skip")
    runs, _ = caught_up(database, job, now_of(database, job))
    assert ledger(database, job) == [
        *[(second, "skipped", "misfire") for second in range(MISSED - 60)],
        (MISSED - 60, "running", None),
    ]
    assert len(runs) == 1


def test_a_step_that_is_lost_in_a_crash_is_done_again_and_none_is_done_twice(database: psycopg.Connection[Any]) -> None:
    """The rows and the next due instant are written together: a claim that is rolled back leaves nothing behind."""
    job = missed_job(database, "run_once")
    now = now_of(database, job)
    claim(database, job, now)
    entered, due = len(ledger(database, job)), seen(database, job.id).due_at
    assert (entered, due) == (STEP, job.due_at + timedelta(seconds=STEP))
    with database.transaction(force_rollback=True):
        claim(database, seen(database, job.id), now)
    assert (len(ledger(database, job)), seen(database, job.id).due_at) == (entered, due)
    claim(database, job, now)  # one that knows only what was before the first step
    assert (len(ledger(database, job)), seen(database, job.id).due_at) == (entered, due)
    caught_up(database, seen(database, job.id), now)
    assert [second for second, *_ in ledger(database, job)] == list(range(MISSED - 60))


def test_a_job_that_runs_catches_up_meanwhile(database: psycopg.Connection[Any]) -> None:
    """Rows for its past are entered beside its run, and that run goes on."""
    job = missed_job(database, "skip", overlap="queue")
    database.execute("select public.run_job_now(%s)", [job.id])
    claims = [{"id": job.id, "due": None}]
    request = {"listener": str(uuid.uuid4()), "lease_seconds": 30, "ahead_seconds": 0, "claims": claims}
    answer = database.execute("select public.claim_runs_v1(%s) as a", [json.dumps(request)]).fetchone()["a"]
    assert [run["cause"] for run in runs_of(answer)] == ["manual"]
    caught_up(database, seen(database, job.id), now_of(database, job))
    entered = ledger(database, job)
    assert entered[: MISSED - 60] == [(second, "skipped", "misfire") for second in range(MISSED - 60)]
