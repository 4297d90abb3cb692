"""A channel may report a job a moment before any query shows it: WAL is sent before a commit becomes visible."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import psycopg

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
    assert (early["runs"], early["rows"]) == ([], [])
    assert [run["id"] for run in claim(database, claims)["runs"]] == [job]


def test_a_claim_waits_a_moment_for_a_job_that_it_cannot_see(database: psycopg.Connection[Any]) -> None:
    """Most commits are visible by then; else the job waits for the next poll."""
    began = time.monotonic()
    claim(database, [{"id": 999_999, "due": "2026-01-01T00:00:00Z", "exhausted": True}])
    assert time.monotonic() - began >= LEAST_WAIT_SECONDS
