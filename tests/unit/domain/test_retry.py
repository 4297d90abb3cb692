"""The step that follows an attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from listener.domain.job import RetryPolicy
from listener.domain.outcome import Cancelled, Completed, Failed, Snoozed
from listener.domain.retry import Finished, RetryAt, SnoozeUntil, decide, delay_seconds
from listener.domain.status import RunStatus

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
POLICY = RetryPolicy(max_attempts=4, delay_seconds=5, backoff=2)
MIDDLE = 0.5


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 5), (2, 10), (3, 20), (10, 2_560)])
def test_the_delay_grows_exponentially(attempt: int, seconds: float):
    """Each failure multiplies the delay by the back-off."""
    assert delay_seconds(POLICY, attempt, MIDDLE) == pytest.approx(seconds)


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 4.5), (0.5, 5.0), (1.0, 5.5)])
def test_jitter_moves_the_delay_by_a_tenth_at_most(jitter: float, seconds: float):
    """Chance between 0 and 1 stands for minus to plus ten per cent."""
    assert delay_seconds(POLICY, 1, jitter) == pytest.approx(seconds)


@pytest.mark.parametrize("attempt", [20, 2_000])
def test_no_delay_is_longer_than_a_day(attempt: int):
    """Not even where the power is no longer a number, or the jitter is upward."""
    assert delay_seconds(POLICY, attempt, 0.999) == 86_400


def test_a_failure_is_retried_until_the_last_attempt():
    """The fourth of four attempts is final."""
    failed = Failed("boom")
    assert decide(failed, 3, POLICY, MIDDLE, NOW) == RetryAt(NOW + timedelta(seconds=20))
    assert decide(failed, 4, POLICY, MIDDLE, NOW) == Finished(RunStatus.FAILED)


def test_a_failure_that_no_retry_can_fix_is_final_at_once():
    """Another attempt would fail the same way."""
    assert decide(Failed("no", retryable=False), 1, POLICY, MIDDLE, NOW) == Finished(RunStatus.FAILED)


@pytest.mark.parametrize(
    ("asked", "seconds"), [(90.0, 90), (200_000.0, 200_000), (-1.0, 0), (float("inf"), 31_622_400)]
)
def test_a_handler_may_choose_the_delay(asked: float, seconds: int):
    """The handler's delay replaces the back-off, within a year and not in the past."""
    step = decide(Failed("busy", retry_after_seconds=asked), 1, POLICY, MIDDLE, NOW)
    assert step == RetryAt(NOW + timedelta(seconds=seconds))


def test_an_asked_for_delay_grants_no_further_attempt():
    """The last attempt is the last one."""
    assert decide(Failed("busy", retry_after_seconds=1), 4, POLICY, MIDDLE, NOW) == Finished(RunStatus.FAILED)


def test_completed_and_cancelled_runs_are_over():
    """They end as what they are."""
    assert decide(Completed(1), 1, POLICY, MIDDLE, NOW) == Finished(RunStatus.COMPLETED)
    assert decide(Cancelled("replaced"), 1, POLICY, MIDDLE, NOW) == Finished(RunStatus.CANCELLED)


def test_a_snooze_is_no_attempt_and_never_in_the_past():
    """Snoozing after the last attempt is still a snooze, until the instant asked for or now."""
    later = NOW + timedelta(hours=1)
    assert decide(Snoozed(later), 4, POLICY, MIDDLE, NOW) == SnoozeUntil(later)
    assert decide(Snoozed(NOW - timedelta(hours=1)), 1, POLICY, MIDDLE, NOW) == SnoozeUntil(NOW)
