"""Reads the request for a preview; the command's options and the HTTP page's parameters have the same names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from listener.domain.job import DstFold, DstGap, Trigger, TriggerType
from listener.domain.refusal import refuse, word
from listener.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_RUNS = 10_000
MOST_CHARACTERS = 2000
"""Limit of one word: the longest valid schedule is a list of 62 days."""
YEARS = range(1000, 9999)
"""Later and earlier instants cannot be written in some time zones."""
NAMES = (
    "cron", "trigger", "schedule", "timezone", "n", "after", "run_date", "ends_at", "dst_gap", "dst_fold",
)  # fmt: skip
RUNS_AT_ONCE = (TriggerType.ONCE, TriggerType.INTERVAL)
"""Triggers that are due at `run_date` itself, which is the time of the insert where it is absent."""


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """The first `n` runs of `trigger` later than `after`."""

    trigger: Trigger
    after: datetime
    n: int


def read_request(
    words: Mapping[str, str | None], now: datetime, prefix: str = "", most: int = MOST_RUNS
) -> PreviewRequest:
    """Read a request for a preview.

    Args:
        words: by name, see `NAMES`; None or absent means the default, an empty text does not.
        now: the default of `after` and `run_date`.
        prefix: the prefix of names in errors, such as `--`.
        most: the greatest `n`.

    Raises:
        InvalidValueError: naming the word, its value and what is allowed.
    """
    for name, text in words.items():
        if name not in NAMES:
            refuse("parameter", prefix + name, f"one of {', '.join(NAMES)}")
        if text is not None and len(text) > MOST_CHARACTERS and name != "cron":  # it has a lower limit of its own
            refuse(_named(prefix, name), text, f"at most {MOST_CHARACTERS} characters")
    kind, schedule = _schedule(words, prefix)
    after = _instant(prefix + "after", words.get("after")) or now.replace(microsecond=0)
    run_date = _instant(_named(prefix, "run_date"), words.get("run_date"))
    trigger = Trigger(
        kind,
        run_date or after,
        schedule,
        _given(words, "timezone", "UTC"),
        _instant(_named(prefix, "ends_at"), words.get("ends_at")),
        word(DstGap, _named(prefix, "dst_gap"), _given(words, "dst_gap", DstGap.RUN_AFTER)),
        word(DstFold, _named(prefix, "dst_fold"), _given(words, "dst_fold", DstFold.FIRST)),
    )
    if run_date is None and kind in RUNS_AT_ONCE:
        after -= timedelta(microseconds=1)
    return PreviewRequest(trigger, after, _count(_named(prefix, "n"), _given(words, "n", "5"), most))


def read_query(query: bytes) -> dict[str, str]:
    """Read the words of a URL's query.

    Raises:
        InvalidValueError: the query is not UTF-8, is no form, or has a word twice.
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), errors="strict",
            max_num_fields=len(NAMES),
        )  # fmt: skip
    except ValueError:
        shown = query.decode("ascii", "backslashreplace")
        refuse("query", shown, f"at most {len(NAMES)} pairs name=value apart by &, percent-encoded UTF-8")
    return _once_each("query", pairs)


def _named(prefix: str, name: str) -> str:
    """Return the name as its user writes it: a word of a query, or an option of the command."""
    return f"-{name}" if prefix and len(name) == 1 else prefix + (name.replace("_", "-") if prefix else name)


def _given(words: Mapping[str, str | None], name: str, default: str) -> str:
    text = words.get(name)
    return default if text is None else text


def _once_each(field: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            refuse(field, name, "each name once")
        found[name] = value
    return found


def _no_number(text: str) -> None:
    refuse("schedule", text, "numbers that JSON has")


def _schedule(words: Mapping[str, str | None], prefix: str) -> tuple[TriggerType, Any]:
    cron, kind, text = words.get("cron"), words.get("trigger"), words.get("schedule")
    if cron is not None:
        if kind not in {None, TriggerType.CRON} or text is not None:
            refuse(prefix + "cron", cron, f"no {prefix}trigger or {prefix}schedule beside it")
        return TriggerType.CRON, {"expression": cron}
    if kind is None:
        refuse(prefix + "trigger", "", f"{prefix}cron, or one of {', '.join(TriggerType)}")
    try:
        schedule = json.loads(
            "{}" if text is None else text,
            object_pairs_hook=partial(_once_each, prefix + "schedule"),
            parse_constant=_no_number,
        )
    except InvalidValueError:
        raise
    except (ValueError, RecursionError):
        refuse(prefix + "schedule", text, 'JSON, such as {"time":"02:30"}')
    return word(TriggerType, prefix + "trigger", kind), schedule


def _instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = datetime.min  # noqa: DTZ901 - has no offset, so it is refused below
    try:
        in_utc = instant.astimezone(UTC) if instant.utcoffset() is not None else None
    except OverflowError:
        in_utc = None
    if in_utc is None or in_utc.year not in YEARS:
        years = f"in the years {YEARS[0]} to {YEARS[-1]}"
        refuse(name, text, f"an instant with its UTC offset, such as 2026-03-07T12:00:00Z, {years}")
    return in_utc


def _count(name: str, text: str, most: int) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not is_number or not 1 <= int(text) <= most:
        refuse(name, text, f"a number from 1 to {most}")
    return int(text)
