"""Readiness: why the service is not ready, and nothing else."""

from __future__ import annotations

import pytest

from listener.health import STALE_POLL_SECONDS, Health
from listener.pipeline.worker import CarriedClock
from listener.testing import NOON

BELLS = ("broadcast", "postgres_changes")


class Clock(CarriedClock):
    seconds = 0.0

    def monotonic(self):
        return self.seconds


@pytest.fixture
def clock():
    """Seconds that a test moves."""
    return Clock(NOON)


def polled(clock, *arguments, **options):
    """Make the health of a service that has just read its database."""
    health = Health(clock, *arguments, **options)
    health.poll_succeeded()
    return health


def test_a_service_that_has_read_nothing_is_not_ready(clock):
    """It knows of no job yet."""
    assert Health(clock).fault() == "database: not read yet"


def test_without_doorbells_the_poll_is_enough(clock):
    """Polling is a choice, not a fault."""
    assert polled(clock).fault() is None


def test_one_doorbell_is_enough_and_none_is_not(clock):
    """The reason is the last one that the feed gave."""
    health = polled(clock, BELLS)
    assert health.fault() == "feed: not connected yet"
    health.heard("postgres_changes")
    assert (health.fault(), health.hears) == (None, True)
    assert health.doorbells == {"broadcast": False, "postgres_changes": True}
    health.heard("broadcast")
    health.deaf("no canary", "postgres_changes")
    assert (health.fault(), health.doorbells) == (None, {"broadcast": True, "postgres_changes": False})
    health.deaf("the socket closed")
    assert (health.fault(), health.hears) == ("feed: the socket closed", False)


def test_a_failed_poll_counts_until_one_succeeds(clock):
    """However long ago the last good one was."""
    health = polled(clock)
    health.poll_failed("connection refused")
    assert health.fault() == "database: connection refused"
    health.poll_succeeded()
    assert health.fault() is None


def test_a_reflector_that_is_stuck_shows(clock):
    """No fault is told, but no success either."""
    health = polled(clock)
    clock.seconds += STALE_POLL_SECONDS + 1
    assert health.fault() == "database: last read 31 s ago"


def test_a_service_told_to_poll_seldom_is_not_stale_between_its_polls(clock):
    """The limit follows the setting."""
    health = polled(clock, poll_seconds=60)
    clock.seconds += 100
    assert health.fault() is None
    clock.seconds += 100
    assert health.fault() == "database: last read 200 s ago"


def test_a_draining_service_is_not_ready(clock):
    """Whoever asks has to send its work elsewhere."""
    health = polled(clock)
    health.drain()
    assert health.fault() == "draining"
