"""`listener runs JOB`: lists the runs of a job, one line for each due instant."""

from __future__ import annotations

from typing import Annotated

import typer

from listener.commands.project import AsJson, connected, instant, job_named, read, show, span

Job = Annotated[str, typer.Argument(help="The job's id or job_id.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many runs to show.")]


def runs(job: Job, limit: Limit = 20, *, as_json: AsJson = False) -> None:
    """List the runs of a job, latest first: also what did not run, with the reason."""
    columns = {
        "run": lambda row: row["id"],
        "due": lambda row: instant(row["scheduled_for"]),
        "cause": lambda row: row["cause"],
        "attempt": lambda row: row["attempt"],
        "status": lambda row: row["status"],
        "reason": lambda row: row["reason"],
        "late": lambda row: span(row["lateness_ms"]),
        "took": lambda row: span(row["duration_ms"]),
        "error": lambda row: row["error"],
    }
    with connected() as client:
        key = job_named(client, job)
        history = client.table("job_executions").select("*").eq("scheduled_job_id", key)
        found = read(client, history.order("scheduled_for", desc=True).order("attempt", desc=True).limit(limit))
    show(found, columns, f"job {key} has no runs yet", as_json=as_json)
