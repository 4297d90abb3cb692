"""The outcome of an attempt, as a value: the executor returns it, the completer writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(slots=True)  # not frozen: one is made for every run, and that costs three times as much
class Completed:
    """The handler returned; `result` is JSON."""

    result: Any = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed.

    `reason` is null or a word of the ledger (`timeout`, `no_handler`, `invalid_payload`, `shutdown` …); `retryable` is
    false when another attempt cannot help; `retry_after_seconds` overrides the back-off.
    """

    error: str
    reason: str | None = None
    details: Mapping[str, Any] | None = None
    retryable: bool = True
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The handler asked to run again at `until`; no attempt is used up."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The run was stopped because its job was cancelled, deleted or replaced, or its lease was lost."""

    reason: str | None = None


Outcome = Completed | Failed | Snoozed | Cancelled


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a handler logged, kept in the ledger; `fields` is JSON."""

    at: datetime
    level: str
    message: str
    fields: Mapping[str, Any]


@dataclass(slots=True)  # not frozen: one is made for every run, and that costs three times as much
class Report:
    """The end of one attempt: what the completer needs to write it."""

    execution_id: str
    outcome: Outcome
    started_at: datetime | None
    completed_at: datetime
    logs: tuple[LogLine, ...] = ()
    progress: float | None = None
