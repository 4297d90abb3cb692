"""All errors that this project raises on purpose; each error is built from the facts that it reports."""

from __future__ import annotations

import math
import numbers
from datetime import UTC, datetime, timedelta

MAX_SHOWN_CHARACTERS = 1000
"""How much of a refused value its message shows."""
MALFORMED = (ArithmeticError, LookupError, TypeError, ValueError)
"""Errors that reading or computing with an invalid row may raise."""


class ListenerError(Exception):
    """Base of every error raised on purpose."""


class InvalidValueError(ListenerError, ValueError):
    """Invalid input; it names the field, the value and the allowed values."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        super().__init__(f"{field}: {_shown(value)} is not allowed; expected {allowed}")


class PingFailedError(ListenerError):
    """A monitor outside did not take a ping; the message does not show its URL, which is a key."""


class HandlerImportError(ListenerError):
    """A module named in `LISTENER_HANDLERS` could not be imported."""

    def __init__(self, module: str, cause: BaseException) -> None:
        self.module, self.cause = module, cause
        super().__init__(f"handlers of {module}: the import failed with {type(cause).__name__}: {cause}")


class InvalidHandlerError(ListenerError):
    """A function marked with `@handler` cannot be a handler."""

    def __init__(self, module: str, name: str, why: str) -> None:
        self.module, self.name, self.why = module, name, why
        super().__init__(f"handler {name!r} of {module}: {why}")


class DuplicateHandlerError(ListenerError):
    """Two functions claim one handler name."""

    def __init__(self, name: str, first: str, second: str) -> None:
        self.name, self.first, self.second = name, first, second
        super().__init__(f"handler {name!r} is declared twice: by {first} and by {second}; names must be unique")


class RunStoppedError(ListenerError):
    """Raised by `JobContext.check_cancelled()` in a plain handler whose run was cancelled or has timed out."""


class OutcomeRequest(ListenerError):  # noqa: N818 - what is raised reads as an order: `raise Retry(after=60)`
    """Base of the outcome exceptions, which a handler raises to choose its outcome; they are no faults."""


class Retry(OutcomeRequest):
    """Try again, with the job's own back-off or after a delay of the handler's choice.

    Args:
        after: seconds or a timedelta; None keeps the job's back-off.
        message: what the ledger shows as the error of this attempt.

    Raises:
        InvalidValueError: for a delay that is no finite number of seconds or is negative, or a message that is no text.
    """

    def __init__(self, after: float | timedelta | None = None, message: str | None = None) -> None:
        self.after_seconds, self.message = None if after is None else _seconds(after), _text("message", message)
        super().__init__(self.message or "the handler asked for another attempt")


class Fail(OutcomeRequest):
    """End as failed for good; no attempt follows.

    Args:
        reason: a short word or sentence, the ledger's `reason`.
        message: what the ledger shows as the error; the reason when absent.

    Raises:
        InvalidValueError: for a reason or a message that is no text.
    """

    def __init__(self, reason: str, message: str | None = None) -> None:
        text = _text("reason", reason)
        if text is None:
            raise InvalidValueError(field="reason", value=reason, allowed="a text")
        self.reason, self.message = text, _text("message", message)
        super().__init__(self.message or self.reason)


class Snooze(OutcomeRequest):
    """Run again at an instant, or after a while; no attempt is used up.

    Args:
        until: an aware datetime, or a timedelta from now that is not negative.

    Raises:
        InvalidValueError: for anything else.
    """

    def __init__(self, until: datetime | timedelta) -> None:
        self.until = _instant_or_delay(until)
        super().__init__(f"snoozed until {self.until}")


def _text(field: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidValueError(field=field, value=value, allowed="a text")
    return None if value is None else str.__str__(value)


def _seconds(after: object) -> float:
    """Return a delay as a plain float, whatever class of numbers it is."""
    try:
        if isinstance(after, timedelta):
            seconds = timedelta.total_seconds(after)
        elif isinstance(after, numbers.Real) and not isinstance(after, bool):
            seconds = float(after)
        else:
            seconds = math.nan
    except Exception:  # noqa: BLE001 - a number without an end, or of a class that computes
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InvalidValueError(field="after", value=after, allowed="seconds or a timedelta, finite and not negative")
    return seconds


def _instant_or_delay(until: object) -> datetime | timedelta:
    """Return a plain value: a class of the handler's own may compute, and so may its time zone."""
    try:
        if isinstance(until, timedelta):
            plain = timedelta.__add__(until, timedelta())
            if plain >= timedelta():
                return plain
        elif isinstance(until, datetime) and datetime.utcoffset(until) is not None:
            utc = datetime.astimezone(until, UTC)
            return datetime.combine(datetime.date(utc), datetime.time(utc), UTC)
    except Exception:  # noqa: BLE001, S110 - a zone of the handler's own may raise anything, and the year 10000 overflows
        pass
    allowed = "a datetime with a time zone, before the year 10000, or a timedelta that is not negative"
    raise InvalidValueError(field="until", value=until, allowed=allowed)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except BaseException:  # noqa: BLE001 - somebody else's __repr__
        text = f"a value of type {type.__repr__(type(value))}"
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]} …"


class SettingsError(ListenerError):
    """The environment is incomplete or malformed; one line for each fault."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


class StoreError(ListenerError):
    """A request to the database did not succeed.

    `code` is PostgreSQL's or PostgREST's code, the HTTP status, or the name of the transport's fault; `retryable` says
    whether the same request may succeed later, and `split_batch` whether a smaller one would: one row may be the cause.
    `maybe_applied` says that it may have been carried out all the same, `needs_operator` that an operator has to act:
    beside `split_batch`, if the rows of several jobs all meet it.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of its own
        self,
        function: str,
        code: str,
        message: str,
        *,
        retryable: bool,
        split_batch: bool = False,
        maybe_applied: bool = False,
        needs_operator: bool = False,
    ) -> None:
        self.function, self.code, self.retryable, self.split_batch = function, code, retryable, split_batch
        self.maybe_applied, self.needs_operator = maybe_applied, needs_operator
        super().__init__(f"{function}: {code} {message}")


class TransportError(ListenerError):
    """A connection to the database failed, not a statement."""


class NotConnectedError(TransportError):
    """There was no connection, so nothing was sent."""


class ConnectionLostError(TransportError):
    """The connection broke after something was sent: it may have been carried out."""


class RefusedConnectionError(TransportError):
    """The database, or a pooler before it, refuses connections until an operator acts.

    Args:
        code: PostgreSQL's code, or a word where it gives none.
        message: what it says.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class SessionEndedError(ListenerError):
    """A session that receives notification channels ended; the message gives the reason."""


class StageFailedError(ListenerError):
    """A stage failed repeatedly; the process ends rather than continue without it."""

    def __init__(self, stage: str, failures: int, window_seconds: float, last: BaseException) -> None:
        self.stage, self.failures, self.last = stage, failures, last
        why = f"{type(last).__name__}: {last}"
        super().__init__(f"stage {stage} failed {failures} times within {window_seconds:g} s, at last with {why}")


class StageReturnedError(ListenerError):
    """A stage has returned although it must run until the service ends."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        super().__init__(f"stage {stage} has returned; it is to run until the service ends")
