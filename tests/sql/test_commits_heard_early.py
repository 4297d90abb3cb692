"""A channel may report a job a moment before any query shows it: WAL is sent before a commit becomes visible."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import psycopg
import pytest
from answered_rows import runs_of

TERMS = {"listener": str(uuid.uuid4()), "lease_seconds": 30, "ahead_seconds": 0}
LEAST_WAIT_SECONDS = 0.005


def claim(database: psycopg.Connection[Any], claims: list[dict[str, Any]]) -> dict[str, Any]:
    """Claim as a listener does."""
    request = json.dumps({"claims": claims, **TERMS})
    return database.execute("select public.claim_runs_v1(%s) as answer", [request]).fetchone()["answer"]


def test_a_job_that_cannot_be_seen_yet_is_not_called_gone(
    database: psycopg.Connection[Any], migrated_database: str
) -> None:
    """A listener cancels the runs of a job that is gone; this one is claimed a moment later, and must run then."""
    with psycopg.connect(migrated_database) as committing:
        insert = "insert into public.scheduled_jobs (handler) values ('noop') returning id, run_date"
        [(job, due)] = committing.execute(insert).fetchall()
        claims = [{"id": job, "due": due.isoformat(), "exhausted": True}]
        early = claim(database, claims)
    assert (runs_of(early), early["rows"]) == ([], [])
    assert [run["id"] for run in runs_of(claim(database, claims))] == [job]


def test_a_claim_waits_a_moment_for_a_job_that_it_cannot_see(database: psycopg.Connection[Any]) -> None:
    """Most commits are visible by then; else the job waits for the next poll."""
    began = time.monotonic()
    claim(database, [{"id": 999_999, "due": "2026-01-01T00:00:00Z", "exhausted": True}])
    assert time.monotonic() - began >= LEAST_WAIT_SECONDS


@pytest.mark.parametrize(
    "columns",
    [
        {"trigger_type": "interval", "schedule": '{"seconds": 60}'},
        {"misfire": "skip"},
        {"trigger_type": "interval", "schedule": '{"seconds": 60}', "concurrency_key": "one"},
        {"concurrency_key": "two", "misfire": "skip"},
    ],
    ids=str,
)
def test_a_notification_alone_starts_no_job_of_which_it_cannot_say_all(database: psycopg.Connection[Any], columns):
    """Anybody may have sent it: it knows neither what follows nor whether it is too late. The row is answered."""
    columns = {"handler": "noop", **columns}
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    query = f"insert into public.scheduled_jobs ({names}) values ({places}) returning id, run_date"  # noqa: S608
    job = database.execute(query, list(columns.values())).fetchone()
    with database.transaction():
        database.execute("select set_config('job_scheduler.stage', 'service', true)")
        database.execute(
            "update public.scheduled_jobs set due_at = run_date, next_run_at = run_date where id = %s", [job["id"]]
        )
    before = database.execute("select * from public.scheduled_jobs where id = %s", [job["id"]]).fetchone()
    hinted = {"id": job["id"], "due": job["run_date"].isoformat(), "hinted": True}
    answer = claim(database, [hinted])
    assert (runs_of(answer), [row["id"] for row in answer["rows"]]) == ([], [job["id"]])
    assert database.execute("select * from public.scheduled_jobs where id = %s", [job["id"]]).fetchone() == before


@pytest.mark.parametrize("key", [None, "three"])
def test_a_notification_starts_a_job_that_runs_once(database: psycopg.Connection[Any], key: str | None) -> None:
    """If it is due when the notification says."""
    insert = "insert into public.scheduled_jobs (handler, concurrency_key) values ('noop', %s) returning id, run_date"
    job = database.execute(insert, [key]).fetchone()
    wrong = {"id": job["id"], "due": "2026-01-01T00:00:00Z", "hinted": True}
    assert runs_of(claim(database, [wrong])) == []
    (run,) = runs_of(claim(database, [{**wrong, "due": job["run_date"].isoformat()}]))
    assert run["id"] == job["id"]
