"""Reads the `schedule` of each trigger type into local times or an interval."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from listener.domain import cron
from listener.domain.cron_fields import as_text
from listener.domain.days import DayRule, EveryDay, MonthDays, Weekdays
from listener.domain.job import TriggerType
from listener.domain.local_times import LocalTimes
from listener.domain.refusal import refuse_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAX_DAYS = 62
"""1 to 31 and -1 to -31: a longer list can only repeat itself."""

MIN_INTERVAL_SECONDS = 1
MAX_INTERVAL_SECONDS = 315_360_000  # ten years

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_KEYS: dict[TriggerType, tuple[tuple[str, ...], tuple[str, ...]]] = {
    TriggerType.ONCE: ((), ()),
    TriggerType.DAILY: (("time",), ()),
    TriggerType.WEEKLY: (("time", "days"), ()),
    TriggerType.MONTHLY: (("time", "days"), ("missing_day",)),
    TriggerType.INTERVAL: (("seconds",), ()),
    TriggerType.CRON: (("expression",), ()),
}


def check_keys(kind: TriggerType, schedule: Mapping[str, Any]) -> None:
    """Refuse a schedule that lacks a key of its trigger, or has another's.

    Raises:
        InvalidValueError: naming the keys that the trigger has.
    """
    required, optional = _KEYS[kind]
    if not isinstance(schedule, Mapping) or not {*required} <= {*schedule} <= {*required, *optional}:
        names = [f'"{key}"' for key in required] + [f'"{key}" (optional)' for key in optional]
        refuse_schedule(schedule, f"an object with exactly the keys {{{', '.join(names)}}}")


def local_times(kind: TriggerType, schedule: Mapping[str, Any]) -> LocalTimes:
    """Return the local times of a daily, weekly, monthly or cron schedule.

    Raises:
        InvalidValueError: a value is not one that its key may have.
    """
    if kind is TriggerType.CRON:
        return cron.parse(as_text(schedule["expression"]))
    hour, minute, second = _time_of_day(schedule)
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
        refuse_schedule(schedule, f'"seconds" to be {allowed}')
    return timedelta(seconds=seconds)


def _time_of_day(schedule: Mapping[str, Any]) -> tuple[int, int, int]:
    value = schedule["time"]
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        expected = '"time" to be a time of day from "00:00" to "23:59", written "HH:MM" or "HH:MM:SS"'
        refuse_schedule(schedule, expected)
    return int(found[1]), int(found[2]), int(found[3] or 0)


def _every_day(_schedule: Mapping[str, Any]) -> DayRule:
    return _EVERY_DAY


def _weekly(schedule: Mapping[str, Any]) -> DayRule:
    return _weekdays(tuple(_days(schedule, WEEKDAYS, 'weekdays from "monday" to "sunday"')))


def _monthly(schedule: Mapping[str, Any]) -> DayRule:
    days = _days(schedule, _MONTH_DAYS, "days from 1 to 31, or from -1 (the last day) to -31")
    missing = schedule.get("missing_day", "last")
    if missing not in ("last", "skip"):
        refuse_schedule(schedule, '"missing_day" to be "last" or "skip"')
    return MonthDays(frozenset(int(day) for day in days), clamp=missing == "last")


def _days(schedule: Mapping[str, Any], known: Sequence[Any], allowed: str) -> list[Any]:
    value = schedule["days"]
    is_list = isinstance(value, (list, tuple)) and 0 < len(value) <= MAX_DAYS
    if not is_list or any(isinstance(day, bool) or day not in known for day in value):
        refuse_schedule(schedule, f'"days" to be a list of {allowed}')
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
