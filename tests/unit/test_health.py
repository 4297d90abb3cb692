"""Readiness: why the service is not ready, and nothing else."""

from __future__ import annotations

import pytest
from moved_clock import MovedClock

from listener.errors import StoreError
from listener.observability.health import PATIENCE_SECONDS, REMEMBERED_SECONDS, STALE_POLL_SECONDS, Health
from listener.testing import NOON

CHANNELS = ("broadcast", "postgres_changes")


@pytest.fixture
def clock():
    """Seconds that a test moves."""
    return MovedClock(NOON)


def polled(clock, *arguments, **options):
    """Make the health of a service that has just read its database."""
    health = Health(clock, *arguments, **options)
    health.poll_succeeded()
    return health


def test_a_service_that_has_read_nothing_is_not_ready(clock):
    """It knows of no job yet."""
    assert Health(clock).fault() == "database: not read yet"


def test_without_channels_the_poll_is_enough(clock):
    """Polling is a choice, not a fault."""
    assert polled(clock).fault() is None


def test_one_channel_is_enough_and_none_is_not(clock):
    """The reason is the last one that the feed gave."""
    health = polled(clock, CHANNELS)
    assert health.fault() == "feed: not connected yet"
    health.received("postgres_changes")
    assert (health.fault(), health.receiving) == (None, True)
    assert health.channels == {"broadcast": False, "postgres_changes": True}
    health.received("broadcast")
    health.stale("no probe", "postgres_changes")
    assert (health.fault(), health.channels) == (None, {"broadcast": True, "postgres_changes": False})
    health.stale("the socket closed")
    assert (health.fault(), health.receiving) == ("feed: the socket closed", False)


def test_a_failed_poll_counts_until_one_succeeds(clock):
    """However long ago the last good one was."""
    health = polled(clock)
    health.poll_failed("connection refused")
    assert health.fault() == "database: connection refused"
    health.poll_succeeded()
    assert health.fault() is None


def test_a_reflector_that_is_stuck_shows(clock):
    """No fault is reported, but no success either."""
    health = polled(clock)
    clock.seconds += STALE_POLL_SECONDS + 1
    assert health.fault() == "database: last read 31 s ago"


def test_a_service_configured_to_poll_seldom_is_not_stale_between_its_polls(clock):
    """The limit follows the setting."""
    health = polled(clock, poll_seconds=60)
    clock.seconds += 100
    assert health.fault() is None
    clock.seconds += 100
    assert health.fault() == "database: last read 200 s ago"


def test_a_draining_service_is_not_ready(clock):
    """A load balancer has to send its work elsewhere."""
    health = polled(clock)
    health.drain()
    assert health.fault() == "draining"


def failing(code="PGRST000", **flags):
    """Make a fault of a call."""
    return StoreError("finish_runs_v1", code, "m", retryable=True, **flags)


def test_a_function_that_goes_on_failing_shows_although_the_polls_succeed(clock):
    """A read-only database answers every poll. One failure is none; a success ends it."""
    health = polled(clock)
    health.answered("finish_runs_v1", failing())
    clock.seconds += PATIENCE_SECONDS
    assert health.fault() is None
    health.answered("finish_runs_v1", failing())
    assert health.fault() == "database: finish_runs_v1: PGRST000 m"
    health.answered("claim_runs_v1", None)
    assert health.fault() is not None
    health.answered("finish_runs_v1", None)
    assert health.fault() is None


def test_a_fault_for_an_operator_shows_at_once(clock):
    """It does not pass by itself."""
    health = polled(clock)
    health.answered("finish_runs_v1", failing("25006", needs_operator=True))
    assert health.fault() == "database: finish_runs_v1: 25006 m"


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        ("claim_runs_v1", failing("22003", split_batch=True)),
        ("clean_ledger_v1", failing(needs_operator=True)),
        ("publish_handlers_v1", failing()),
    ],
)
def test_a_poisoned_row_a_failing_cleaner_and_a_slow_publisher_leave_the_service_ready(clock, function, fault):
    """Neither is in the way of other jobs."""
    health = polled(clock)
    for _ in range(10):
        health.answered(function, fault)
        clock.seconds += 1
    assert health.fault() is None


def test_a_fault_that_no_call_follows_is_forgotten(clock):
    """There may be no cause for another one for hours."""
    health = polled(clock)
    health.answered("claim_runs_v1", failing(needs_operator=True))
    clock.seconds += REMEMBERED_SECONDS - 1
    health.poll_succeeded()
    assert health.fault() is not None
    clock.seconds += 1
    assert health.fault() is None


def test_each_part_says_how_it_is(clock):
    """Also those that are well while another is not; what is awaited is a part too."""
    health = polled(clock, CHANNELS)
    health.received("broadcast")
    clock.seconds += 2
    health.work_waits(0.2)
    assert health.parts() == {
        "database": "ok, read 2.0 s ago",
        "feed": "ok, broadcast received, postgres_changes stale",
        "loop": "ok, 0 ms late",
        "work": "ok, 0.2 s overdue",
    }
    health.await_first("catalogue")
    health.stale("the socket closed")
    parts = health.parts()
    assert (parts["feed"], parts["catalogue"]) == ("the socket closed", "not yet")
    assert parts["database"].startswith("ok")
