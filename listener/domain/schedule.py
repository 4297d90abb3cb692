"""Computes when a job is due, and is the only place that does: the database stores its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from listener.domain.clock_changes import next_instant, zone
from listener.domain.job import DstFold, DstGap, Trigger, TriggerType
from listener.domain.refusal import instant, refuse_column, word
from listener.domain.schedule_fields import check_keys, interval, local_times

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

_TICK = timedelta(microseconds=1)  # PostgreSQL's resolution
_ORIGIN = datetime.min.replace(tzinfo=UTC)


def next_run(trigger: Trigger, after: datetime) -> datetime | None:
    """Return the first due instant later than `after` (aware), in UTC; None when the job is exhausted.

    A recurring job is due neither before its `run_date` nor after its `ends_at`; both are instants that it may have.

    Raises:
        InvalidValueError: the trigger is not one that `validate` accepts.
    """
    kind = word(TriggerType, "trigger_type", trigger.type)
    check_keys(kind, trigger.schedule)
    start = instant("run_date", trigger.run_date).astimezone(UTC)
    after = instant("after", after).astimezone(UTC)
    if kind is TriggerType.ONCE:
        return start if start > after else None
    try:
        found = _next_recurring(kind, trigger, start, after)
    except OverflowError:  # beyond the year 9999
        return None
    if found is None or (trigger.ends_at is not None and found > instant("ends_at", trigger.ends_at)):
        return None
    return found


def first_run(trigger: Trigger, defined_at: datetime) -> datetime | None:
    """Return the first due instant of a job defined, edited or resumed at `defined_at`: never before that instant.

    A one-time job whose `run_date` has passed is due at once, because whoever defined it wants it to run.

    Raises:
        InvalidValueError: the trigger is not one that `validate` accepts.
    """
    start = max(instant("run_date", trigger.run_date), instant("defined_at", defined_at)).astimezone(UTC)
    if trigger.type == TriggerType.ONCE:
        check_keys(TriggerType.ONCE, trigger.schedule)
        return start
    return next_run(trigger, start - _TICK if start > _ORIGIN else start)


def upcoming(trigger: Trigger, after: datetime) -> Iterator[datetime]:
    """Yield the due instants later than `after`, one by one, until the job is exhausted.

    Raises:
        InvalidValueError: the trigger is not one that `validate` accepts.
    """
    found = next_run(trigger, after)
    while found is not None:
        yield found
        found = next_run(trigger, found)


def validate(trigger: Trigger) -> None:
    """Refuse a trigger that could not be scheduled as it is written.

    Raises:
        InvalidValueError: naming the column, its value and what is allowed.
    """
    kind = word(TriggerType, "trigger_type", trigger.type)
    word(DstGap, "dst_gap", trigger.dst_gap)
    word(DstFold, "dst_fold", trigger.dst_fold)
    _zone_of(trigger)
    instant("run_date", trigger.run_date)
    if trigger.ends_at is not None:
        instant("ends_at", trigger.ends_at)
    check_keys(kind, trigger.schedule)
    if kind is TriggerType.INTERVAL:
        interval(trigger.schedule)
    elif kind is not TriggerType.ONCE:
        local_times(kind, trigger.schedule)


def _next_recurring(kind: TriggerType, trigger: Trigger, start: datetime, after: datetime) -> datetime | None:
    if kind is TriggerType.INTERVAL:
        return _next_multiple(start, interval(trigger.schedule), after)
    times = local_times(kind, trigger.schedule)
    if after < start:
        after = start - _TICK
    gap, fold = word(DstGap, "dst_gap", trigger.dst_gap), word(DstFold, "dst_fold", trigger.dst_fold)
    return next_instant(times, _zone_of(trigger), after, gap, fold)


def _next_multiple(start: datetime, step: timedelta, after: datetime) -> datetime:
    """Intervals count absolute time from `start`: neither a clock change nor a late run moves them."""
    return start if after < start else start + ((after - start) // step + 1) * step


def _zone_of(trigger: Trigger) -> ZoneInfo:
    if not isinstance(trigger.timezone, str):
        refuse_column("timezone", trigger.timezone, "the name of an IANA time zone")
    return zone(trigger.timezone)
