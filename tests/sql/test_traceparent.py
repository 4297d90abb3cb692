"""A job keeps the trace context of the request that made it, and its claim hands it on."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from answered_rows import runs_of

if TYPE_CHECKING:
    import httpx

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1bf7651916cd43dd8448eb211c80319c-c7ad6b7169203331-00"
LATER = {"handler": "noop", "run_date": "2099-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("row", "headers", "kept"),
    [
        ({}, {}, None),
        ({}, {"traceparent": TRACE}, TRACE),
        ({}, {"Traceparent": TRACE}, TRACE),
        ({}, {"traceparent": "00-nonsense-01"}, None),
        ({}, {"x-note": '"traceparent": 1'}, None),
        ({"traceparent": OTHER}, {}, OTHER),
        ({"traceparent": OTHER}, {"traceparent": TRACE}, OTHER),
        ({"traceparent": None}, {"traceparent": TRACE}, None),
    ],
    ids=["none", "header", "capitals", "malformed", "named in another", "column", "both", "null"],
)
def test_the_trace_of_a_request_is_the_jobs(alice: httpx.Client, row, headers, kept) -> None:
    """Unless the row names another; a header that is malformed is left out, as W3C says."""
    (job,) = alice.post("/scheduled_jobs", json={**LATER, **row}, headers=headers).json()
    assert job["traceparent"] == kept
    (job,) = alice.patch(
        f"/scheduled_jobs?id=eq.{job['id']}", json={"priority": 1}, headers={"traceparent": OTHER}
    ).json()
    assert job["traceparent"] == kept


@pytest.mark.parametrize("wrong", ["", "00-1-2-01", TRACE.upper(), f"{TRACE}-more", "x" * 1000])
def test_a_column_that_is_no_trace_context_is_refused(alice: httpx.Client, wrong: str) -> None:
    """At the insert and at the edit, with the form that it should have."""
    (job,) = alice.post("/scheduled_jobs", json=LATER).json()
    for answer in (
        alice.post("/scheduled_jobs", json={**LATER, "traceparent": wrong}),
        alice.patch(f"/scheduled_jobs?id=eq.{job['id']}", json={"traceparent": wrong}),
    ):
        assert answer.status_code == 400, answer.text
        assert answer.json()["message"].startswith("scheduled_jobs.traceparent: ")
        assert "expected a W3C trace context such as" in answer.json()["message"]


def test_a_claim_answers_the_trace(database: Any) -> None:
    """With the run."""
    query = "insert into public.scheduled_jobs (handler, traceparent) values ('noop', %s) returning id, due_at"
    job = database.execute(query, [TRACE]).fetchone()
    claims = [{"id": job["id"], "due": job["due_at"].isoformat()}]
    request = {"listener": str(uuid.uuid4()), "lease_seconds": 30, "ahead_seconds": 1, "claims": claims}
    answer = database.execute("select public.claim_runs_v1(%s) as answer", [json.dumps(request)]).fetchone()["answer"]
    assert [run["traceparent"] for run in runs_of(answer)] == [TRACE]
