"""Reads the request for a preview; the command's options and the HTTP page's parameters have the same names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from listener.domain.job import DstFold, DstGap, Trigger, TriggerType
from listener.domain.refusal import refuse, word

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_RUNS = 10_000
NAMES = (
    "cron", "trigger", "schedule", "timezone", "n", "after", "run_date", "ends_at", "dst_gap", "dst_fold",
)  # fmt: skip


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
        words: values by name, see `NAMES`; None or absent means the default.
        now: the default of `after` and `run_date`.
        prefix: the prefix of names in errors, such as `--`.
        most: the greatest `n`.

    Raises:
        InvalidValueError: naming the word, its value and what is allowed.
    """
    for name in words:
        if name not in NAMES:
            refuse(prefix + name, words[name], f"only {', '.join(NAMES)}")
    kind, schedule = _schedule(words, prefix)
    after = _instant(prefix + "after", words.get("after")) or now.replace(microsecond=0)
    trigger = Trigger(
        kind,
        _instant(prefix + "run_date", words.get("run_date")) or after,
        schedule,
        words.get("timezone") or "UTC",
        _instant(prefix + "ends_at", words.get("ends_at")),
        word(DstGap, prefix + "dst_gap", words.get("dst_gap") or DstGap.RUN_AFTER),
        word(DstFold, prefix + "dst_fold", words.get("dst_fold") or DstFold.FIRST),
    )
    return PreviewRequest(trigger, after, _count(prefix + "n", words.get("n") or "5", most))


def _schedule(words: Mapping[str, str | None], prefix: str) -> tuple[TriggerType, Any]:
    cron, kind, text = words.get("cron"), words.get("trigger"), words.get("schedule")
    if cron is not None:
        if kind not in {None, TriggerType.CRON} or text is not None:
            refuse(prefix + "cron", cron, f"no {prefix}trigger or {prefix}schedule beside it")
        return TriggerType.CRON, {"expression": cron}
    if kind is None:
        refuse(prefix + "trigger", kind, f"{prefix}cron, or one of {', '.join(TriggerType)}")
    try:
        schedule = json.loads(text or "{}")
    except ValueError:
        refuse(prefix + "schedule", text, 'JSON, such as {"time":"02:30"}')
    return word(TriggerType, prefix + "trigger", kind), schedule


def _instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = datetime.min  # noqa: DTZ901 - has no offset, so it is refused below
    if instant.utcoffset() is None:
        refuse(name, text, "an instant with its UTC offset, such as 2026-03-07T12:00:00Z")
    return instant


def _count(name: str, text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= most:
        refuse(name, text, f"a number from 1 to {most}")
    return int(text)
