"""`listener logs RUN`: shows the log of a run."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from listener.client.errors import JobNotFound
from listener.client.models import DONE
from listener.commands.project import COLOURS, AsJson, connected, instant, job_named, printable, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supabase import Client

    from listener.commands.project import Row

LOOK_SECONDS = 1.0
"""How often the log of a run in progress is read."""
PAGE = 1000

Run = Annotated[str, typer.Argument(help="The run's id, or a job's id or job_id: its latest run.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Wait for its end; exit with 1 unless it completed.")]


def logs(run: Run, *, follow: Follow = False, as_json: AsJson = False) -> None:
    """Show the log of a run. With --json and --follow, one JSON object a line."""
    with connected() as client:
        row = _run_named(client, run, wait=follow)
        if as_json and not follow:
            typer.echo(json.dumps(list(_lines(client, row["id"], 0)), ensure_ascii=False, indent=2))
            return
        last = 0
        while True:
            row = _run_named(client, row["id"])  # before its lines: those of a run that has ended are all there
            for line in _lines(client, row["id"], last):
                last = line["id"]
                typer.echo(json.dumps(line, ensure_ascii=False) if as_json else _text(line))
            if row["status"] in DONE or not follow:
                break
            time.sleep(LOOK_SECONDS)
    if not as_json:
        typer.echo(_end(row), err=True)
    if follow and row["status"] != "completed":
        raise typer.Exit(1)


def _run_named(client: Client, name: str, *, wait: bool = False) -> Row:
    """Return the run with this id, or the latest one of a job; `wait` for the job's first."""
    runs = client.table("job_executions").select("*")
    found = read(client, runs.eq("id", name)) if _is_uuid(name) else []
    if found:
        return found[0]
    job = job_named(client, name)  # a job_id may be a UUID too
    while True:
        runs = client.table("job_executions").select("*").eq("scheduled_job_id", job)
        if found := read(client, runs.order("scheduled_for", desc=True).order("attempt", desc=True).limit(1)):
            return found[0]
        if not wait:
            message = f"job {name!r} has no runs yet; --follow waits for the first"
            raise JobNotFound(message)
        time.sleep(LOOK_SECONDS)


def _is_uuid(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True


def _lines(client: Client, run: str, after: int) -> Iterator[Row]:
    while True:
        lines = client.table("job_execution_logs").select("*").eq("execution_id", run).gt("id", after)
        page = read(client, lines.order("id").limit(PAGE))
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1]["id"]


def _text(line: Row) -> str:
    fields = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in line["fields"].items())
    level = typer.style(f"{line['level']:<8}", fg=COLOURS.get(line["level"]))
    return f"{instant(line['at'])} {level} {printable(line['message'])} {printable(fields)}".rstrip()


def _end(row: Row) -> str:
    why = ": ".join(printable(row[column]) for column in ("reason", "error") if row[column])
    return f"run {row['id']} of job {row['scheduled_job_id']} is {row['status']}{f' ({why})' if why else ''}"
