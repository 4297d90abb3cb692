"""`listener preview`: shows the next runs of a schedule."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from listener.clock import DatabaseClock
from listener.preview.request import read_request
from listener.preview.schedule_preview import as_instants, as_text
from listener.preview.schedule_preview import preview as occurrences_of

Word = str | None
Cron = Annotated[Word, typer.Option(help="A cron expression; short for --trigger cron.")]
Kind = Annotated[Word, typer.Option(help="The trigger type.")]
Schedule = Annotated[Word, typer.Option(help='The schedule as JSON, such as {"time":"02:30"}.')]
Zone = Annotated[Word, typer.Option(help="The IANA zone of the schedule; UTC.")]
Count = Annotated[str, typer.Option("--count", "-n", help="How many runs to show.")]
Instant = Annotated[Word, typer.Option(help="An instant with its offset, such as 2026-03-07T12:00:00Z; now.")]
End = Annotated[Word, typer.Option(help="The last instant at which the job may run.")]
Gap = Annotated[Word, typer.Option(help="A local time that does not exist: run_after or skip.")]
Fold = Annotated[Word, typer.Option(help="A local time that comes twice: first, second or both.")]


def preview(  # noqa: PLR0913, PLR0917 - the columns of a job that say when it runs
    cron: Cron = None,
    trigger: Kind = None,
    schedule: Schedule = None,
    timezone: Zone = None,
    n: Count = "5",
    after: Instant = None,
    run_date: Instant = None,
    ends_at: End = None,
    dst_gap: Gap = None,
    dst_fold: Fold = None,
    as_json: Annotated[bool, typer.Option("--json", help="Only the instants: a JSON array, in UTC.")] = False,  # noqa: FBT002
) -> None:
    """Show the next runs of a schedule: local time, UTC, and where clocks change."""
    words = {
        "cron": cron,
        "trigger": trigger,
        "schedule": schedule,
        "timezone": timezone,
        "n": n,
        "after": after,
        "run_date": run_date,
        "ends_at": ends_at,
        "dst_gap": dst_gap,
        "dst_fold": dst_fold,
    }
    request = read_request(words, DatabaseClock().now(), prefix="--")
    occurrences = occurrences_of(request.trigger, request.after, request.n)
    typer.echo(json.dumps(as_instants(occurrences)) if as_json else as_text(request.trigger, occurrences))
