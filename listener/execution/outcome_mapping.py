"""Maps what a handler returned or raised to an outcome; nothing here runs a handler."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from anyio import BrokenWorkerProcess

from listener.domain.outcome import Completed, Failed, Outcome, Snoozed
from listener.domain.traceback_text import message_of, traceback_of
from listener.errors import Fail, OutcomeRequest, Retry, Snooze
from listener.handler_api.jsonable import clean_text, to_jsonb
from listener.masking.redaction import redact_head, redact_json, redact_tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_ERROR_CHARACTERS = 2 * 1024
MAX_REASON_CHARACTERS = 200
SHOWN_HANDLERS = 20
SHORTEST_SNOOZE = timedelta(seconds=1)
"""A handler that snoozes into the past, or for less, would be claimed dozens of times a second without end."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Limits on the stored parts of an outcome, in bytes and characters."""

    result_bytes: int = 256 * 1024
    traceback_characters: int = 12 * 1024


def of_result(value: object, sizes: Sizes) -> Outcome:
    """Map a handler's return value; never raises."""
    if value is None:
        return Completed()
    try:
        if inspect.iscoroutine(value):
            value.close()
            return _no_json('the handler returned a coroutine; declare it with "async def", or await inside')
        return Completed(redact_json(to_jsonb(value, sizes.result_bytes)))
    except BaseException as error:  # noqa: BLE001 - a model's own serializer may raise anything
        return _no_json(f"the handler's result is not JSON: {message_of(error)}")


def _no_json(error: str) -> Failed:
    """Report that the work was done and is not repeated, but that its result cannot be stored."""
    return Failed(error=_shown(error), reason="invalid_result", retryable=False)


def of_exception(error: BaseException, attempt: int, now: datetime, sizes: Sizes) -> Outcome:
    """Map an exception of a handler; never raises."""
    try:
        return _of_exception(error, attempt, now, sizes)
    except BaseException:  # noqa: BLE001 - its class, its text and its causes are the handler's own code
        return Failed(error=f"{type.__repr__(type(error))}, which cannot be shown")


def task_cancelled(details: Mapping[str, Any] | None = None) -> Failed:
    """Map the cancellation of a handler's task that did not come from the service."""
    error = "CancelledError: the handler's task was cancelled, but not by the service"
    return Failed(error=error, reason="task_cancelled", details=details)


def _of_exception(error: BaseException, attempt: int, now: datetime, sizes: Sizes) -> Outcome:
    requested = _outcome_request(error)
    if requested is not None:
        return _of_outcome_request(requested, attempt, now, sizes)
    reason = "worker_died" if isinstance(error, BrokenWorkerProcess) else None
    text = f"{type(error).__name__}: {message_of(error)}"
    return Failed(
        error=_shown(text),
        reason=reason,
        details=details_of(error, attempt, sizes),
    )


def _of_outcome_request(requested: OutcomeRequest, attempt: int, now: datetime, sizes: Sizes) -> Outcome:
    """Map an outcome exception; the exception that it was raised from, if any, is kept."""
    error = _shown(str(requested))
    details = details_of(requested.__cause__, attempt, sizes) if requested.__cause__ else None
    match requested:
        case Retry():
            after = requested.after_seconds
            seconds = None if after is None else float(after)
            return Failed(error=error, reason="retry", details=details, retry_after_seconds=seconds)
        case Fail():
            reason = clean_text(redact_head(str(requested.reason), MAX_REASON_CHARACTERS))
            return Failed(error=error, reason=reason, details=details, retryable=False)
        case Snooze():
            return _snoozed(requested, now)
        case _:
            return Failed(error=f"{type(requested).__name__} is no outcome that the listener knows", retryable=False)


def _snoozed(requested: Snooze, now: datetime) -> Outcome:
    try:
        until = requested.until if isinstance(requested.until, datetime) else now + requested.until
        return Snoozed(max(until.astimezone(UTC), now + SHORTEST_SNOOZE))
    except OverflowError:
        return Failed(error=f"snoozed until {requested.until}, which no calendar has", reason="snooze", retryable=False)


def _outcome_request(error: BaseException) -> OutcomeRequest | None:
    """Find the outcome exception, also inside the exception group of a task group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, OutcomeRequest) else None


def _shown(text: str) -> str:
    return clean_text(redact_head(text, MAX_ERROR_CHARACTERS))


def details_of(error: BaseException, attempt: int, sizes: Sizes) -> dict[str, Any]:
    """Return `error_details`; a long traceback keeps its end, where the fault is."""
    text = traceback_of(_without_our_frames(error))
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "message": _shown(message_of(error)),
        "traceback": clean_text(redact_tail(text, sizes.traceback_characters)),
        "attempt": attempt,
    }


def _without_our_frames(error: BaseException) -> BaseException:
    """Cut the traceback's frames before the handler: they are the same for every run."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(
        ("listener.execution", "anyio")
    ):
        frames = frames.tb_next
    return error.with_traceback(frames) if frames is not None else error


def timed_out(seconds: float) -> Failed:
    """Map a timeout."""
    return Failed(error=f"the handler did not end within {seconds:g} s", reason="timeout")


def no_handler(name: str, known: Iterable[str]) -> Failed:
    """Map a job whose handler this listener does not have."""
    names = list(known)
    shown = ", ".join(names[:SHOWN_HANDLERS]) or "none"
    more = f" and {len(names) - SHOWN_HANDLERS} more" if len(names) > SHOWN_HANDLERS else ""
    error = f"handler: {clean_text(repr(name), 200)} is not registered; this listener knows {shown}{more}"
    return Failed(error=error, reason="no_handler", retryable=False)
