"""Arguments of outcome exceptions are checked where they are made, and judging an exception cannot raise."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from fractions import Fraction

import pytest

from listener import Fail, Retry, Snooze
from listener.domain.outcome import Failed, Snoozed
from listener.errors import InvalidValueError
from listener.execution.outcome_mapping import Sizes, of_exception, of_result
from listener.testing import NOON

SIZES = Sizes()


class Unshowable:
    def __repr__(self):
        raise KeyboardInterrupt

    __str__ = __repr__


class Liar(float):
    def __float__(self):
        raise SystemExit

    def __le__(self, _):
        return True


class RaisingZone(tzinfo):
    def utcoffset(self, _):
        raise ZeroDivisionError


class NoZone(tzinfo):
    def utcoffset(self, _):
        return None


class OddTime(datetime):
    def astimezone(self, _=None):
        return "never"

    def utcoffset(self):
        return timedelta()


class OddDelay(timedelta):
    def __radd__(self, _):
        return "never"

    def total_seconds(self):
        return math.nan


@pytest.mark.parametrize(
    "after",
    [math.nan, math.inf, -1, "x", "60", b"1", True, [], {}, object(), 10**400, 1j, timedelta(-1), Unshowable(), NOON],
)
def test_a_delay_that_is_none_is_refused_where_it_is_made(after):
    """The message names the argument and what is allowed; the value is shown if it can be."""
    with pytest.raises(InvalidValueError, match=r"after: .* expected seconds or a timedelta, finite and not negative"):
        Retry(after=after)


@pytest.mark.parametrize(
    ("after", "seconds"),
    [(0, 0), (1.5, 1.5), (Fraction(1, 2), 0.5), (timedelta(minutes=1), 60), (OddDelay(seconds=3), 3), (None, None)],
)
def test_a_delay_becomes_a_plain_number(after, seconds):
    """Its class does not matter: later computations with it cannot raise."""
    made = Retry(after).after_seconds
    assert made == seconds
    assert type(made) in {float, type(None)}


@pytest.mark.parametrize(
    "until",
    [
        60,
        None,
        "tomorrow",
        datetime(2026, 1, 1),  # noqa: DTZ001 - the very point
        datetime(2026, 1, 1, tzinfo=NoZone()),
        datetime(2026, 1, 1, tzinfo=RaisingZone()),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))),
        timedelta(seconds=-1),
        math.nan,
        Unshowable(),
    ],
)
def test_an_instant_that_is_none_is_refused_where_it_is_made(until):
    """Also one whose zone computes, or that the calendar of UTC does not have."""
    with pytest.raises(InvalidValueError, match=r"until: .* expected a datetime with a time zone"):
        Snooze(until)


def test_an_instant_of_a_class_that_computes_becomes_a_plain_one():
    """Its later answers are those of a datetime."""
    made = Snooze(OddTime(2026, 1, 6, tzinfo=UTC)).until
    assert (made, type(made)) == (datetime(2026, 1, 6, tzinfo=UTC), datetime)
    assert type(Snooze(OddDelay(seconds=2)).until) is timedelta


@pytest.mark.parametrize("reason", [None, 5, b"x", [], Unshowable()])
def test_a_reason_that_is_no_text_is_refused_where_it_is_made(reason):
    """And a message likewise."""
    with pytest.raises(InvalidValueError, match="reason"):
        Fail(reason)
    if reason is not None:
        with pytest.raises(InvalidValueError, match="message"):
            Fail("reason", message=reason)
        with pytest.raises(InvalidValueError, match="message"):
            Retry(message=reason)


def changed(made, **attributes):
    """Give an outcome whose attributes somebody has set afterwards."""
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def bare(kind):
    """Give an outcome of a subclass that does not call its base."""
    return type("Bare", (kind,), {"__init__": lambda _: None})()


class Meta(type):
    @property
    def __name__(cls):
        raise SystemExit

    def __repr__(cls):
        raise KeyboardInterrupt


class OfOddClass(Exception, metaclass=Meta):  # noqa: N818 - a name
    def __str__(self):
        raise GeneratorExit

    def with_traceback(self, _):
        raise MemoryError


def deep(depth):
    """Give a group in a group in a group."""
    error = ValueError("innermost")
    for _ in range(depth):
        error = ExceptionGroup("outer", [error, error])
    return error


@pytest.mark.parametrize(
    "error",
    [
        changed(Snooze(timedelta(1)), until=60),
        changed(Snooze(timedelta(1)), until=None),
        changed(Retry(1), after_seconds="x"),
        changed(Fail("x"), reason=Unshowable()),
        bare(Snooze),
        bare(Retry),
        bare(Fail),
        OfOddClass(),
        ValueError(Unshowable()),
        BaseExceptionGroup("mixed", [KeyboardInterrupt(), SystemExit(), GeneratorExit()]),
        deep(60),
        KeyError(Unshowable()),
    ],
)
def test_judging_cannot_raise(error):
    """It holds for any change to the exception since it was made, and for any class."""
    outcome = of_exception(error, 1, NOON, SIZES)
    assert isinstance(outcome, Failed)
    assert outcome.error
    assert isinstance(outcome.retry_after_seconds, float | None)


@pytest.mark.parametrize("until", [NOON - timedelta(days=365), NOON, NOON + timedelta(milliseconds=1), timedelta()])
def test_a_snooze_is_no_busy_loop(until):
    """Into the past, or for no time, it lasts for a second."""
    assert of_exception(Snooze(until), 1, NOON, SIZES) == Snoozed(NOON + timedelta(seconds=1))


def endless():
    """Give numbers without end."""
    while True:
        yield 1


class UnshowableKey:
    def __hash__(self):
        return 1

    def __str__(self):
        raise SystemExit

    __repr__ = __str__


async def endless_async():
    """Give nothing, without end."""
    while True:
        yield 1


def nested(depth):
    """Give a list in a list in a list."""
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        endless(),
        {"deep": [endless()]},
        endless_async(),
        iter([1]),
        Unshowable(),
        {UnshowableKey(): 1},
        {"x": UnshowableKey()},
        nested(5_000),
        lambda: None,
        NotImplementedError,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_that_cannot_be_kept_fails_its_run(value):
    """An iterator may have no end, and what has no JSON form may raise what it likes when it is asked for one."""
    outcome = of_result(value, SIZES)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.retryable) == ("invalid_result", False)
