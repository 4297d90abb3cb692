"""Outcomes with odd arguments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from listener import Fail, JobContext, Retry, Snooze
from zoo import Visit, animal
from zoo.results import Unshowable

if TYPE_CHECKING:
    from collections.abc import Callable


def _requesting(name: str, make: Callable[[], BaseException], error: str, reason: str | None = None) -> None:
    async def request(_job: JobContext, visit: Visit) -> None:
        visit.mark.touch()
        raise make()

    request.__name__ = request.__qualname__ = name
    globals()[name] = animal(error=error, reason=reason)(request)


def changed(made: Any, **attributes: Any) -> Any:
    """Set attributes of an outcome after it was made."""
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


_requesting("snoozes_for_sixty", lambda: Snooze(60), "until: 60 is not allowed")  # type: ignore[arg-type]
_requesting("snoozes_for_none", lambda: Snooze(None), "until: None is not allowed")  # type: ignore[arg-type]
_requesting("snoozes_until_a_naive_time", lambda: Snooze(datetime(2030, 1, 1)), "a datetime with a time zone")  # noqa: DTZ001
_requesting(
    "snoozes_beyond_the_calendar",
    lambda: Snooze(datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-9)))),
    "before the year 10000",
)
_requesting("snoozes_for_longer_than_time", lambda: Snooze(timedelta.max), "which no calendar has", "snooze")
_requesting("snoozes_backwards", lambda: Snooze(timedelta(-1)), "not negative")
_requesting("snoozes_until_what_was_changed", lambda: changed(Snooze(timedelta(1)), until="x"), "cannot be shown")
_requesting("retries_after_a_word", lambda: Retry(after="x"), "after: 'x' is not allowed")  # type: ignore[arg-type]
_requesting("retries_after_no_number", lambda: Retry(after=float("nan")), "after: nan is not allowed")
_requesting("retries_after_infinity", lambda: Retry(after=float("inf")), "after: inf is not allowed")
_requesting("retries_before_now", lambda: Retry(after=-1), "after: -1 is not allowed")
_requesting("retries_after_a_googol", lambda: Retry(after=10**400), "finite")
_requesting("retries_after_what_was_changed", lambda: changed(Retry(1), after_seconds="x"), "cannot be shown")
_requesting("fails_without_a_reason", lambda: Fail(None), "reason: None is not allowed")  # type: ignore[arg-type]
_requesting("fails_for_an_object", lambda: Fail(Unshowable()), "reason: a value of type")  # type: ignore[arg-type]


@animal("completed")
async def snoozes_into_the_past(job: JobContext, visit: Visit) -> None:
    if visit.mark.exists():
        return
    visit.mark.touch()
    raise Snooze(datetime(2000, 1, 1, tzinfo=UTC))
