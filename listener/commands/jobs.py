"""`listener jobs`: lists jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from listener.commands.project import AsJson, connected, instant, read, show
from listener.domain.status import JobStatus

if TYPE_CHECKING:
    from listener.commands.project import Row

Status = Annotated[list[JobStatus] | None, typer.Option(help="Only jobs of this status; may be given again.")]
Handler = Annotated[str | None, typer.Option(help="Only jobs of this handler.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many jobs to show.")]


def jobs(status: Status = None, handler: Handler = None, limit: Limit = 50, *, as_json: AsJson = False) -> None:
    """List jobs: those that run or are due next first, then the others, newest first."""
    columns = {
        "id": lambda row: row["id"],
        "name": lambda row: row["name"] or row["job_id"],
        "handler": lambda row: row["handler"],
        "trigger": lambda row: row["trigger_type"],
        "status": lambda row: row["status"],
        "next run": lambda row: instant(row["next_run_at"]),
        "last run": lambda row: instant(row["last_run_at"]),
        "runs": _runs,
        "error": lambda row: row["error"],
    }
    with connected() as client:
        wanted = client.table("scheduled_jobs").select("*")
        if status:
            wanted = wanted.in_("status", [each.value for each in status])
        if handler:
            wanted = wanted.eq("handler", handler)
        found = read(client, wanted.order("next_run_at", nullsfirst=False).order("id", desc=True).limit(limit))
    show(found, columns, "no jobs that this key may see", as_json=as_json)


def _runs(row: Row) -> str:
    return f"{row['total_runs']}, {row['failed_runs']} failed" if row["failed_runs"] else f"{row['total_runs']}"
