"""`listener preview`: what a schedule will do."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from listener.clock import DatabaseClock
from listener.domain.job import DstFold, DstGap, Trigger, TriggerType
from listener.domain.refusal import refuse
from listener.preview import as_instants, as_text
from listener.preview import preview as occurrences_of

MOST_RUNS = 10_000
Cron = Annotated[str | None, typer.Option(help="A cron expression; short for --trigger cron.")]
Kind = Annotated[TriggerType | None, typer.Option("--trigger", help="The trigger type.")]
Schedule = Annotated[str, typer.Option(help='The schedule as JSON, such as {"time":"02:30"}.')]
Count = Annotated[int, typer.Option("--count", "-n", min=1, max=MOST_RUNS, help="How many runs to show.")]
Instant = Annotated[str | None, typer.Option(help="An instant with its offset, such as 2026-03-07T12:00:00Z; now.")]
End = Annotated[str | None, typer.Option(help="The last instant at which the job may run.")]


def preview(  # noqa: PLR0913, PLR0917 - the columns of a job that say when it runs
    cron: Cron = None,
    trigger: Kind = None,
    schedule: Schedule = "{}",
    timezone: Annotated[str, typer.Option(help="The IANA zone of the schedule.")] = "UTC",
    n: Count = 5,
    after: Instant = None,
    run_date: Instant = None,
    ends_at: End = None,
    dst_gap: Annotated[DstGap, typer.Option(help="A local time that does not exist.")] = DstGap.RUN_AFTER,
    dst_fold: Annotated[DstFold, typer.Option(help="A local time that comes twice.")] = DstFold.FIRST,
    as_json: Annotated[bool, typer.Option("--json", help="Only the instants: a JSON array, in UTC.")] = False,  # noqa: FBT002
) -> None:
    """Show the next runs of a schedule: local time, UTC, and where clocks change."""
    kind, says = _schedule(cron, trigger, schedule)
    start = _instant("--after", after) or DatabaseClock().now().replace(microsecond=0)
    begin = _instant("--run-date", run_date) or start
    job = Trigger(kind, begin, says, timezone, _instant("--ends-at", ends_at), dst_gap, dst_fold)
    occurrences = occurrences_of(job, start, n)
    typer.echo(json.dumps(as_instants(occurrences)) if as_json else as_text(job, occurrences))


def _schedule(cron: str | None, kind: TriggerType | None, text: str) -> tuple[TriggerType, Any]:
    if cron is not None:
        if kind not in (None, TriggerType.CRON) or text != "{}":
            refuse("--cron", cron, "no --trigger or --schedule beside it")
        return TriggerType.CRON, {"expression": cron}
    if kind is None:
        refuse("--trigger", kind, f"--cron, or one of {', '.join(TriggerType)}")
    try:
        says = json.loads(text)
    except ValueError:
        refuse("--schedule", text, 'JSON, such as {"time":"02:30"}')
    return kind, says


def _instant(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = datetime.min  # noqa: DTZ901 - has no offset, so it is refused below
    if instant.utcoffset() is None:
        refuse(option, text, "an instant with its UTC offset, such as 2026-03-07T12:00:00Z")
    return instant
