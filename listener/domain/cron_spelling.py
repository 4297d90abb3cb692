"""Checks the spelling of a cron expression, as the database does at the insert and a preview must do.

Stricter than croniter, which also accepts probable mistakes: `*/90`, `5-5` (every value), a star inside of a list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from listener.domain.cron import ALIASES, FIELD, MONTHS, WEEKDAYS, normal
from listener.domain.refusal import refuse

_ELEMENT = re.compile(r"(\*|[0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?(?:/([0-9]{1,3}))?", re.ASCII)
_FOREIGN = re.compile(r"[^ -~\t]", re.ASCII)
_NEAREST = re.compile(r"([1-9]|[12][0-9]|3[01])w", re.ASCII)
_NTH_DAY = rf"(?:(?:{'|'.join(WEEKDAYS)}|[0-7])#[1-5]|l[0-7])"
_NTH = re.compile(f"{_NTH_DAY}(?:,{_NTH_DAY})*", re.ASCII)
_LAST_DAY = re.compile(r"(?<![^,])l(?![^,])")


@dataclass(frozen=True, slots=True)
class _Field:
    lowest: int
    highest: int
    allowed: str
    names: tuple[str, ...] = ()

    def reads(self, text: str) -> bool:
        """Return whether the field is a star, or a list of values, ranges and steps."""
        return text == "*" or all(self._reads_element(element) for element in text.split(","))

    def _reads_element(self, element: str) -> bool:
        parts = _ELEMENT.fullmatch(element)
        if parts is None or element == "*":
            return False
        begin, end, step = parts.groups()
        values = [self._number(word) for word in (begin, end) if word not in {None, "*"}]
        in_bounds = all(self.lowest <= value <= self.highest for value in values)
        is_range = end is None or (begin != "*" and values[0] != values[1])
        return in_bounds and is_range and 1 <= int(step or 1) <= self.highest - self.lowest + 1

    def _number(self, word: str) -> int:
        """Return the number that a word stands for; a number below every bound if it is no name."""
        if word.isdigit():
            return int(word)
        return self.names.index(word) + self.lowest if word in self.names else -1


_PLAIN = {
    0: _Field(0, 59, "minute (field 1) to be 0-59, such as */5 or 0,30"),
    1: _Field(0, 23, "hour (field 2) to be 0-23, such as 9-17 or */2"),
    3: _Field(1, 12, "month (field 4) to be 1-12 or jan-dec, such as */3", MONTHS),
    5: _Field(0, 59, "second (field 6) to be 0-59, such as */10 or 0,30"),
}
_MONTH_DAY = _Field(1, 31, "day of month (field 3) to be 1-31, l for the last day, or 15w, such as 1,15 or */2")
_WEEKDAY = _Field(
    0, 7, "day of week (field 5) to be 0-7 or sun-sat, mon#2 or l5, such as mon-fri or 1,3", WEEKDAYS
)  # fmt: skip
_EITHER = "w, # and l of the week only where the other day field is *"
_WHOLE = "five fields apart by blanks, a sixth for seconds, or an alias such as @daily alone"


def check_spelling(expression: str) -> None:
    """Refuse an expression whose fields the database would refuse.

    Raises:
        InvalidValueError: naming the field and what is allowed.
    """
    if expression.lower() in ALIASES:
        return
    fields = normal(expression).split()
    if _FOREIGN.search(expression) or expression.strip().lower() in ALIASES:
        refuse(FIELD, expression, _WHOLE)
    for place, field in _PLAIN.items():
        if place < len(fields) and not field.reads(fields[place]):
            refuse(FIELD, expression, field.allowed)
    _check_days(expression, fields[2], fields[4])


def _check_days(expression: str, number: str, weekday: str) -> None:
    is_nearest, is_nth = _NEAREST.fullmatch(number), _NTH.fullmatch(weekday)
    if not (is_nearest or number == "?" or _MONTH_DAY.reads(_LAST_DAY.sub("31", number))):
        refuse(FIELD, expression, _MONTH_DAY.allowed)
    if not (is_nth or weekday == "?" or _WEEKDAY.reads(weekday.replace("0-7", "*"))):
        refuse(FIELD, expression, _WEEKDAY.allowed)
    if (is_nearest and weekday not in {"*", "?"}) or (is_nth and number not in {"*", "?"}):
        refuse(FIELD, expression, _EITHER)
