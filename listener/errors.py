"""Everything that this project raises on purpose, each error built from the facts that it reports."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

MALFORMED = (ArithmeticError, LookupError, TypeError, ValueError)
"""What reading or computing with a row that is invalid may raise."""


class ListenerError(Exception):
    """Base of every error raised on purpose."""


class InvalidValueError(ListenerError, ValueError):
    """Input that names its field, the value and what is allowed instead."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        super().__init__(f"{field}: {value!r} is not allowed; expected {allowed}")


class HandlerImportError(ListenerError):
    """A module named in `LISTENER_HANDLERS` could not be imported."""

    def __init__(self, module: str, cause: BaseException) -> None:
        self.module, self.cause = module, cause
        super().__init__(f"handlers of {module}: the import failed with {type(cause).__name__}: {cause}")


class InvalidHandlerError(ListenerError):
    """A function marked with `@handler` cannot be one."""

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
    """Base of what a handler raises to choose its outcome; not a fault."""


class Retry(OutcomeRequest):
    """Try again, with the job's own back-off or after a delay of the handler's choice.

    Args:
        after: seconds or a timedelta; None keeps the job's back-off.
        message: what the ledger shows as the error of this attempt.
    """

    def __init__(self, after: float | timedelta | None = None, message: str | None = None) -> None:
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        if seconds is not None and not 0 <= seconds < math.inf:
            raise InvalidValueError(
                field="after", value=after, allowed="seconds or a timedelta, finite and not negative"
            )
        self.after_seconds, self.message = seconds, message
        super().__init__(message or "the handler asked for another attempt")


class Fail(OutcomeRequest):
    """End as failed for good; no attempt follows.

    Args:
        reason: a short word or sentence, the ledger's `reason`.
        message: what the ledger shows as the error; the reason when absent.
    """

    def __init__(self, reason: str, message: str | None = None) -> None:
        self.reason, self.message = reason, message
        super().__init__(message or reason)


class Snooze(OutcomeRequest):
    """Run again at an instant, or after a while; no attempt is used up.

    Args:
        until: an aware datetime, or a timedelta from now.
    """

    def __init__(self, until: datetime | timedelta) -> None:
        if isinstance(until, datetime) and until.tzinfo is None:
            raise InvalidValueError(field="until", value=until, allowed="a datetime with a time zone, or a timedelta")
        self.until = until
        super().__init__(f"snoozed until {until}")


class SettingsError(ListenerError):
    """The environment is incomplete or malformed; one line for each fault."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


class StoreError(ListenerError):
    """The database did not do what it was asked.

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


class StageFailedError(ListenerError):
    """A stage failed again and again; the process must not look alive without it."""

    def __init__(self, stage: str, failures: int, window_seconds: float, last: BaseException) -> None:
        self.stage, self.failures, self.last = stage, failures, last
        why = f"{type(last).__name__}: {last}"
        super().__init__(f"stage {stage} failed {failures} times within {window_seconds:g} s, at last with {why}")
