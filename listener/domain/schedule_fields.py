"""Reads the `schedule` of each trigger type into local times or an interval."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from listener.domain import cron
from listener.domain.days import DayRule, EveryDay, MonthDays, Weekdays
from listener.domain.job import TriggerType
from listener.domain.local_times import LocalTimes
from listener.domain.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAX_DAYS = 62
"""1 to 31 and -1 to -31: a longer list can only repeat itself."""

MIN_INTERVAL_SECONDS = 1
MAX_INTERVAL_SECONDS = 315_360_000  # ten years

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_KEYS: dict[TriggerType, tuple[frozenset[str], frozenset[str]]] = {
    TriggerType.ONCE: (frozenset(), frozenset()),
    TriggerType.DAILY: (frozenset({"time"}), frozenset()),
    TriggerType.WEEKLY: (frozenset({"time", "days"}), frozenset()),
    TriggerType.MONTHLY: (frozenset({"time", "days"}), frozenset({"missing_day"})),
    TriggerType.INTERVAL: (frozenset({"seconds"}), frozenset()),
    TriggerType.CRON: (frozenset({"expression"}), frozenset()),
}


def check_keys(kind: TriggerType, schedule: Mapping[str, Any]) -> None:
    """Refuse a schedule that lacks a key of its trigger, or has another's.

    Raises:
        InvalidValueError: naming the keys that the trigger has.
    """
    required, optional = _KEYS[kind]
    if not isinstance(schedule, Mapping) or not required <= set(schedule) <= required | optional:
        names = [f'"{key}"' for key in sorted(required)] + [f'"{key}" (optional)' for key in sorted(optional)]
        keys = ", ".join(names)
        refuse("schedule", schedule, f"an object with exactly the keys {{{keys}}} for {kind}")


def local_times(kind: TriggerType, schedule: Mapping[str, Any]) -> LocalTimes:
    """Return the local times of a daily, weekly, monthly or cron schedule.

    Raises:
        InvalidValueError: a value is not one that its key may have.
    """
    if kind is TriggerType.CRON:
        expression = schedule["expression"]
        return cron.parse(expression if isinstance(expression, str) else cron.normal(expression))
    hour, minute, second = _time_of_day(schedule["time"])
    return LocalTimes(_DAY_RULES[kind](schedule), (hour,), (minute,), (second,))


def interval(schedule: Mapping[str, Any]) -> timedelta:
    """Return the interval of an interval schedule, to the microsecond.

    Raises:
        InvalidValueError: it is no number, or out of bounds.
    """
    seconds = schedule["seconds"]
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
        allowed = f"a number from {MIN_INTERVAL_SECONDS} to {MAX_INTERVAL_SECONDS}"
        refuse("schedule.seconds", seconds, allowed)
    return timedelta(seconds=seconds)


def _time_of_day(value: object) -> tuple[int, int, int]:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        refuse("schedule.time", value, 'a time of day from "00:00" to "23:59", written "HH:MM" or "HH:MM:SS"')
    return int(found[1]), int(found[2]), int(found[3] or 0)


def _every_day(_schedule: Mapping[str, Any]) -> DayRule:
    return _EVERY_DAY


def _weekly(schedule: Mapping[str, Any]) -> DayRule:
    return _weekdays(tuple(_days(schedule["days"], WEEKDAYS, 'a list of weekdays from "monday" to "sunday"')))


def _monthly(schedule: Mapping[str, Any]) -> DayRule:
    missing = schedule.get("missing_day", "last")
    if missing not in ("last", "skip"):
        refuse("schedule.missing_day", missing, '"last" or "skip"')
    allowed = "a list of days from 1 to 31, or from -1 (the last day) to -31"
    days = _days(schedule["days"], _MONTH_DAYS, allowed)
    return MonthDays(frozenset(int(day) for day in days), clamp=missing == "last")


def _days(value: object, known: Sequence[Any], allowed: str) -> list[Any]:
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= MAX_DAYS:
        refuse("schedule.days", value, allowed)
    for day in value:
        if isinstance(day, bool) or day not in known:
            refuse("schedule.days", value, allowed)
    return list(value)


@lru_cache(maxsize=256)
def _weekdays(names: tuple[str, ...]) -> Weekdays:
    return Weekdays(frozenset(WEEKDAYS.index(name) for name in names))


_EVERY_DAY = EveryDay()
_MONTH_DAYS = [day for day in range(-31, 32) if day]
_DAY_RULES: dict[TriggerType, Callable[[Mapping[str, Any]], DayRule]] = {
    TriggerType.DAILY: _every_day,
    TriggerType.WEEKLY: _weekly,
    TriggerType.MONTHLY: _monthly,
}
