"""The estimate of the database's clock: as good as the best answer, and never behind a proof to the contrary."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.clock import DRIFT, EPOCH, DatabaseClock, milliseconds

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Monotonic:
    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def monotonic():
    """Seconds that a test moves."""
    return Monotonic()


@pytest.fixture
def clock(monotonic):
    """An estimate that has seen no answer."""
    return DatabaseClock(monotonic)


def observe(clock, monotonic, offset_seconds, round_trip):
    """Let the clock see an answer given half-way by a database whose clock is NOON + monotonic + offset."""
    requested_at = monotonic.seconds
    reported = NOON + timedelta(seconds=requested_at + round_trip / 2 + offset_seconds)
    monotonic.seconds += round_trip
    clock.observe(reported, requested_at, monotonic.seconds)


def error(clock, monotonic, offset_seconds=0.0):
    """Give the seconds between the estimate and the truth."""
    return (clock.now() - NOON).total_seconds() - monotonic.seconds - offset_seconds


def test_the_first_answer_sets_the_clock(clock, monotonic):
    """The local clock does not matter."""
    observe(clock, monotonic, 3600, 0.2)
    assert error(clock, monotonic, 3600) == pytest.approx(0, abs=1e-5)


def test_a_longer_round_trip_that_agrees_teaches_nothing(clock, monotonic):
    """It knows less."""
    observe(clock, monotonic, 0, 0.01)
    observe(clock, monotonic, 0.4, 1.0)
    assert error(clock, monotonic) == pytest.approx(0, abs=1e-5)


def test_a_longer_round_trip_that_disagrees_a_little_corrects_a_little(clock, monotonic):
    """By as much as it proves, not to its own worse guess."""
    observe(clock, monotonic, 0, 0.01)
    observe(clock, monotonic, 0.505, 1.0)
    assert error(clock, monotonic) == pytest.approx(0.005, abs=1e-5)


def test_a_shorter_round_trip_corrects(clock, monotonic):
    """It knows more."""
    observe(clock, monotonic, 0.4, 1.0)
    observe(clock, monotonic, 0, 0.01)
    assert error(clock, monotonic) == pytest.approx(0, abs=1e-5)


def test_an_old_sample_gives_way(clock, monotonic):
    """Clocks drift: after a while an answer that took a little longer is better."""
    observe(clock, monotonic, 0, 0.01)
    monotonic.seconds += 0.005 / DRIFT
    observe(clock, monotonic, 0.004, 0.02)
    assert error(clock, monotonic, 0.004) == pytest.approx(0, abs=1e-5)


def test_an_old_sample_does_not_give_way_to_a_bad_one(clock, monotonic):
    """In ten minutes clocks part by a tenth of a second, and an answer that took a whole one may be wrong by half."""
    observe(clock, monotonic, 0, 0.01)
    monotonic.seconds += 600
    observe(clock, monotonic, 0.4, 1.0)
    assert error(clock, monotonic) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("step", [-3600, -0.6, 0.6, 3600])
def test_a_step_of_the_databases_clock_is_followed_at_once(clock, monotonic, step):
    """Also when the answer that proves it took longer than the best one; the same for a machine that slept."""
    observe(clock, monotonic, 0, 0.01)
    observe(clock, monotonic, step, 1.0)
    assert error(clock, monotonic, step) == pytest.approx(0, abs=1e-5)


@given(st.lists(st.tuples(st.floats(0.001, 2), st.floats(0, 1)), min_size=1, max_size=25))
def test_the_error_is_at_most_half_the_best_round_trip(answers):
    """Wherever between question and answer the database looked at its clock; and what clocks may have parted since."""
    monotonic, best = Monotonic(), float("inf")
    clock = DatabaseClock(monotonic)
    for round_trip, share in answers:
        requested_at = monotonic.seconds
        monotonic.seconds += round_trip
        clock.observe(NOON + timedelta(seconds=requested_at + round_trip * share), requested_at, monotonic.seconds)
        best = min(best + DRIFT * round_trip, round_trip / 2)
        assert abs(error(clock, monotonic)) <= best + 1e-5


async def test_a_sleep_never_ends_early(clock, monotonic, monkeypatch):
    """Though the loop's timers do."""
    naps = []

    async def sleep(seconds):
        naps.append(seconds)
        monotonic.seconds += seconds * 0.9 + 1e-5

    monkeypatch.setattr(anyio, "sleep", sleep)
    until = clock.now() + timedelta(seconds=1)
    await clock.sleep_until(until)
    assert clock.now() >= until
    assert len(naps) > 1


async def test_a_sleep_until_the_past_does_not_sleep(clock, monkeypatch):
    """Not even for a turn of the loop that a due run would wait."""
    monkeypatch.setattr(anyio, "sleep", None)
    await clock.sleep_until(clock.now() - timedelta(seconds=1))


def test_milliseconds_are_rounded_down():
    """So that a job is never later than its own millisecond."""
    assert milliseconds(EPOCH + timedelta(microseconds=1999)) == 1
    assert milliseconds(EPOCH - timedelta(microseconds=1)) == -1


def test_time_goes_on_while_the_machine_sleeps(monkeypatch):
    """Leases run out meanwhile; Linux has a clock for it beside the one that stands still."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "clock_gettime", {7: 9000.0}.get)
    assert DatabaseClock().monotonic() == 9000.0
