"""Rules for the local dates of a schedule. Each rule returns the first of its dates at or after a given one."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

HORIZON_YEARS = 50
"""How many years a rule searches: a 29 February on a given weekday comes at least every 40 years."""

SATURDAY, SUNDAY = 5, 6
LAST = -1


class DayRule(Protocol):
    """A set of local dates."""

    def at_or_after(self, day: date) -> date | None:
        """Return the first date of the set that is not before `day`; None when there is none within the horizon."""
        ...


@dataclass(frozen=True, slots=True)
class EveryDay:
    """Every date."""

    def at_or_after(self, day: date) -> date | None:
        """Return `day` itself."""
        return day


@dataclass(frozen=True, slots=True)
class Weekdays:
    """Dates by weekday, 0 being Monday."""

    days: frozenset[int]

    def at_or_after(self, day: date) -> date | None:
        """Return the first of the next seven dates that is one of the weekdays."""
        weekday = day.weekday()
        ahead = min((wanted - weekday) % 7 for wanted in self.days)
        return day + timedelta(days=ahead) if ahead else day


@dataclass(frozen=True, slots=True)
class MonthDays:
    """Dates by number in every month; negative numbers count from the end.

    A number that the month lacks stands for the month's end on its side (the 31st for the last day, -31 for the first)
    where `clamp` is set, and for no date otherwise.
    """

    days: frozenset[int]
    clamp: bool

    def at_or_after(self, day: date) -> date | None:
        """Return the first such date from `day` on."""
        return _scan(day, _ALL_MONTHS, self)

    def of_month(self, year: int, month: int) -> list[int]:
        """Return the numbers of the month's dates, ascending."""
        length = monthrange(year, month)[1]
        numbers = {day if day > 0 else length + 1 + day for day in self.days}
        if self.clamp:
            return sorted({min(max(number, 1), length) for number in numbers})
        return sorted(number for number in numbers if 1 <= number <= length)


@dataclass(frozen=True, slots=True)
class CronDays:
    """Dates as the three day fields of a cron expression name them; weekdays count from Monday, 0.

    `numbers` holds days of the month, negative ones from its end (`LAST` is -1); `nearest` those written as `15W`;
    `weekdays` whole weekdays; `nth` pairs of a weekday and its count in the month, `LAST` for the last one.
    `any_number` and `any_weekday` say that a field does not restrict; `either` that one of the two fields is enough.
    """

    months: frozenset[int]
    numbers: frozenset[int]
    nearest: frozenset[int]
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]]
    any_number: bool
    any_weekday: bool
    either: bool

    def at_or_after(self, day: date) -> date | None:
        """Return the first such date from `day` on."""
        return _scan(day, self.months, self)

    def of_month(self, year: int, month: int) -> list[int]:
        """Return the numbers of the month's dates, ascending."""
        first_weekday, length = monthrange(year, month)
        numbers = set(range(1, length + 1)) if self.any_number else self._by_number(first_weekday, length)
        weekdays = set(range(1, length + 1)) if self.any_weekday else self._by_weekday(first_weekday, length)
        return sorted(numbers | weekdays if self.either else numbers & weekdays)

    def _by_number(self, first_weekday: int, length: int) -> set[int]:
        found = {number if number > 0 else length + 1 + number for number in self.numbers}
        found |= {_nearest_weekday(number, first_weekday, length) for number in self.nearest}
        return {number for number in found if 1 <= number <= length}

    def _by_weekday(self, first_weekday: int, length: int) -> set[int]:
        found = {day for day in range(1, length + 1) if (first_weekday + day - 1) % 7 in self.weekdays}
        for weekday, count in self.nth:
            days = range(1 + (weekday - first_weekday) % 7, length + 1, 7)
            if count == LAST or count <= len(days):
                found.add(days[LAST if count == LAST else count - 1])
        return found


def _nearest_weekday(number: int, first_weekday: int, length: int) -> int:
    """Return the working day nearest to `number` that lies in the same month."""
    number = min(number, length)
    weekday = (first_weekday + number - 1) % 7
    if weekday == SATURDAY:
        return number - 1 if number > 1 else number + 2
    if weekday == SUNDAY:
        return number + 1 if number < length else number - 2
    return number


_ALL_MONTHS = frozenset(range(1, 13))


def _scan(day: date, months: frozenset[int], rule: MonthDays | CronDays) -> date | None:
    for year in range(day.year, min(day.year + HORIZON_YEARS, date.max.year) + 1):
        for month in sorted(months):
            if (year, month) < (day.year, day.month):
                continue
            earliest = day.day if (year, month) == (day.year, day.month) else 1
            for number in rule.of_month(year, month):
                if number >= earliest:
                    return date(year, month, number)
    return None
