"""The run result of each outcome."""

from __future__ import annotations

from datetime import timedelta

import pytest

from listener.domain.job import RetryPolicy
from listener.domain.outcome import Cancelled, Completed, Failed, LogLine, Report, Snoozed
from listener.errors import StoreError
from listener.execution.run_result import run_result_of, unwritable
from listener.testing import EXECUTION_ID, NOON, make_run

END = NOON + timedelta(seconds=2)
LATER = NOON + timedelta(hours=1)
LINES = (LogLine(NOON, "info", "hello", {}),)


def result_of(outcome, *, attempt=1, started=True, jitter=0.5):
    """Give the run_result of a run of at most two attempts, ten seconds apart."""
    run = make_run("x", attempt=attempt, retry=RetryPolicy(2, 10, 2))
    return run_result_of(run, Report(EXECUTION_ID, outcome, NOON if started else None, END, LINES, 0.5), jitter)


@pytest.mark.parametrize(
    ("outcome", "attempt", "status", "reason", "retry_in"),
    [
        (Completed({"a": 1}), 1, "completed", None, None),
        (Failed("boom"), 1, "failed", None, 10),
        (Failed("boom"), 2, "failed", None, None),
        (Failed("boom", retryable=False), 1, "failed", None, None),
        (Failed("boom", "timeout", retry_after_seconds=3), 1, "failed", "timeout", 3),
        (Snoozed(LATER), 2, "queued", "snoozed", 3598),
        (Cancelled("cancelled"), 1, "cancelled", "cancelled", None),
        (Cancelled("deleted"), 1, "cancelled", "deleted", None),
        (Cancelled("shutdown"), 2, "failed", "shutdown", 0),
        (Cancelled("lease_lost"), 1, "failed", "lease_lost", 0),
        (Cancelled("lease_lost"), 2, "failed", "lease_lost", None),
    ],
)
def test_an_outcome_and_what_follows(outcome, attempt, status, reason, retry_in):
    """Of what the listener stopped for its own reasons, nothing is lost: another attempt follows, or it failed."""
    run_result = result_of(outcome, attempt=attempt)
    assert (run_result.status, run_result.reason) == (status, reason)
    assert run_result.retry_at == (None if retry_in is None else END + timedelta(seconds=retry_in))
    assert (run_result.execution_id, run_result.completed_at, run_result.progress, run_result.logs) == (
        EXECUTION_ID,
        END,
        0.5,
        LINES,
    )


@pytest.mark.parametrize("reason", ["shutdown", "lease_lost"])
def test_a_run_that_had_not_started_is_handed_back_as_it_was(reason):
    """The same attempt, at its time: none is used up."""
    run_result = result_of(Cancelled(reason), attempt=2, started=False)
    assert (run_result.status, run_result.retry_at, run_result.error) == ("queued", NOON, None)


def test_the_jitter_moves_a_retry_by_a_tenth():
    """Jobs that failed together come back apart."""
    assert result_of(Failed("boom"), jitter=0).retry_at == END + timedelta(seconds=9)


def test_an_unwritable_ending_keeps_that_it_failed_and_why():
    """Nothing of what may have made it unwritable."""
    run_result = unwritable(
        result_of(Completed({"bad": 1})), StoreError("f", "22P05", "bad", retryable=False, split_batch=True)
    )
    assert (run_result.status, run_result.reason, run_result.result, run_result.logs) == (
        "failed",
        "unwritable",
        None,
        (),
    )
    assert run_result.error == "the outcome (completed) could not be written: 22P05"
    assert run_result.retry_at is None
