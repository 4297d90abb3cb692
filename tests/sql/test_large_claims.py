"""A claim grants as many runs as one answer may carry, and leaves the others to the next claim."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from answered_rows import runs_of

ME = {"listener": str(uuid.uuid4()), "lease_seconds": 30, "ahead_seconds": 1}
BYTES = 100_000
COMPRESSIBLE = {"text": "x" * BYTES}
INCOMPRESSIBLE = {"text": "".join(str(uuid.uuid4()) for _ in range(BYTES // 36))}


@pytest.fixture
def claim(database):
    """Insert jobs with metadata, and give a claim of them all."""

    def insert(metadata: dict[str, Any], count: int = 4, **columns: Any) -> Any:
        names = ", ".join(["handler", "metadata", *columns])
        query = f"insert into public.scheduled_jobs ({names}) select %s, %s{', %s' * len(columns)}"
        query += " from generate_series(1, %s) returning id, due_at"
        values = ["large_claims", json.dumps(metadata), *columns.values(), count]
        rows = database.execute(query, values).fetchall()
        claims = [{"id": row["id"], "due": row["due_at"].isoformat()} for row in rows]

        def ask(max_bytes: int | None = None) -> Any:
            request = {**ME, "max_bytes": max_bytes, "claims": claims}
            query = "select public.claim_runs_v1(%s) as answer"
            answer = database.execute(query, [json.dumps(request)]).fetchone()["answer"]
            granted = {run["id"] for run in runs_of(answer)}
            assert {row["id"] for row in answer["rows"]} >= {each["id"] for each in claims} - granted
            claims[:] = [each for each in claims if each["id"] not in granted]
            return len(granted), answer["full"]

        return ask

    return insert


@pytest.mark.parametrize("columns", [{}, {"concurrency_key": None, "max_runs": 5}, {"overlap": "queue"}])
@pytest.mark.parametrize("metadata", [COMPRESSIBLE, INCOMPRESSIBLE], ids=["compressible", "incompressible"])
def test_a_claim_stops_once_it_carries_enough(claim, metadata, columns):
    """The one that passes the bound is granted as well, so that none is too large to be granted."""
    ask = claim(metadata, **columns)
    assert ask(int(1.5 * BYTES)) == (2, True)
    assert ask(1) == (1, True)
    assert ask(10 * BYTES) == (1, False)
    assert ask(10 * BYTES) == (0, False)


def test_what_is_claimed_one_by_one_counts_as_well(claim, database):
    """Jobs that share a key, of which many may run at a time."""
    ask = claim(COMPRESSIBLE, concurrency_key=str(uuid.uuid4()))
    ME["key_concurrency"] = 10
    assert ask(int(1.5 * BYTES)) == (2, True)
    assert ask(10 * BYTES) == (2, False)


def test_small_payloads_and_listeners_that_name_no_bound_are_granted_together(claim):
    """As before."""
    assert claim({}, count=50)(BYTES) == (50, False)
    assert claim(COMPRESSIBLE)() == (4, False)


SLOW = """
create function public.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.3); return new; end $$;
create trigger zzz_slow before insert on public.job_executions for each row execute function public.slow();
"""


def test_a_claim_stops_when_one_by_one_takes_too_long(database):
    """Others wait for the answer; who was named first comes first, but of one key the highest priority."""
    keys, ids = ["a", "b", "b", "c"], []
    for key, priority in zip(keys, [0, 5, 9, 100], strict=True):
        query = "insert into public.scheduled_jobs (handler, concurrency_key, priority) values ('h', %s, %s)"
        ids.append(database.execute(query + " returning id, due_at", [key, priority]).fetchone())
    claims = [{"id": row["id"], "due": row["due_at"].isoformat()} for row in ids]
    database.execute(SLOW)
    granted = []
    try:
        for limit, full in ((0.2, True), (0.2, True), (None, False)):
            request = {**ME, "key_concurrency": 1, "max_seconds": limit, "claims": claims}
            query = "select public.claim_runs_v1(%s) as answer"
            answer = database.execute(query, [json.dumps(request)]).fetchone()["answer"]
            assert (len(runs_of(answer)), answer["full"]) == (1, full)
            granted.append(runs_of(answer)[0]["id"])
            claims = [each for each in claims if each["id"] not in granted]
    finally:
        database.execute("drop function public.slow cascade")
    first, _, urgent, last = (row["id"] for row in ids)
    assert granted == [first, urgent, last]
