"""An executor whose runs are spans: used where the listener sends traces, so that others pay nothing for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from listener.execution.executor import Executor

if TYPE_CHECKING:
    from listener.domain.outcome import Report
    from listener.observability.tracing import RunTracer
    from listener.runs.claimed_run import ClaimedRun


class TracedExecutor(Executor):
    """Runs handlers, each in spans of its own.

    Args:
        tracer: makes the spans.
        *parts: those of `Executor`.
        **named: those of `Executor`.
    """

    def __init__(self, tracer: RunTracer, *parts: Any, **named: Any) -> None:  # noqa: ANN401 - handed on
        super().__init__(*parts, **named)
        self._tracer = tracer

    async def execute(self, claimed_run: ClaimedRun) -> Report:
        """Run as `Executor.execute` does, in the trace of the job."""
        context, name = claimed_run.context, claimed_run.handler.name if claimed_run.handler else None
        waited = self._clock.monotonic() - claimed_run.trusted_since
        with self._tracer.run(claimed_run.run, name, waited) as spans:
            context.belongs_to(spans.traceparent)
            report = await super().execute(claimed_run)
            spans.ended(report, context.masker)
            return report
