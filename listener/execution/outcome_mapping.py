"""From what a handler returned or raised to an outcome; nothing here runs anything."""

from __future__ import annotations

import inspect
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anyio import BrokenWorkerProcess

from listener.domain.outcome import Completed, Failed, Outcome, Snoozed
from listener.errors import Fail, OutcomeRequest, Retry, Snooze
from listener.handler_api.jsonable import clean_text, to_jsonb
from listener.masking.redaction import redact_head, redact_json, redact_tail

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_ERROR_CHARACTERS = 2 * 1024
MAX_REASON_CHARACTERS = 200
SHOWN_HANDLERS = 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of a run's outcome is kept, in bytes and characters."""

    result_bytes: int = 256 * 1024
    traceback_characters: int = 12 * 1024


def of_result(value: object, sizes: Sizes) -> Outcome:
    """Judge a handler that returned."""
    if value is None:
        return Completed()
    if inspect.iscoroutine(value):
        value.close()
        return _no_json('the handler returned a coroutine; declare it with "async def", or await inside')
    try:
        return Completed(redact_json(to_jsonb(value, sizes.result_bytes)))
    except Exception as error:  # noqa: BLE001 - a model's own serializer may raise anything
        return _no_json(f"the handler's result is not JSON: {_message(error)}")


def _no_json(error: str) -> Failed:
    """Say that the work was done, so it is not done again, but that its result cannot be kept."""
    return Failed(error=_shown(error), reason="invalid_result", retryable=False)


def of_exception(error: BaseException, attempt: int, now: datetime, sizes: Sizes) -> Outcome:
    """Judge a handler that raised."""
    requested = _outcome_request(error)
    if requested is not None:
        return _of_outcome_request(requested, attempt, now, sizes)
    reason = "worker_died" if isinstance(error, BrokenWorkerProcess) else None
    text = f"{type(error).__name__}: {_message(error)}"
    return Failed(
        error=_shown(text),
        reason=reason,
        details=_details(error, attempt, sizes),
    )


def _of_outcome_request(requested: OutcomeRequest, attempt: int, now: datetime, sizes: Sizes) -> Outcome:
    """Translate what the handler asked for; the exception that it was raised from, if any, is kept."""
    error = _shown(str(requested))
    details = _details(requested.__cause__, attempt, sizes) if requested.__cause__ else None
    match requested:
        case Retry():
            return Failed(error=error, reason="retry", details=details, retry_after_seconds=requested.after_seconds)
        case Fail():
            reason = clean_text(redact_head(str(requested.reason), MAX_REASON_CHARACTERS))
            return Failed(error=error, reason=reason, details=details, retryable=False)
        case Snooze():
            return _snoozed(requested, now)
        case _:
            return Failed(error=f"{type(requested).__name__} is no requested that the listener knows", retryable=False)


def _snoozed(requested: Snooze, now: datetime) -> Outcome:
    try:
        until = requested.until if isinstance(requested.until, datetime) else now + requested.until
        return Snoozed(until.astimezone(UTC))
    except OverflowError:
        return Failed(error=f"snoozed until {requested.until}, which no calendar has", reason="snooze", retryable=False)


def _outcome_request(error: BaseException) -> OutcomeRequest | None:
    """Find the requested, also one that a task group inside the handler has wrapped."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, OutcomeRequest) else None


def _shown(text: str) -> str:
    return clean_text(redact_head(text, MAX_ERROR_CHARACTERS))


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - somebody else's __str__
        return "(its text cannot be shown)"


def _details(error: BaseException, attempt: int, sizes: Sizes) -> dict[str, Any]:
    """Give what `error_details` shows; of a long traceback the end is kept, where the fault is."""
    text = "".join(traceback.format_exception(_without_our_frames(error)))
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "message": _shown(_message(error)),
        "traceback": clean_text(redact_tail(text, sizes.traceback_characters)),
        "attempt": attempt,
    }


def _without_our_frames(error: BaseException) -> BaseException:
    """Begin the traceback at the handler: the frames before it are the same for everybody."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(
        ("listener.execution", "anyio")
    ):
        frames = frames.tb_next
    return error.with_traceback(frames) if frames is not None else error


def timed_out(seconds: float) -> Failed:
    """Judge a handler that did not end in time."""
    return Failed(error=f"the handler did not end within {seconds:g} s", reason="timeout")


def no_handler(name: str, known: Iterable[str]) -> Failed:
    """Judge a job whose handler this listener does not have."""
    names = list(known)
    shown = ", ".join(names[:SHOWN_HANDLERS]) or "none"
    more = f" and {len(names) - SHOWN_HANDLERS} more" if len(names) > SHOWN_HANDLERS else ""
    error = f"handler: {clean_text(repr(name), 200)} is not registered; this listener knows {shown}{more}"
    return Failed(error=error, reason="no_handler", retryable=False)
