"""Previews a schedule: its next runs, the clock changes among them, and a description in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import TYPE_CHECKING

from listener.domain.clock_changes import offset_change, zone
from listener.domain.cron_fields import read
from listener.domain.job import Trigger, TriggerType
from listener.domain.schedule import upcoming, validate
from listener.domain.schedule_fields import local_times
from listener.preview.cron_words import cron_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

_ABSOLUTE = (TriggerType.ONCE, TriggerType.INTERVAL)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One due instant: `at` in UTC, `local` as the zone's clock shows it, and a `note` at a clock change."""

    at: datetime
    local: str
    note: str | None = None


def preview(trigger: Trigger, after: datetime, n: int) -> list[Occurrence]:
    """Return the first `n` due instants later than `after` (aware), fewer where the job is exhausted before.

    Raises:
        InvalidValueError: the trigger is not one that `schedule.validate` accepts.
    """
    validate(trigger)
    tz = zone(trigger.timezone)
    instants = list(islice(takewhile(_has_local_time, upcoming(trigger, after)), n))
    return [
        Occurrence(at, _local_text(at.astimezone(tz)), _note(trigger, tz, previous, at))
        for previous, at in pairwise([after, *instants])
    ]


def _has_local_time(at: datetime) -> bool:
    """Return whether every zone can write it: the last day of the year 9999 ends earlier in UTC than in the west."""
    return at.year < MAXYEAR


def describe(trigger: Trigger) -> str:
    """Describe the trigger in words, for instance "At 09:00, Monday through Friday, America/New_York".

    Raises:
        InvalidValueError: the trigger is not one that `schedule.validate` accepts.
    """
    validate(trigger)
    schedule = trigger.schedule
    match trigger.type:
        case TriggerType.ONCE:
            return f"Once, at {_iso(trigger.run_date)}"
        case TriggerType.INTERVAL:
            return f"Every {_span(timedelta(seconds=schedule['seconds']))} from {_iso(trigger.run_date)}"
        case TriggerType.CRON:
            words = cron_words(read(schedule["expression"]))
        case _:
            words = f"At {schedule['time']}, {_days_words(trigger.type, schedule)}"
    return f"{words}, {trigger.timezone}"


def as_text(trigger: Trigger, occurrences: list[Occurrence]) -> str:
    """Return the description, then a line for each occurrence: local time, UTC, and its note."""
    lines = [describe(trigger)]
    width = max((len(occurrence.local) for occurrence in occurrences), default=0)
    for number, occurrence in enumerate(occurrences, 1):
        note = f"  ({occurrence.note})" if occurrence.note else ""
        lines.append(f"{number:3}  {occurrence.local:{width}}  {_iso(occurrence.at)}{note}")
    return "\n".join(lines if occurrences else [*lines, "  no run: the schedule is exhausted"])


def as_instants(occurrences: list[Occurrence]) -> list[str]:
    """Return only the instants, in UTC, as ISO 8601."""
    return [_iso(occurrence.at) for occurrence in occurrences]


def as_answer(trigger: Trigger, occurrences: list[Occurrence]) -> dict[str, object]:
    """Return the description and all occurrences as JSON: `description`, `runs` of `at` (UTC), `local` and `note`."""
    runs = [{"at": _iso(each.at), "local": each.local, "note": each.note} for each in occurrences]
    return {"description": describe(trigger), "runs": runs}


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def _local_text(local: datetime) -> str:
    time = local.strftime("%H:%M:%S").removesuffix(":00")
    return f"{local:%a} {local.date()} {time} {local.tzname()}"


def _note(trigger: Trigger, tz: ZoneInfo, previous: datetime, at: datetime) -> str | None:
    notes = (_since_the_previous(tz, previous, at), None if trigger.type in _ABSOLUTE else _of_its_own(trigger, tz, at))
    return "; ".join(note for note in notes if note) or None


def _since_the_previous(tz: ZoneInfo, previous: datetime, at: datetime) -> str | None:
    shift = _offset(at.astimezone(tz)) - _offset(previous.astimezone(tz))
    if not shift:
        return None
    return f"clocks go {'forward' if shift > timedelta() else 'back'} by {_span(abs(shift))} before it"


def _of_its_own(trigger: Trigger, tz: ZoneInfo, at: datetime) -> str | None:
    """Return whether the local time was moved out of a gap, or is one pass of a fold."""
    local = at.astimezone(tz)
    naive = local.replace(tzinfo=None, fold=0)
    if offset_change(tz, at) > timedelta() and naive not in local_times(TriggerType(trigger.type), trigger.schedule):
        return "moved: its own time does not exist that day"
    if _offset(local.replace(fold=0)) > _offset(local.replace(fold=1)):
        return f"{'second' if local.fold else 'first'} pass of the repeated time"
    return None


def _span(span: timedelta) -> str:
    """Return a length of time in hours, minutes and seconds, without those that are zero."""
    seconds = span.total_seconds()
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s"))
    return " ".join(f"{count:g} {unit}" for count, unit in parts if count)


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta()


def _days_words(kind: TriggerType, schedule: Mapping[str, list[object]]) -> str:
    if kind is TriggerType.DAILY:
        return "every day"
    days = ", ".join(str(day).capitalize() for day in schedule["days"])
    return days if kind is TriggerType.WEEKLY else f"on days {days} of the month (-1 is the last)"
