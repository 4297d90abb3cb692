"""Spans of runs, by OpenTelemetry. Only a listener that sends traces imports this module: its library is an extra.

The column `traceparent` keeps the trace of the request that inserted the job. The run of a one-time job, every attempt
at it, is a part of that trace. A recurring job would make it endless, so each of its runs begins a trace of its own,
with a link there.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from listener.domain.outcome import Failed
from listener.masking.redaction import hiding, redact_text

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from opentelemetry.trace import Span, TracerProvider
    from structlog.typing import WrappedLogger

    from listener.domain.job import Run
    from listener.domain.outcome import Outcome, Report
    from listener.masking.masker import Masker

HEADER = "traceparent"
UNKNOWN = "(unknown)"
"""Stands for the name of a handler that is not there: clients choose names, and names of spans must stay bounded."""
MAX_ERROR_CHARACTERS = 1000
_propagator = TraceContextTextMapPropagator()


class RunTrace:
    """The spans of one run: `job`, from its claim to its report, with `claim` and `run` inside."""

    def __init__(self, job: Span, run: Span) -> None:
        self._job, self._run = job, run

    @property
    def traceparent(self) -> str:
        """The header that names the span of the handler."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(self._run))
        return carrier.get(HEADER, "")

    def ended(self, report: Report, masker: Masker | None) -> None:
        """Note how the run ended."""
        outcome = report.outcome
        for span in (self._run, self._job):
            span.set_attribute("job.status", type(outcome).__name__.lower())
            _note(span, outcome, masker)


class RunTracer:
    """Makes the spans of runs.

    Args:
        provider: makes the tracer, and sends what it makes.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("listener")

    @contextmanager
    def run(self, run: Run, handler: str | None, claimed_seconds_ago: float) -> Iterator[RunTrace]:
        """Make the spans of a run, of which that of its handler is current inside the block.

        Args:
            run: the run, claimed so many seconds ago.
            handler: its name; None where there is no such handler.
            claimed_seconds_ago: how long ago the claim was requested.
        """
        name, begun = handler or UNKNOWN, time.time_ns() - round(claimed_seconds_ago * 1e9)  # as spans are dated
        context, links = _place(run)
        job = self._tracer.start_span(
            f"job {name}", context, SpanKind.CONSUMER, _attributes(run, name), links=links, start_time=begun
        )
        span = job
        try:
            if job.is_recording():
                within = trace.set_span_in_context(job, context)
                self._tracer.start_span(f"claim {name}", within, start_time=begun).end()
                span = self._tracer.start_span(f"run {name}", within)
            with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
                yield RunTrace(job, span)
        finally:
            job.end()


def _place(run: Run) -> tuple[Context, list[Link]]:
    """Return the context that a run's first span belongs to, and its links to other traces."""
    header = run.row.get(HEADER)
    sent = _propagator.extract({HEADER: header} if header else {}, Context())
    parent = trace.get_current_span(sent).get_span_context()
    if not parent.is_valid:
        return Context(), []
    if run.recurring or run.cause != "schedule":
        return Context(), [Link(parent)]
    return sent, []


def _attributes(run: Run, handler: str) -> dict[str, Any]:
    return {
        "job.id": run.job_id,
        "job.handler": handler,
        "job.execution_id": run.execution_id,
        "job.attempt": run.attempt,
        "job.cause": run.cause,
        "job.scheduled_for": run.scheduled_for.isoformat(),
        "job.test_mode": run.test_mode,
    }


def _note(span: Span, outcome: Outcome, masker: Masker | None) -> None:
    reason = getattr(outcome, "reason", None)
    if reason is not None:
        span.set_attribute("job.reason", reason)
    if isinstance(outcome, Failed):
        with hiding(masker):
            span.set_status(StatusCode.ERROR, redact_text(outcome.error)[:MAX_ERROR_CHARACTERS])


def add_trace(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add, as a structlog processor, the trace and the span in which a line is logged."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"], event["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
    return event
