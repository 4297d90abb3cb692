"""Reads and checks the fields of a cron expression; the insert accepts the same ones (schema/20_definition/cron.sql).

Nothing else expands a field: croniter steps wrongly where a range wraps around the end, and accepts probable mistakes
such as `*/90` or `5-5`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from listener.domain.refusal import refuse_schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_EXPRESSION_CHARACTERS = 255
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LAST = -1
"""The last day of a month, or the last of its Mondays; -2 is the day before the last one."""

_FIELD_COUNTS = (5, 6)
_NO_RESTRICTION = ("*", "?")
_FOREIGN = re.compile(r"[^ -~\t]")
_ELEMENT = re.compile(r"(\*|[0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?(?:/([0-9]{1,3}))?", re.ASCII)
_WHOLE_WEEK = re.compile(r"(?<![0-9])(0|sun)-7(?![0-9])")
_FROM_END = re.compile(r"l(?:-([1-9]|[12][0-9]|30))?", re.ASCII)
_NEAREST = re.compile(r"(l|[1-9]|[12][0-9]|3[01])w", re.ASCII)
_NTH = re.compile(r"(sun|mon|tue|wed|thu|fri|sat|[0-7])(?:#([1-5])|l)|l([0-7])", re.ASCII)

_TEXT = f'"expression" to be a text of at most {MAX_EXPRESSION_CHARACTERS} characters'
_WHOLE = "five fields (minute hour day-of-month month day-of-week), a sixth for seconds, or an alias such as @daily"
_EITHER = "W, # and L of the week only where the other day field is * or ?"
_NEVER = "a day of the month that one of its months has"
# How other programs write what an expression here does not say, with what says it.
_ELSEWHERE = tuple(
    (re.compile(pattern), allowed)
    for pattern, allowed in (
        (r"^(cron_)?tz=", 'no TZ= before the fields: the column "timezone" names the zone'),
        (r"^@every", 'no @every: trigger_type "interval" has a schedule such as {"seconds": 300}'),
        (r"^@reboot", "no @reboot: a program inserts a job when it starts"),
        (r"^(cron|rate) ?[(]", 'the fields alone, without cron( ); for rate( ), trigger_type "interval"'),
        (
            r"^([^ ]+ ){6}[0-9*?][^ ]*$",
            'five fields, or six with the second at the end: no year, since the column "ends_at" ends a job',
        ),
        (r"(^|[ ,])[hr]($|[ ,(/])|[0-9]~[0-9]", "numbers: H, R and ~ stand for values that are drawn at random"),
        (
            r"^(?=.*[?])([^ ]+ ){5}[^ ]+$",
            "no ? beside six fields: here the last is the second; Quartz has it first, and AWS ends with a year",
        ),
    )
)


@dataclass(frozen=True, slots=True)
class CronFields:
    """The values that the fields of an expression name; a field without restriction has all its values.

    `numbers` are days of the month, `from_end` those counted from its end, from `LAST` down; `nearest` those of `15W`,
    31 for `LW`, the last working day. `weekdays` count from Sunday, 0; `nth` are pairs of a weekday and its count in
    the month, or `LAST`. `both` says that a date has to suit both day fields, as Vixie's rule has it where one starts
    with a star; `follows_clock` that the minute or the hour is a wildcard.
    """

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    numbers: frozenset[int]
    from_end: frozenset[int]
    nearest: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]]
    both: bool
    follows_clock: bool


@dataclass(frozen=True, slots=True)
class _Field:
    lowest: int
    highest: int
    allowed: str
    names: tuple[str, ...] = ()

    @property
    def all(self) -> frozenset[int]:
        return frozenset(range(self.lowest, self.highest + 1))

    def values(self, elements: Iterable[str]) -> frozenset[int] | None:
        """Return the values of all `elements`, None where one of them is no value, range, or step."""
        found: set[int] = set()
        for element in elements:
            values = self._element(element)
            if values is None:
                return None
            found.update(values)
        return frozenset(found)

    def _element(self, element: str) -> Sequence[int] | None:
        parts = _ELEMENT.fullmatch(element)
        if parts is None or element == "*":
            return None
        begin, end, step = parts.groups()
        size = self.highest - self.lowest + 1
        first = self.lowest if begin == "*" else self._number(begin)
        last = self._number(end) if end else self.highest if begin == "*" or step else first
        stride = int(step or 1)
        is_range = end is None or (begin != "*" and first != last)
        if first is None or last is None or not is_range or not 1 <= stride <= size:
            return None
        beyond = last if first <= last else last + size  # 22-2 goes on after the highest value
        return [self.lowest + (value - self.lowest) % size for value in range(first, beyond + 1, stride)]

    def _number(self, word: str) -> int | None:
        if word in self.names:
            return self.names.index(word) + self.lowest
        number = int(word) if word.isdigit() else -1
        number = 0 if self.names is WEEKDAYS and number == len(WEEKDAYS) else number  # Sunday
        return number if self.lowest <= number <= self.highest else None


_MINUTE = _Field(0, 59, "minute (field 1) to be 0-59, such as */5 or 0,30")
_HOUR = _Field(0, 23, "hour (field 2) to be 0-23, such as 9-17 or */2")
_MONTH_DAY = _Field(1, 31, "day of month (field 3) to be 1-31, L, L-3, LW or 15W, such as 1,15 or */2")
_MONTH = _Field(1, 12, "month (field 4) to be 1-12 or jan-dec, such as */3", MONTHS)
_WEEKDAY = _Field(0, 6, "day of week (field 5) to be 0-7 or sun-sat, mon#2 or friL, such as mon-fri or 1,3", WEEKDAYS)
_SECOND = _Field(0, 59, "second (field 6) to be 0-59, such as */10 or 0,30")


def as_text(expression: object) -> str:
    """Return `expression`.

    Raises:
        InvalidValueError: it is no text, or too long; the message is the insert's.
    """
    if not isinstance(expression, str) or len(expression) > MAX_EXPRESSION_CHARACTERS:
        refuse_schedule({"expression": expression}, _TEXT)
    return expression


def read(expression: str) -> CronFields:
    """Return what the fields of `expression` name.

    Raises:
        InvalidValueError: it is no cron expression; the message is the insert's.
    """
    texts = _split(as_text(expression))
    minute, hour, number, month, weekday, second = [*texts, "0"][:6]
    minutes, hours = _values(expression, _MINUTE, minute), _values(expression, _HOUR, hour)
    numbers, from_end, nearest = _month_days(number) or _refuse(expression, _MONTH_DAY.allowed)
    months = _values(expression, _MONTH, month)
    weekdays, nth = _weekdays(weekday) or _refuse(expression, _WEEKDAY.allowed)
    seconds = _values(expression, _SECOND, second)
    if (nearest and weekday not in _NO_RESTRICTION) or (nth and number not in _NO_RESTRICTION):
        _refuse(expression, _EITHER)
    return CronFields(
        seconds, minutes, hours, numbers, from_end, nearest, months, weekdays, nth,
        both=number[0] in _NO_RESTRICTION or weekday[0] in _NO_RESTRICTION,
        follows_clock=minute[0] == "*" or hour[0] == "*" or minutes == _MINUTE.all or hours == _HOUR.all,
    )  # fmt: skip


def refuse_never(expression: str) -> NoReturn:
    """Refuse an expression whose dates no month has.

    Raises:
        InvalidValueError: always.
    """
    _refuse(expression, _NEVER)


def _refuse(expression: str, allowed: str) -> NoReturn:
    text = _normal(expression)
    elsewhere = (instead for pattern, instead in _ELSEWHERE if pattern.search(text))
    refuse_schedule({"expression": expression}, next(elsewhere, allowed))


def _normal(expression: str) -> str:
    return " ".join(expression.lower().split())


def _split(expression: str) -> list[str]:
    """Return the five or six fields in lower case, those of an alias where it is one."""
    if _FOREIGN.search(expression):
        refuse_schedule({"expression": expression}, _WHOLE)
    text = _normal(expression)
    texts = ALIASES.get(text, text).split()
    if len(texts) not in _FIELD_COUNTS or (len(texts) == _FIELD_COUNTS[1] and "?" in text):
        _refuse(expression, _WHOLE)
    return texts


def _values(expression: str, field: _Field, text: str) -> frozenset[int]:
    found = field.all if text == "*" else _listed(field, text)
    return _refuse(expression, field.allowed) if found is None else found


@lru_cache(maxsize=1024)  # the same few fields stand in most expressions
def _listed(field: _Field, text: str) -> frozenset[int] | None:
    return field.values(text.split(","))


@lru_cache(maxsize=1024)
def _month_days(text: str) -> tuple[frozenset[int], frozenset[int], frozenset[int]] | None:
    """Return days of the month, days from its end, and nearest working days; None where an element is none of them."""
    if text in _NO_RESTRICTION:
        return _MONTH_DAY.all, frozenset(), frozenset()
    elements = text.split(",")
    from_end = [LAST - int(found[1] or 0) for found in map(_FROM_END.fullmatch, elements) if found]
    nearest = [31 if found[1] == "l" else int(found[1]) for found in map(_NEAREST.fullmatch, elements) if found]
    numbers = _MONTH_DAY.values(
        each for each in elements if not (_FROM_END.fullmatch(each) or _NEAREST.fullmatch(each))
    )
    return None if numbers is None else (numbers, frozenset(from_end), frozenset(nearest))


@lru_cache(maxsize=1024)
def _weekdays(text: str) -> tuple[frozenset[int], frozenset[tuple[int, int]]] | None:
    """Return whole weekdays and single ones of a month, None where an element is none."""
    if text in _NO_RESTRICTION:
        return _WEEKDAY.all, frozenset()
    elements = _WHOLE_WEEK.sub("0-6", text).split(",")
    nth = [
        (_sunday_first(found[1] or found[3]), int(found[2] or LAST)) for found in map(_NTH.fullmatch, elements) if found
    ]
    weekdays = _WEEKDAY.values(each for each in elements if not _NTH.fullmatch(each))
    return None if weekdays is None else (weekdays, frozenset(nth))


def _sunday_first(word: str) -> int:
    return WEEKDAYS.index(word) if word in WEEKDAYS else int(word) % len(WEEKDAYS)
