"""What was missed is in the ledger, also when it is too much to list."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg


def test_the_last_row_of_a_full_list_speaks_for_the_instants_that_have_none(database: psycopg.Connection[Any]) -> None:
    """Each listed instant is skipped with its reason; the last one says how many more there were."""
    job = database.execute(
        "insert into public.scheduled_jobs (handler, trigger_type, schedule) "
        """values ('noop', 'interval', '{"seconds": 60}') returning id, revision, now() - interval '1 hour' as due"""
    ).fetchone()
    plan = {"id": job["id"], "revision": job["revision"], "due": job["due"].isoformat()}
    database.execute("select public.plan_jobs_v1(%s)", [json.dumps({"plans": [plan]})])
    missed = [(job["due"] + timedelta(minutes=n)).isoformat() for n in range(3)]
    claim = {"id": job["id"], "due": missed[0], "next": (job["due"] + timedelta(days=1)).isoformat(), "run": None}
    claim |= {"missed": missed, "missed_reason": "misfire", "missed_more": 57}
    request = {"listener": str(uuid.uuid4()), "lease_seconds": 30, "ahead_seconds": 0, "claims": [claim]}
    database.execute("select public.claim_runs_v1(%s)", [json.dumps(request)])
    rows = database.execute("select status, reason, error from public.job_executions order by scheduled_for").fetchall()
    assert [(row["status"], row["reason"]) for row in rows] == [("skipped", "misfire")] * 3
    assert [row["error"] for row in rows] == [None, None, "57 later due instants were skipped for the same reason"]
