"""Converts cron expressions to local times, on croniter.

croniter is given lists of numbers, which `cron_fields` has read and checked: never a step, a name or a range that
wraps. Its own search is not used, because it runs a daily 01:30 twice when clocks go back, and because parsing anew at
every call costs more than the answer.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from croniter import croniter

from listener.domain.cron_fields import CronFields, read, refuse_never
from listener.domain.days import CronDays, DayRule, EveryDay, Weekdays
from listener.domain.local_times import LocalTimes

if TYPE_CHECKING:
    from collections.abc import Sequence

_EVERY = _EVERY_MINUTE, _EVERY_HOUR, _EVERY_NUMBER, _EVERY_MONTH, _EVERY_WEEKDAY, _EVERY_SECOND = (
    range(60), range(24), range(1, 32), range(1, 13), range(7), range(60),
)  # fmt: skip
_ON_THE_MINUTE = frozenset({0})
_ANY_YEAR = date(2000, 1, 1)


@lru_cache(maxsize=2048)
def parse(expression: str) -> LocalTimes:
    """Return the local times that `expression` names; the sixth of six fields, at the end, is the second.

    Raises:
        InvalidValueError: it is no cron expression, or names no date that ever comes.
    """
    fields = read(expression)
    expanded, _ = croniter.expand(as_numbers(fields))
    minutes, hours, numbers, months, weekdays, *seconds = map(_read, expanded, _EVERY)
    days = _days(
        fields, fields.numbers.intersection(numbers), frozenset(months), fields.weekdays.intersection(weekdays)
    )
    if len(months) < len(_EVERY_MONTH) and days.at_or_after(_ANY_YEAR) is None:
        refuse_never(expression)
    return LocalTimes(days, hours, minutes, seconds[0] if seconds else (0,), fields.follows_clock)


def as_numbers(fields: CronFields) -> str:
    """Return the fields as croniter is given them: stars, and lists of ascending numbers.

    A day field that names only days that depend on the month (L, W and #) is a star.
    """
    lists = [fields.minutes, fields.hours, fields.numbers, fields.months, fields.weekdays]
    if fields.seconds != _ON_THE_MINUTE:
        lists.append(fields.seconds)
    return " ".join(map(_spelled, lists, map(len, _EVERY)))


@lru_cache(maxsize=1024)  # the same few fields stand in most expressions
def _spelled(values: frozenset[int], most: int) -> str:
    return "*" if len(values) in {0, most} else ",".join(map(str, sorted(values)))


def _read(found: Sequence[int | str], every: range) -> tuple[int, ...]:
    return tuple(every) if found == ["*"] else tuple(sorted(map(int, found)))


def _days(fields: CronFields, numbers: frozenset[int], months: frozenset[int], weekdays: frozenset[int]) -> DayRule:
    any_number, any_weekday = len(numbers) == len(_EVERY_NUMBER), len(weekdays) == len(_EVERY_WEEKDAY)
    if len(months) == len(_EVERY_MONTH):
        if (any_number and any_weekday) or (not fields.both and (any_number or any_weekday)):
            return EveryDay()
        if fields.both and any_number and not fields.nth:
            return Weekdays(frozenset(map(_monday_first, weekdays)))
    return CronDays(
        months=months,
        numbers=numbers | fields.from_end,
        nearest=fields.nearest,
        weekdays=frozenset(map(_monday_first, weekdays)),
        nth=frozenset((_monday_first(weekday), count) for weekday, count in fields.nth),
        any_number=any_number,
        any_weekday=any_weekday,
        either=not fields.both,
    )


def _monday_first(cron_weekday: int) -> int:
    return (cron_weekday - 1) % 7
