"""The end of a run as others see it: the report, one line of the log, and the counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from listener.domain.outcome import Cancelled, Completed, Failed, Outcome, Report, Snoozed
from listener.observability.events import Event

if TYPE_CHECKING:
    from datetime import datetime

    from structlog.typing import FilteringBoundLogger

    from listener.observability.metrics import Metrics
    from listener.ports import Clock
    from listener.runs.claimed_run import Prepared

UNKNOWN = "(unknown)"
"""The metrics' label for names that no handler has: clients choose those, and labels must stay bounded."""
STATUS = {Completed: "completed", Failed: "failed", Snoozed: "snoozed", Cancelled: "cancelled"}


class Reporter:
    """Tells the ends of runs."""

    def __init__(self, clock: Clock, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._clock, self._metrics, self._log = clock, metrics, log

    def report(self, prepared: Prepared, outcome: Outcome) -> Report:
        """Count and log an end, and give what the ledger is to say of it."""
        run, started_at = prepared.run, prepared.started_at
        completed_at = self._clock.now()
        if started_at is not None and completed_at < started_at:
            completed_at = started_at  # the estimate of the database's clock was corrected meanwhile
        outcome = _as_wanted(_within_attempts(outcome, prepared), prepared)
        self._count(prepared, STATUS[type(outcome)], completed_at)
        self._tell(prepared, outcome)
        return Report(
            execution_id=run.execution_id,
            outcome=outcome,
            started_at=started_at,
            completed_at=completed_at,
            logs=prepared.context.take_logs(),
            progress=prepared.context.fraction,
        )

    def _tell(self, prepared: Prepared, outcome: Outcome) -> None:
        match outcome:
            case Completed():
                self._log.debug(Event.RUN_COMPLETED, **identity(prepared))
            case Failed():
                self._log.warning(Event.RUN_FAILED, **identity(prepared), error=outcome.error, reason=outcome.reason)
            case Snoozed():
                self._log.debug(Event.RUN_SNOOZED, **identity(prepared), until=outcome.until.isoformat())
            case Cancelled():
                self._log.info(Event.RUN_CANCELLED, **identity(prepared), reason=outcome.reason)

    def _count(self, prepared: Prepared, status: str, completed_at: datetime) -> None:
        started_at, name = prepared.started_at, prepared.handler.name if prepared.handler else UNKNOWN
        if started_at is None:
            self._metrics.run_refused(name, status)
            return
        # not since the due instant: a retry is not late because the first attempt failed
        lateness = (started_at - prepared.run.start_at).total_seconds()
        self._metrics.run_ended(name, status, lateness, (completed_at - started_at).total_seconds())


def _within_attempts(outcome: Outcome, prepared: Prepared) -> Outcome:
    """Let the handler's own limit of attempts hold beside the job's."""
    most = prepared.handler.max_attempts if prepared.handler else None
    if type(outcome) is Failed and outcome.retryable and most is not None and prepared.run.attempt >= most:
        return replace(outcome, retryable=False)
    return outcome


def _as_wanted(outcome: Outcome, prepared: Prepared) -> Outcome:
    """Drop the result of a job that does not want it kept."""
    if type(outcome) is Completed and not prepared.run.row.get("store_result", True):
        return Completed()
    return outcome


def identity(prepared: Prepared) -> dict[str, object]:
    """Name a run in the log."""
    run = prepared.run
    return {"job_id": run.job_id, "execution_id": run.execution_id, "handler": run.handler, "attempt": run.attempt}
