"""Decides what follows an attempt: another one, or the end of the run. The decision is a value; others carry it out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from listener.domain.outcome import Cancelled, Completed, Failed, Outcome, Snoozed
from listener.domain.status import RunStatus

if TYPE_CHECKING:
    from datetime import datetime

    from listener.domain.job import RetryPolicy

MAX_DELAY_SECONDS = 86_400.0
MAX_REQUESTED_DELAY_SECONDS = 366 * 86_400.0
"""A handler that asks for a delay of its own may wait longer than the back-off, but not for ever."""

JITTER_SHARE = 0.1
"""Jobs that failed together come back up to a tenth earlier or later, so that they do not fail together again."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """The next attempt at the same due instant starts at `at`."""

    at: datetime


@dataclass(frozen=True, slots=True)
class SnoozeUntil:
    """The same attempt starts again at `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over: `completed`, `failed` or `cancelled`."""

    status: RunStatus


NextStep = RetryAt | SnoozeUntil | Finished


def delay_seconds(policy: RetryPolicy, attempt: int, jitter: float) -> float:
    """Return the seconds between the failure of `attempt` (from 1) and the next: exponential, jittered, at most a day.

    Args:
        policy: the job's first delay and its growth.
        attempt: the attempt that failed.
        jitter: chance, a number in [0, 1); 0.5 leaves the delay as it is.
    """
    try:
        delay = policy.delay_seconds * float(policy.backoff) ** (attempt - 1)
    except OverflowError:
        delay = MAX_DELAY_SECONDS
    jittered = delay * (1 + JITTER_SHARE * (2 * jitter - 1))
    return min(max(jittered, 0.0), MAX_DELAY_SECONDS)


def decide(outcome: Outcome, attempt: int, policy: RetryPolicy, jitter: float, now: datetime) -> NextStep:
    """Return the step after `outcome` of `attempt` (from 1), which ended at `now`; `jitter` as in `delay_seconds`."""
    match outcome:
        case Completed():
            return Finished(RunStatus.COMPLETED)
        case Cancelled():
            return Finished(RunStatus.CANCELLED)
        case Snoozed(until):
            return SnoozeUntil(max(until, now))
        case Failed(retryable=True) if attempt < policy.max_attempts:
            return RetryAt(now + timedelta(seconds=_wait_seconds(outcome, attempt, policy, jitter)))
        case Failed():
            return Finished(RunStatus.FAILED)


def _wait_seconds(failed: Failed, attempt: int, policy: RetryPolicy, jitter: float) -> float:
    if failed.retry_after_seconds is None:
        return delay_seconds(policy, attempt, jitter)
    return min(max(failed.retry_after_seconds, 0.0), MAX_REQUESTED_DELAY_SECONDS)
