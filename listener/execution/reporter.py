"""Reports the end of a run: makes the report, logs one line, and counts."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from listener.domain.outcome import Cancelled, Completed, Failed, Outcome, Report, Snoozed
from listener.observability.events import Event

if TYPE_CHECKING:
    from datetime import datetime

    from structlog.typing import FilteringBoundLogger

    from listener.observability.metrics import Metrics
    from listener.ports import Clock
    from listener.runs.claimed_run import ClaimedRun

UNKNOWN = "(unknown)"
"""The metrics' label for names without a handler: clients choose names, and labels must stay bounded."""
STATUS = {Completed: "completed", Failed: "failed", Snoozed: "snoozed", Cancelled: "cancelled"}


class Reporter:
    """Reports the ends of runs."""

    def __init__(self, clock: Clock, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._clock, self._metrics, self._log = clock, metrics, log

    def report(self, claimed_run: ClaimedRun, outcome: Outcome) -> Report:
        """Count and log the end of a run, and return its report."""
        run, started_at = claimed_run.run, claimed_run.started_at
        completed_at = self._clock.now()
        if started_at is not None and completed_at < started_at:
            completed_at = started_at  # the estimate of the database's clock was corrected meanwhile
        outcome = _as_wanted(_within_attempts(outcome, claimed_run), claimed_run)
        self._count(claimed_run, STATUS[type(outcome)], completed_at)
        self._notify(claimed_run, outcome, completed_at)
        return Report(
            execution_id=run.execution_id,
            outcome=outcome,
            started_at=started_at,
            completed_at=completed_at,
            logs=claimed_run.context.take_logs(),
            progress=claimed_run.context.fraction,
        )

    def _notify(self, claimed_run: ClaimedRun, outcome: Outcome, completed_at: datetime) -> None:
        if type(outcome) is Completed and not self._log.is_enabled_for(logging.INFO):
            return
        fields, started_at = identity(claimed_run), claimed_run.started_at
        if started_at is not None:
            fields["duration_ms"] = round((completed_at - started_at).total_seconds() * 1000, 1)
        match outcome:
            case Completed():
                self._log.info(Event.RUN_COMPLETED, **fields)
            case Failed():
                self._log.warning(Event.RUN_FAILED, **fields, error=outcome.error, reason=outcome.reason)
            case Snoozed():
                self._log.info(Event.RUN_SNOOZED, **fields, until=outcome.until.isoformat())
            case Cancelled():
                self._log.info(Event.RUN_CANCELLED, **fields, reason=outcome.reason)

    def _count(self, claimed_run: ClaimedRun, status: str, completed_at: datetime) -> None:
        started_at, name = claimed_run.started_at, claimed_run.handler.name if claimed_run.handler else UNKNOWN
        if started_at is None:
            self._metrics.run_refused(name, status)
            return
        # not since the due instant: a retry is not late because the first attempt failed
        lateness = (started_at - claimed_run.run.start_at).total_seconds()
        self._metrics.run_ended(name, status, lateness, (completed_at - started_at).total_seconds())


def _within_attempts(outcome: Outcome, claimed_run: ClaimedRun) -> Outcome:
    """Apply the handler's own limit of attempts beside the job's."""
    most = claimed_run.handler.max_attempts if claimed_run.handler else None
    if type(outcome) is Failed and outcome.retryable and most is not None and claimed_run.run.attempt >= most:
        return replace(outcome, retryable=False)
    return outcome


def _as_wanted(outcome: Outcome, claimed_run: ClaimedRun) -> Outcome:
    """Drop the result if the job does not store results."""
    if type(outcome) is Completed and not claimed_run.run.row.get("store_result", True):
        return Completed()
    return outcome


def identity(claimed_run: ClaimedRun) -> dict[str, object]:
    """Return the fields that name a run in the log."""
    run = claimed_run.run
    return {"job_id": run.job_id, "execution_id": run.execution_id, "handler": run.handler, "attempt": run.attempt}
