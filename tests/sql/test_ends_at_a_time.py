"""Runs of one job that different listeners end at the same time."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from answered_rows import runs_of
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Callable

LISTENERS = [str(uuid.uuid4()), str(uuid.uuid4())]
WAITING = "select count(*) as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


def call(connection: psycopg.Connection[Any], function: str, request: dict[str, Any]) -> dict[str, Any]:
    """Call a function of the service."""
    query = f"select public.{function}(%s) as answer"
    return connection.execute(query, [json.dumps(request)]).fetchone()["answer"]


def overlapping_job(database: psycopg.Connection[Any]) -> tuple[int, str]:
    """Give a job whose runs may overlap, and its first due instant."""
    job = database.execute(
        "insert into public.scheduled_jobs (handler, trigger_type, schedule, overlap, max_attempts) "
        """values ('noop', 'interval', '{"seconds": 1}', 'allow', 2) returning id, revision, run_date::text"""
    ).fetchone()
    plan = {"id": job["id"], "revision": job["revision"], "due": job["run_date"]}
    call(database, "plan_jobs_v1", {"plans": [plan]})
    return job["id"], job["run_date"]


def later(database: psycopg.Connection[Any], due: str) -> str:
    """Give the due instant that follows."""
    return database.execute("select (%s::timestamptz + interval '1 second')::text as at", [due]).fetchone()["at"]


def claim(
    connection: psycopg.Connection[Any], job: int, due: str, *, listener: str, is_last: bool = False
) -> list[dict[str, Any]]:
    """Claim a due instant."""
    claim_request = {"id": job, "due": due, "next": None if is_last else later(connection, due), "exhausted": is_last}
    terms = {"listener": listener, "lease_seconds": 30, "ahead_seconds": 5, "claims": [claim_request]}
    return runs_of(call(connection, "claim_runs_v1", terms))


@pytest.fixture
def runs(database: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Two runs of one job that overlap, its last ones, each with another listener; the job has its id in `id`."""
    job, due = overlapping_job(database)
    found = claim(database, job, due, listener=LISTENERS[0])
    found += claim(database, job, later(database, due), listener=LISTENERS[1], is_last=True)
    assert len(found) == 2
    return found


def finish(run: dict[str, Any], listener: str, status: str) -> Callable[[psycopg.Connection[Any]], Any]:
    """Write how a run ended; one that failed is tried again."""
    result = {"id": run["execution_id"], "fence": run.get("fence"), "status": status}
    result |= {"started_at": run["scheduled_for"], "completed_at": run["scheduled_for"]}
    if status == "failed":
        result["retry_at"] = run["scheduled_for"]
    return lambda at: call(at, "finish_runs_v1", {"listener": listener, "results": [result], "logs": []})


def rescue(connection: psycopg.Connection[Any]) -> Any:
    """Take what was lost."""
    return call(connection, "rescue_runs_v1", {"limit": 10})


def at_a_time(
    url: str, database: psycopg.Connection[Any], first: Callable[..., Any], second: Callable[..., Any]
) -> None:
    """Do both so that neither sees what the other wrote until it waits for it."""

    def do_second() -> None:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as other:
            second(other)

    with psycopg.connect(url, row_factory=dict_row) as connection:
        first(connection)
        thread = threading.Thread(target=do_second)
        thread.start()
        deadline = time.monotonic() + 15
        while database.execute(WAITING).fetchone()["n"] == 0 and thread.is_alive():
            assert time.monotonic() < deadline, "the second waits for the first, or has nothing to wait for"
            time.sleep(0.01)
    thread.join()


def state(database: psycopg.Connection[Any]) -> tuple[Any, ...]:
    """The columns that describe the job's end."""
    row = database.execute("select status, claimed_by, queued_runs, next_run_at from public.scheduled_jobs").fetchone()
    return row["status"], row["claimed_by"], row["queued_runs"], row["next_run_at"] is not None


def test_a_job_whose_last_two_runs_end_at_a_time_has_ended(
    runs: list[dict[str, Any]], database: psycopg.Connection[Any], migrated_database: str
) -> None:
    """Each end sees the other run still going on; the job does not stay running for ever."""
    ends = [finish(run, listener, "completed") for run, listener in zip(runs, LISTENERS, strict=True)]
    at_a_time(migrated_database, database, *ends)
    assert state(database) == ("completed", None, 0, False)


def test_a_retry_of_one_of_two_runs_that_end_at_a_time_is_not_forgotten(
    runs: list[dict[str, Any]], database: psycopg.Connection[Any], migrated_database: str
) -> None:
    """The job waits for it, and the service is to wake for it."""
    at_a_time(
        migrated_database, database, finish(runs[0], LISTENERS[0], "failed"), finish(runs[1], LISTENERS[1], "completed")
    )
    assert state(database) == ("scheduled", None, 1, True)


def test_a_run_that_is_rescued_while_another_ends_runs_again(
    runs: list[dict[str, Any]], database: psycopg.Connection[Any], migrated_database: str
) -> None:
    """The rescuer sees the other run still going on, and its end sees the rescued one."""
    database.execute(
        "update public.job_executions set lease_expires_at = now() - interval '1 second' where id = %s",
        [runs[0]["execution_id"]],
    )
    at_a_time(migrated_database, database, rescue, finish(runs[1], LISTENERS[1], "completed"))
    assert state(database) == ("scheduled", None, 1, True)


def test_a_job_of_which_a_run_begins_while_another_ends_is_running(
    database: psycopg.Connection[Any], migrated_database: str
) -> None:
    """The end does not see the run that begins, and would call the job completed."""
    job, due = overlapping_job(database)
    (first,) = claim(database, job, due, listener=LISTENERS[0])
    last = later(database, due)
    at_a_time(
        migrated_database,
        database,
        lambda at: claim(at, job, last, listener=LISTENERS[1], is_last=True),
        finish(first, LISTENERS[0], "completed"),
    )
    assert state(database) == ("running", uuid.UUID(LISTENERS[1]), 0, False)
