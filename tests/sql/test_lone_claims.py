"""The claim of a single job, which goes a way of its own, grants and writes what the claim of several does."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from answered_rows import runs_of
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    import psycopg

ME = str(uuid.uuid4())
OTHER = {"id": -1, "due": "2026-01-01T00:00:00Z"}
NEXT = {"next": "2030-01-01T00:00:00Z"}
HOURLY = {"trigger_type": "'interval'", "schedule": """'{"seconds": 3600}'"""}
LEFT_OUT = ("now", "execution_id", "id", "lease_expires_at")
"""Fields that differ from claim to claim."""

LEDGER = (
    "insert into public.job_executions (scheduled_job_id, scheduled_for, run_at, {columns})"
    " select id, due_at, due_at, {values} from public.scheduled_jobs where job_id = 'this'"
)

CASES: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "plain": ({}, {}, ""),
    "with all columns": (
        {"name": "'n'", "description": "'d'", "metadata": """'{"a": 1}'""", "priority": "7", "test_mode": "true"},
        {},
        "",
    ),
    "recurring": (HOURLY, NEXT, ""),
    "exhausted": (HOURLY, {**NEXT, "exhausted": True}, ""),
    "its last run": ({**HOURLY, "max_runs": "1"}, NEXT, ""),
    "one of its runs": ({**HOURLY, "max_runs": "2"}, NEXT, ""),
    "without a next instant": (HOURLY, {}, ""),
    "of a notification": ({}, {"hinted": True}, ""),
    "recurring, of a notification": (HOURLY, {**NEXT, "hinted": True}, ""),
    "of a notification, skipped when late": ({"misfire": "'skip'"}, {"hinted": True}, ""),
    "of a user": ({"created_by": "'00000000-0000-0000-0000-000000000001'"}, {}, ""),
    "of a user at the bound": (
        {"created_by": "'00000000-0000-0000-0000-000000000001'"},
        {},
        "update job_scheduler.limits set value = 1 where name = 'quota_max_running';"  # noqa: S608 - written here
        + LEDGER.format(
            columns="created_by, attempt, status, lease_expires_at", values="created_by, 2, 'running', now()"
        ),
    ),
    "defined otherwise": ({}, {"defined_at": "2020-01-01T00:00:00Z"}, ""),
    "of another instant": ({}, {"due": "2020-01-01T00:00:00Z"}, ""),
    "not due": ({"run_date": "now() + interval '1 minute'"}, {}, ""),
    "due in a moment": ({"run_date": "now() + interval '0.5 seconds'"}, {}, ""),
    "paused": ({"status": "'paused'"}, {"due": "2020-01-01T00:00:00Z"}, ""),
    "of another handler": ({"handler": "'others'"}, {}, ""),
    "with a key": ({"concurrency_key": "'k'"}, {}, ""),
    "claimed by somebody": (
        {},
        {},
        "update public.scheduled_jobs set status = 'running', due_at = null, next_run_at = null",
    ),
    "that had waited for its handler": (
        {},
        {},
        "update public.scheduled_jobs set error = 'no live listener has the handler x' where job_id = 'this'",
    ),
    "that had failed": (
        {},
        {},
        "update public.scheduled_jobs set error = 'boom', progress = 0.5, step = 's' where job_id = 'this'",
    ),
    "whose instant has run": (
        HOURLY,
        NEXT,
        LEDGER.format(columns="cause, attempt, status", values="'schedule', 1, 'completed'"),
    ),
    "with a queued run": (
        {},
        {},
        LEDGER.format(columns="cause", values="'manual'") + "; update public.scheduled_jobs set queued_runs = 1",  # noqa: S608 - as above
    ),
}

REFUSED = {
    "recurring, of a notification",
    "of a notification, skipped when late",
    "of a user at the bound",
    "defined otherwise",
    "of another instant",
    "whose instant has run",
    "not due",
    "paused",
    "of another handler",
    "claimed by somebody",
}


def outcome(answer: dict[str, Any], database: psycopg.Connection[Any], job: int) -> Any:
    """Return the answer, the job and its ledger, without what differs from claim to claim."""
    answer = dict(answer, runs=runs_of(answer))
    rows = [
        database.execute("select to_jsonb(j) as row from public.scheduled_jobs as j where id = %s", [job]).fetchall(),
        database.execute(
            "select to_jsonb(e) as row from public.job_executions as e where scheduled_job_id = %s"
            " order by cause, status, attempt",
            [job],
        ).fetchall(),
    ]
    return json.loads(json.dumps([answer, rows]), object_hook=_without_what_differs)


def _without_what_differs(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in LEFT_OUT}


@pytest.mark.parametrize("case", CASES)
def test_a_lone_claim_does_what_a_batch_does(database: psycopg.Connection[dict[str, Any]], case: str):
    """One request names the job alone, the other one beside a job that is not there: all else is the same."""
    columns, of_claim, before = CASES[case]
    columns = {"handler": "'lone'", "job_id": "'this'", **columns}
    seen = []
    with database.transaction(force_rollback=True):
        job = database.execute(
            f"insert into public.scheduled_jobs ({', '.join(columns)}) values ({', '.join(columns.values())})"  # noqa: S608 - written here
            " returning id, coalesce(due_at, now()) as due"
        ).fetchone()
        assert job is not None
        if before:
            database.execute("select set_config('job_scheduler.stage', 'service', true)")
            database.execute(before)
        claim = {"id": job["id"], "due": job["due"].isoformat(), **of_claim}
        request = {"listener": ME, "handlers": ["lone"], "lease_seconds": 30, "ahead_seconds": 1, "max_bytes": 100_000}
        for claims in ([claim], [claim, OTHER]):
            with database.transaction(force_rollback=True):
                query, content = "select public.claim_runs_v1(%s) as answer", Jsonb({**request, "claims": claims})
                found = database.execute(query, [content]).fetchone()
                assert found is not None
                seen.append(outcome(found["answer"], database, job["id"]))
    assert seen[0] == seen[1]
    assert bool(seen[0][0]["runs"]) == (case not in REFUSED), "the case is what it says"
