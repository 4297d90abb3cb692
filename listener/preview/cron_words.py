"""Says in words what the fields of a cron expression name, from the same values as its due instants."""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING

from listener.domain.cron_fields import LAST, MONTHS, WEEKDAYS, CronFields

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

MOST_TIMES = 6
"""How many times of day are written out."""
_MINUTES, _HOURS = 60, 24
_SHORTEST_RUN = 3
_SHORTEST_SERIES = 4
_WEEKDAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_LONGEST_MONTH = 31


def cron_words(fields: CronFields) -> str:
    """Return a sentence such as "At 09:00, Monday through Friday"; times are those of the zone's clock."""
    times = _times(sorted(fields.seconds), sorted(fields.minutes), sorted(fields.hours))
    parts = [times[0].upper() + times[1:], _days(fields)]
    if len(fields.months) < len(MONTHS):
        parts.append(f"in {_named(sorted(fields.months), _MONTH_NAMES, lowest=1)}")
    return ", ".join(part for part in parts if part)


def _times(seconds: list[int], minutes: list[int], hours: list[int]) -> str:
    if len(seconds) * len(minutes) * len(hours) <= MOST_TIMES:
        return f"at {_joined([_clock(*time) for time in product(hours, minutes, seconds)])}"
    bounds = _series(hours, _HOURS)
    if len(seconds) == len(minutes) == 1 and bounds and len(hours) < _HOURS:
        first, last, step = bounds
        every = "every hour" if step == 1 else f"every {step} hours"
        return f"{every} from {_clock(first, *minutes, *seconds)} through {_clock(last, *minutes, *seconds)}"
    if (seconds, minutes) == ([0], [0]) and len(hours) == _HOURS:
        return "every hour"
    return f"{_within_hour(seconds, minutes, is_any_hour=len(hours) == _HOURS)}{_hours(hours)}"


def _within_hour(seconds: list[int], minutes: list[int], *, is_any_hour: bool) -> str:
    of_hour = " of every hour" if is_any_hour else ""
    if seconds == [0]:
        return _every("minute", minutes) or f"at {_numbered('minute', minutes)}{of_hour}"
    every = _every("second", seconds)
    at_seconds = every or f"at {_numbered('second', seconds)}"
    if len(minutes) < _MINUTES:
        return f"{at_seconds} of {_numbered('minute', minutes)}{of_hour}"
    return every or f"{at_seconds} of every minute"


def _hours(hours: list[int]) -> str:
    if len(hours) == _HOURS:
        return ""
    bounds = _run(hours, _HOURS)
    if bounds is None:
        return f", in {_numbered('hour', hours)}"
    return f", between {bounds[0]:02}:00 and {bounds[1]:02}:59"


def _every(unit: str, values: list[int]) -> str | None:
    """Return "every minute" or "every 5 minutes" where the distance is the same from each hour to the next, too."""
    step = _MINUTES // len(values)
    if values != list(range(0, _MINUTES, step)):
        return None
    return f"every {unit}" if step == 1 else f"every {step} {unit}s" if len(values) > 1 else None


def _days(fields: CronFields) -> str:
    any_number = len(fields.numbers) == _LONGEST_MONTH
    any_weekday = len(fields.weekdays) == len(WEEKDAYS)
    if not fields.both:
        return "" if any_number or any_weekday else f"{_of_month(fields)}, and {_of_week(fields)}"
    if any_number:
        return "" if any_weekday else _of_week(fields)
    if any_weekday:
        return _of_month(fields)
    return f"{_of_month(fields)} if it is {_weekdays(fields.weekdays, 'a {}', 'or')}"


def _of_month(fields: CronFields) -> str:
    parts = [_numbered("day", sorted(fields.numbers))] if fields.numbers else []
    parts += [
        "the last day" if number == LAST else f"the last day but {LAST - number}"
        for number in sorted(fields.from_end, reverse=True)
    ]
    parts += [
        "the last weekday" if number == _LONGEST_MONTH else f"the weekday nearest day {number}"
        for number in sorted(fields.nearest)
    ]
    return f"on {_joined(parts)} of the month"


def _of_week(fields: CronFields) -> str:
    whole = _weekdays(fields.weekdays, "every {}", "and")
    nth = [
        f"the {'last' if count == LAST else _ordinal(count)} {_WEEKDAY_NAMES[weekday]}"
        for weekday, count in sorted(fields.nth, key=lambda pair: (pair[1] == LAST, pair[1], pair[0]))
    ]
    parts = [whole] if whole else []
    return " and ".join([*parts, f"on {_joined(nth)} of the month"] if nth else parts)


def _weekdays(weekdays: Collection[int], listed: str, conjunction: str) -> str:
    """Return "Monday through Friday" where they follow each other, and a list within `listed` otherwise."""
    named = _named(sorted(weekdays, key=lambda day: (day - 1) % len(WEEKDAYS)), _WEEKDAY_NAMES, conjunction=conjunction)
    return named if " through " in named else listed.format(named) if named else ""


def _named(values: Sequence[int], names: Sequence[str], lowest: int = 0, conjunction: str = "and") -> str:
    bounds = _run(sorted(values), len(names), lowest)
    if bounds and len(values) >= _SHORTEST_RUN:
        return f"{names[bounds[0] - lowest]} through {names[bounds[1] - lowest]}"
    return _joined([names[value - lowest] for value in values], conjunction)


def _numbered(unit: str, values: list[int]) -> str:
    """Return "minute 5", "minutes 0, 5 and 10 through 20", or "every 7th minute from 0 through 56"."""
    bounds = _series(values)
    if bounds and bounds[2] > 1 and len(values) >= _SHORTEST_SERIES:
        return f"every {_ordinal(bounds[2])} {unit} from {bounds[0]} through {bounds[1]}"
    parts: list[str] = []
    rest = list(values)
    while rest:
        run = [value for place, value in enumerate(rest) if value == rest[0] + place]
        taken = run if len(run) >= _SHORTEST_RUN else run[:1]
        parts.append(f"{taken[0]} through {taken[-1]}" if len(taken) > 1 else str(taken[0]))
        del rest[: len(taken)]
    return f"{unit}{'s' * (len(values) > 1)} {_joined(parts)}"


def _series(values: list[int], size: int | None = None) -> tuple[int, int, int] | None:
    """Return the first, the last and the step of evenly spaced values; of a run that wraps around `size` too."""
    steps = {after - before for before, after in pairwise(values)}
    if len(steps) == 1:
        return values[0], values[-1], steps.pop()
    bounds = size and _run(values, size)
    return (*bounds, 1) if bounds else None


def _run(values: list[int], size: int, lowest: int = 0) -> tuple[int, int] | None:
    """Return the first and the last of values that follow each other, also around the end of `size` values."""
    begins = [value for value in values if (value - 1 - lowest) % size + lowest not in values]
    ends = [value for value in values if (value + 1 - lowest) % size + lowest not in values]
    return (begins[0], ends[0]) if len(begins) == 1 else None


def _clock(hour: int, minute: int, second: int) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def _joined(parts: list[str], conjunction: str = "and") -> str:
    *others, last = parts or [""]
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def _ordinal(number: int) -> str:
    teens = range(11, 14)
    return f"{number}{'th' if number % 100 in teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
