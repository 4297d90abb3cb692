"""A fault of the feed that lasts is logged when it begins, when it ends, and rarely between."""

from __future__ import annotations

import pytest
from moved_clock import MovedClock
from structlog.testing import capture_logs

from listener.supabase.feed_log import FeedLog
from listener.testing import NOON

SESSION_SECONDS = 3.0


@pytest.fixture
def clock():
    """A clock that stands still."""
    return MovedClock(NOON)


@pytest.fixture
def log(clock):
    """The log of a feed that receives both channels."""
    log = FeedLog(clock)
    for channel in ("broadcast", "postgres_changes"):
        log.session_opened(channel)
    return log


def lack(log, clock, seconds, why="not published"):
    """Replace sessions that lack a channel for so long."""
    end = clock.seconds + seconds
    while clock.seconds < end:
        log.session_opened("broadcast")
        log.channel_stale("postgres_changes", why)
        log.session_replaced({"broadcast"})
        clock.seconds += SESSION_SECONDS


def shown(lines):
    """Return the lines that an operator reads: those that are not for debugging."""
    return [(line["log_level"], line["event"]) for line in lines if line["log_level"] != "debug"]


def test_a_channel_that_lacks_for_a_minute_is_worth_two_lines(log, clock):
    """Twenty sessions come and go meanwhile."""
    with capture_logs() as lines:
        lack(log, clock, 59)
        for channel in ("broadcast", "postgres_changes"):
            log.session_opened(channel)
        log.session_replaced({"broadcast", "postgres_changes"})
    assert shown(lines) == [
        ("info", "feed.session_opened"),  # before the fault
        ("warning", "feed.channel_stale"),
        ("info", "feed.session_opened"),
    ]
    assert len(lines) > 50, "debugging shows all of it"


def test_a_fault_that_lasts_is_named_again_after_longer_and_longer_times(log, clock):
    """With for how long it has lasted, and how often it was not logged."""
    with capture_logs() as lines:
        lack(log, clock, 7200)
    reminders = [line for line in lines if line["log_level"] == "warning"]
    assert [line.get("for_seconds", 0) for line in reminders] == [
        0,
        60,
        180,
        420,
        900,
        1800,
        2700,
        3600,
        4500,
        5400,
        6300,
    ]
    assert [line.get("repeated") for line in reminders[:3]] == [None, 20, 40]


def test_a_channel_that_comes_and_goes_is_the_same_fault(log, clock):
    """As after a burst over the limit of changes: some probes come back, others do not."""
    with capture_logs() as lines:
        for _ in range(4):
            lack(log, clock, 10)
            log.session_opened("postgres_changes")
    assert shown(lines).count(("warning", "feed.channel_stale")) == 1
    assert shown(lines).count(("info", "feed.session_opened")) == 2, "before it, and its first end"


def test_a_fault_after_a_good_minute_is_a_new_one(log, clock):
    """It is logged at once."""
    with capture_logs() as lines:
        for _ in range(2):
            log.channel_stale("postgres_changes", "silent")
            log.session_opened("postgres_changes")
            clock.seconds += 60
    assert shown(lines) == [("warning", "feed.channel_stale"), ("info", "feed.session_opened")] * 2


def test_sessions_that_end_for_one_reason_are_logged_once(log, clock):
    """An outage: every attempt fails."""
    with capture_logs() as lines:
        for _ in range(10):
            log.session_ended("refused")
            clock.seconds += SESSION_SECONDS
        log.session_opened("broadcast")
    assert shown(lines) == [("warning", "feed.session_ended"), ("info", "feed.session_opened")]


def test_a_rotation_is_logged(log):
    """Nothing lacks, so each of its steps is news."""
    with capture_logs() as lines:
        log.session_opened("broadcast")
        log.session_replaced({"broadcast"})
    assert shown(lines) == [("info", "feed.session_opened"), ("info", "feed.session_replaced")]
