"""Schedules in the words of APScheduler: `hour=8, minute=30`, `days="mon-fri"`, `minutes=5`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from listener.client.errors import refused
from listener.domain.job import TriggerType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LONGEST = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800}
CLOCK = ("hour", "minute", "second")
CRON_FIELDS = ("month", "day", "day_of_week", "hour", "minute", "second")
"""From the greatest to the least, as APScheduler orders them; it has no more that cron has."""
WORDS = frozenset({*CLOCK, *LONGEST, "time", "day", "day_of_week", "missing_day", "expression", "cron_expression"})
"""Keyword arguments of `schedule_recurring` that define the time; all others belong to the handler."""


def words_of(kind: TriggerType) -> frozenset[str]:
    """Return the words that define the time of this trigger; `month` and the like belong to the handler elsewhere."""
    return WORDS | frozenset(TRANSLATIONS[kind][1])


def schedule_of(kind: TriggerType, words: Mapping[str, Any]) -> dict[str, Any]:
    """Translate words into the `schedule` of a row; the database checks the values.

    Args:
        kind: the trigger that they are for.
        words: some of `WORDS`.

    Raises:
        JobRefused: a word does not belong to this trigger, or has an invalid value.
    """
    translate, known = TRANSLATIONS[kind]
    strange = sorted(set(words) - set(known))
    if strange:
        raise refused(
            column="schedule",
            value={word: words[word] for word in strange},
            allowed=f"for {kind} only {', '.join(known)}",
        )
    try:
        return translate(words)
    except (TypeError, ValueError) as wrong:
        raise refused(
            column="schedule", value=dict(words), allowed=f"numbers and names of weekdays ({wrong})"
        ) from wrong


def _time(words: Mapping[str, Any]) -> str:
    if "time" in words:
        return str(words["time"])
    hour, minute, second = (int(words.get(name, 0)) for name in CLOCK)
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def _daily(words: Mapping[str, Any]) -> dict[str, Any]:
    return {"time": _time(words)}


def _weekly(words: Mapping[str, Any]) -> dict[str, Any]:
    days = words.get("days", words.get("day_of_week", "mon-fri"))
    several = days.split(",") if isinstance(days, str) else [days] if isinstance(days, int) else days
    return {"time": _time(words), "days": weekdays(several)}


def _monthly(words: Mapping[str, Any]) -> dict[str, Any]:
    days = words.get("days", words.get("day", 1))
    extra = {"missing_day": words["missing_day"]} if "missing_day" in words else {}
    return {"time": _time(words), "days": [int(days)] if isinstance(days, int | str) else list(days), **extra}


def _interval(words: Mapping[str, Any]) -> dict[str, Any]:
    return {"seconds": sum(words[name] * unit for name, unit in LONGEST.items() if name in words)}


def _cron(words: Mapping[str, Any]) -> dict[str, Any]:
    """As APScheduler reads its fields: those below the least one that is given are at their minimum, others are `*`."""
    whole = words.get("expression", words.get("cron_expression"))
    if whole is not None:
        if len(words) > 1:
            message = "either an expression or its fields, not both"
            raise ValueError(message)
        return {"expression": whole}
    given = {name: str(words[name]).strip().lower() for name in CRON_FIELDS if name in words}
    if not given:
        message = f"an expression, or one of {', '.join(CRON_FIELDS)}"
        raise ValueError(message)
    if given.get("day", "*") != "*" and given.get("day_of_week", "*") != "*":
        message = "day or day_of_week, not both: APScheduler means days that are both, cron means either"
        raise ValueError(message)
    least = max(CRON_FIELDS.index("day" if name == "day_of_week" else name) for name in given)
    fields = {
        name: given.get(name, minimum if CRON_FIELDS.index(name) > least else "*")
        for name, minimum in zip(CRON_FIELDS, ("1", "1", "*", "0", "0", "0"), strict=True)
    }
    if fields["day"] == "last":
        fields["day"] = "L"
    if fields["day_of_week"] != "*":
        fields["day_of_week"] = _cron_weekdays(fields["day_of_week"])
    order = ("minute", "hour", "day", "month", "day_of_week", *(("second",) if fields["second"] != "0" else ()))
    return {"expression": " ".join(fields[name] for name in order)}


def _cron_weekdays(text: str) -> str:
    """Name the days: APScheduler's 0 is Monday, cron's is Sunday."""
    named = []
    for part in text.split(","):
        span, _, step = part.partition("/")
        days = weekdays(["mon-sun" if span == "*" else span])[:: int(step) if step else 1]
        named += [day[:3] for day in days]
    return ",".join(dict.fromkeys(named))


def weekdays(days: Iterable[str | int]) -> list[str]:
    """Return weekdays in full, from names, their beginnings, ranges (`mon-fri`), and numbers from 0, Monday.

    Raises:
        ValueError: a day is none.
    """
    found: list[str] = []
    for day in days:
        first, _, last = str(day).strip().lower().partition("-")
        start = _weekday(first)
        span = (_weekday(last) - start) % len(WEEK) if last else 0
        found += [WEEK[(start + step) % len(WEEK)] for step in range(span + 1)]
    return list(dict.fromkeys(found))


def _weekday(word: str) -> int:
    for number, name in enumerate(WEEK):
        if word == str(number) or (len(word) > 1 and name.startswith(word)):
            return number
    message = f"{word!r} is no weekday"
    raise ValueError(message)


TRANSLATIONS: dict[TriggerType, tuple[Callable[[Mapping[str, Any]], dict[str, Any]], tuple[str, ...]]] = {
    TriggerType.ONCE: (lambda _: {}, ()),
    TriggerType.DAILY: (_daily, ("time", *CLOCK)),
    TriggerType.WEEKLY: (_weekly, ("time", *CLOCK, "days", "day_of_week")),
    TriggerType.MONTHLY: (_monthly, ("time", *CLOCK, "days", "day", "missing_day")),
    TriggerType.INTERVAL: (_interval, tuple(LONGEST)),
    TriggerType.CRON: (_cron, ("expression", "cron_expression", *CRON_FIELDS)),
}
