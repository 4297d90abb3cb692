"""The meaning of a cron expression, by arithmetic on one value or date at a time: slow and short."""

from __future__ import annotations

from calendar import monthrange
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from listener.domain.days import DayRule

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_WORKING_DAYS = range(1, 6)


def due_dates(rule: DayRule, first: date, last: date) -> list[date]:
    """Return the dates of a rule from `first` to `last`, each the next one after the one before."""
    found, day = [], rule.at_or_after(first)
    while day is not None and day <= last:
        found.append(day)
        day = rule.at_or_after(day + timedelta(1))
    return found


def names_value(text: str, value: int, lowest: int, highest: int, names: list[str] | None = None) -> bool:
    """Whether a field of values, ranges and steps names `value`."""
    size = highest - lowest + 1

    def number(word: str) -> int:
        return names.index(word) + lowest if names and word in names else int(word)

    for element in text.split(","):
        span, _, step = element.partition("/")
        begin, _, end = span.partition("-")
        first = lowest if begin == "*" else number(begin)
        if begin == "*" or (step and not end):
            length = highest - first + 1
        elif end and (end == "7" and highest == 6):  # Sunday at the end of a week
            length = 7 - first % 7 + 1
        else:
            length = (number(end) - first) % size + 1 if end else 1
        place = (value - first) % size
        if place < length and place % int(step or 1) == 0:
            return True
    return False


def names_date(expression: str, day: date) -> bool:
    """Whether the day of the month, the month and the day of the week of an expression name `day`."""
    _, _, number, month, weekday, *_ = expression.lower().split()
    if not names_value(month, day.month, 1, 12, MONTHS):
        return False
    suits = (
        any(_is_day_of_month(element, day) for element in number.split(",")),
        any(_is_day_of_week(element, day) for element in weekday.split(",")),
    )
    return all(suits) if number[0] in "*?" or weekday[0] in "*?" else any(suits)


def _is_day_of_month(element: str, day: date) -> bool:
    length = monthrange(day.year, day.month)[1]
    if element == "?":
        return True
    if element.endswith("w"):
        wanted = length if element == "lw" else min(int(element[:-1]), length)
        working = [n for n in range(1, length + 1) if day.replace(day=n).isoweekday() in _WORKING_DAYS]
        return day.day == min(working, key=lambda n: abs(n - wanted))
    if element.startswith("l"):
        return length - day.day == int(element[2:] or 0)
    return names_value(element, day.day, 1, 31)


def _is_day_of_week(element: str, day: date) -> bool:
    if element == "?":
        return True
    word, _, count = element.partition("#")
    if count:
        return _is_day_of_week(word, day) and (day.day - 1) // 7 + 1 == int(count)
    if "l" in element:
        return _is_day_of_week(element.replace("l", ""), day) and day.day + 7 > monthrange(day.year, day.month)[1]
    return names_value(element, day.isoweekday() % 7, 0, 6, WEEKDAYS)
