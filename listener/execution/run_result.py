"""Turns the report of an attempt into the run result that the ledger takes; pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from listener.domain.messages import RunResult
from listener.domain.outcome import Cancelled, Completed, Failed
from listener.domain.retry import RetryAt, SnoozeUntil, decide
from listener.domain.status import RunStatus

if TYPE_CHECKING:
    from listener.domain.job import Run
    from listener.domain.outcome import Report
    from listener.errors import StoreError

SHUTDOWN = "shutdown"
"""The reason of runs that this listener stopped at its shutdown: another listener takes them over at once."""
OVERLAP = "overlap"
"""The reason of runs that a later instant of their job replaced, as its `overlap` says."""
LEASE_LOST = "lease_lost"
"""The reason of runs that this listener stopped because it no longer trusts its claim."""
UNWRITABLE = "unwritable"


def run_result_of(run: Run, report: Report, jitter: float) -> RunResult:
    """Decide what follows an attempt, and return both as a run result.

    Args:
        run: the claimed run.
        report: the report of the attempt.
        jitter: a random number from 0 to 1, for the back-off.
    """
    outcome = report.outcome
    run_result = RunResult(
        execution_id=report.execution_id,
        fence=run.fence,
        status=RunStatus.COMPLETED,
        started_at=report.started_at,
        completed_at=report.completed_at,
        progress=report.progress,
        logs=report.logs,
    )
    if isinstance(outcome, Completed):
        run_result.result = outcome.result
        return run_result
    if isinstance(outcome, Cancelled) and outcome.reason == SHUTDOWN:
        return _handed_back(run, run_result)
    if isinstance(outcome, Cancelled) and outcome.reason == LEASE_LOST:
        return _given_up(run, run_result)
    if isinstance(outcome, Cancelled):
        return replace(run_result, status=RunStatus.CANCELLED, reason=outcome.reason)
    step = decide(outcome, run.attempt, run.retry, jitter, report.completed_at)
    if isinstance(step, SnoozeUntil):
        return replace(run_result, status=RunStatus.QUEUED, reason="snoozed", retry_at=step.until)
    assert isinstance(outcome, Failed), "what is left"  # noqa: S101 - narrows the type
    return replace(
        run_result,
        status=RunStatus.FAILED,
        reason=outcome.reason,
        error=outcome.error,
        error_details=outcome.details,
        retry_at=step.at if isinstance(step, RetryAt) else None,
    )


def _handed_back(run: Run, run_result: RunResult) -> RunResult:
    """Hand the run to another listener: unchanged if it has not started, as the next attempt if it has."""
    if run_result.started_at is None:
        return replace(run_result, status=RunStatus.QUEUED, reason=SHUTDOWN, retry_at=run.start_at)
    error = "the listener was shut down before the handler ended"
    return replace(run_result, status=RunStatus.FAILED, reason=SHUTDOWN, error=error, retry_at=run_result.completed_at)


def _given_up(run: Run, run_result: RunResult) -> RunResult:
    """Decide as the rescuer would; the database refuses the result if a rescuer came first."""
    if run_result.started_at is None:
        return replace(run_result, status=RunStatus.QUEUED, retry_at=run.start_at)
    error = "the listener could not extend its lease, and stopped the handler"
    again = run_result.completed_at if run.attempt < run.retry.max_attempts else None
    return replace(run_result, status=RunStatus.FAILED, reason=LEASE_LOST, error=error, retry_at=again)


def unwritable(run_result: RunResult, fault: StoreError) -> RunResult:
    """Reduce a run result that the database refuses to the failure and its reason."""
    return RunResult(
        execution_id=run_result.execution_id,
        fence=run_result.fence,
        status=RunStatus.FAILED,
        started_at=run_result.started_at,
        completed_at=run_result.completed_at,
        reason=UNWRITABLE,
        error=f"the outcome ({run_result.status}) could not be written: {fault.code}",
    )
