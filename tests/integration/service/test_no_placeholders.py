"""Instants that are not to come are null: neither REST nor Realtime shows a far year, or infinity, in their place."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from bursts import watching
from patience import until

if TYPE_CHECKING:
    from supabase_project import Project

    from listener.local.stack import Stack

pytestmark = pytest.mark.usefixtures("listener")
PLACEHOLDER = re.compile(r"(?<![\d-])[3-9]\d{3}-\d\d-\d\d|infinity", re.IGNORECASE)
JOBS: dict[str, dict[str, Any]] = {
    "once": {},
    "recurring": {"trigger_type": "daily", "schedule": {"time": "08:00"}},
    "exhausted": {"trigger_type": "interval", "schedule": {"seconds": 1}, "max_runs": 2},
    "failed": {"handler": "give_up"},
    "holder": {"handler": "rest", "metadata": {"seconds": 1}, "concurrency_key": "printer", "priority": 1},
    "queued by key": {"handler": "rest", "metadata": {"seconds": 0.1}, "concurrency_key": "printer"},
    "paused in its last run": {"handler": "rest", "metadata": {"seconds": 1}},
    "cancelled": {"run_date": "2090-01-01T00:00:00Z"},
}


async def test_no_job_shows_an_instant_that_never_comes(project: Project, embedded_stack: Stack) -> None:
    """Whether it runs once, goes on, is done, waits for its key, or is paused while it runs for the last time."""

    def act() -> dict[str, int]:
        jobs = {name: project.insert(**{"handler": "noop", "name": name, **row}) for name, row in JOBS.items()}
        project.wait(jobs["paused in its last run"], "running")
        project.call("pause_job", job=jobs["paused in its last run"])
        project.call("cancel_job", job=jobs["cancelled"])
        for name in ("once", "exhausted", "queued by key"):
            assert project.wait(jobs[name])["status"] == "completed"
        project.wait_for_runs(jobs["paused in its last run"], 1)
        last = project.insert(run_date="2090-01-01T00:00:00Z")
        until(lambda: last in seen, "Realtime, which keeps their order, has delivered all changes before")
        return jobs

    async with watching(embedded_stack.url, embedded_stack.service_key) as seen:
        jobs = await anyio.to_thread.run_sync(act)
    for name, job in jobs.items():
        row = project.client.table("scheduled_jobs").select("*").eq("id", job).execute().data[0]
        runs = project.client.table("job_executions").select("*").eq("scheduled_job_id", job).execute().data
        for shown in (row, *runs, *(change["record"] for change in seen[job])):
            assert not PLACEHOLDER.search(json.dumps({**shown, "run_date": None}, default=str)), (name, shown)
        assert row["next_run_at"] is None or name == "recurring", name
