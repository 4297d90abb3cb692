"""Parses cron expressions: croniter reads the fields, this module converts them to local times.

Five fields, or six: the sixth, at the end, is the second. croniter's own search is not used, because it runs a daily
01:30 twice when clocks go back, and because parsing anew at every call costs more than the answer.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Any

from croniter import CroniterError, croniter

from listener.domain.days import LAST, CronDays, DayRule, EveryDay, Weekdays
from listener.domain.local_times import LocalTimes
from listener.domain.refusal import refuse

FIELD = "schedule.expression"
MAX_EXPRESSION_CHARACTERS = 255
"""croniter needs most of a second for a list of 200,000 elements."""

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_ALLOWED = (
    "five cron fields (minute hour day-of-month month day-of-week), a sixth for seconds, or an alias such as @daily, "
    f"in at most {MAX_EXPRESSION_CHARACTERS} characters"
)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Not h and r: croniter draws them at random, so that the same row would be due at other times after a restart.
_WORDS = frozenset({*MONTHS, *WEEKDAYS, "l", "w"})
_FIELD_COUNTS = (5, 6)
_CHARACTERS = re.compile(r"[0-9a-z*/,#?\s-]+", re.ASCII)
_ANY_YEAR = date(2000, 1, 1)


def normal(expression: object) -> str:
    """Return `expression` in lower case, its alias spelled out, its fields separated by one space.

    Raises:
        InvalidValueError: it is no text, too long, or has the wrong number of fields or foreign words.
    """
    if not isinstance(expression, str) or len(expression) > MAX_EXPRESSION_CHARACTERS:
        refuse(FIELD, expression, _ALLOWED)
    text = expression.strip().lower()
    fields = ALIASES.get(text, text).split()
    plain = " ".join(fields)
    words = set(re.findall("[a-z]+", plain))
    if len(fields) not in _FIELD_COUNTS or not _CHARACTERS.fullmatch(plain) or words - _WORDS:
        refuse(FIELD, expression, _ALLOWED)
    return plain


@lru_cache(maxsize=2048)
def parse(expression: str) -> LocalTimes:
    """Return the local times that `expression` names.

    Raises:
        InvalidValueError: it is no cron expression, or names no date that ever comes.
    """
    texts = normal(expression).split()
    # A list with a star in it names every value; croniter would leave the star among the others.
    full = ["*" if "*" in text.split(",") else text for text in texts]
    try:
        fields = croniter(" ".join(full), 0)
    except CroniterError:
        refuse(FIELD, expression, _ALLOWED)
    days = _days(fields, texts)
    if days.at_or_after(_ANY_YEAR) is None:
        refuse(FIELD, expression, "a day of the month that one of its months has")
    minutes, hours = _values(fields.expanded[0], 60), _values(fields.expanded[1], 24)
    seconds = _values(fields.expanded[5], 60) if len(texts) > _FIELD_COUNTS[0] else (0,)
    return LocalTimes(
        days, hours, minutes, seconds, follows_clock=_wild(texts[0], minutes, 60) or _wild(texts[1], hours, 24)
    )


def _values(expanded: list[Any], count: int) -> tuple[int, ...]:
    return tuple(range(count)) if expanded == ["*"] else tuple(sorted(expanded))


def _wild(text: str, values: tuple[int, ...], count: int) -> bool:
    """Return whether a field means "every so often": by Vixie's rule a leading star does, `0-23` does not."""
    return text.startswith("*") or len(values) == count


def _days(fields: Any, texts: list[str]) -> DayRule:  # noqa: ANN401 - its stubs lack `nearest_weekday`
    number_text, weekday_text = texts[2], texts[4]
    numbers, months, weekdays = fields.expanded[2:5]
    any_number, any_weekday = numbers == ["*"], weekdays == ["*"]
    # Vixie, Debian and pg_cron: either field is enough, unless one of them starts with a star.
    either = number_text[0] not in "*?" and weekday_text[0] not in "*?"
    if months == ["*"] and any_number and not fields.nth_weekday_of_month:
        return EveryDay() if any_weekday or either else Weekdays(frozenset(_monday_first(day) for day in weekdays))
    nth = fields.nth_weekday_of_month
    return CronDays(
        months=frozenset(range(1, 13)) if months == ["*"] else frozenset(months),
        numbers=frozenset(LAST if n == "l" else n for n in numbers if n != "*" and n not in fields.nearest_weekday),
        nearest=frozenset(fields.nearest_weekday),
        weekdays=frozenset(_monday_first(day) for day in weekdays if day != "*" and day not in nth),
        nth=frozenset(
            (_monday_first(day), LAST if count == "l" else int(count))
            for day, counts in nth.items()
            for count in counts
        ),
        any_number=any_number,
        any_weekday=any_weekday and not nth,
        either=either,
    )


def _monday_first(cron_weekday: int) -> int:
    return (cron_weekday - 1) % 7
