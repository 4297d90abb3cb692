"""A run belongs to the trace in which its job was made, and everything that its handler does belongs to the run."""

from __future__ import annotations

import io
import json

import anyio
import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from pydantic import BaseModel, SecretStr

from listener import Fail, JobContext, Snooze, handler
from listener.execution.executor import Executor
from listener.execution.traced_executor import TracedExecutor
from listener.execution.worker import CarriedClock
from listener.handler_api.registry import Handler, Registry
from listener.observability.events import configure_logging
from listener.observability.tracing import RunTracer, add_trace
from listener.testing import NOON, make_run

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


class Secret(BaseModel):
    token: SecretStr


class Traced:
    """An executor that keeps its spans."""

    def __init__(self, *functions):
        self._kept = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))
        registry = Registry(map(Handler.of, functions))
        self.executor = TracedExecutor(RunTracer(self.provider), registry, CarriedClock(NOON), lambda: None)

    async def run(self, name="visit", payload=None, *, traceparent=SENT, **changes):
        """Run it, and return its report and its spans by name."""
        row = {"id": 1, "job_id": "test", "handler": name, "metadata": payload or {}, "traceparent": traceparent}
        claimed_run = self.executor.prepare(make_run(name, payload, row=row, **changes))
        claimed_run.trusted_since = CarriedClock(NOON).monotonic() - 0.5
        with trace.use_span(trace.INVALID_SPAN):
            report = await self.executor.execute(claimed_run)
        return report, {span.name.partition(" ")[0]: span for span in self._kept.get_finished_spans()}


def ids(span):
    """Trace and span, as a header has them."""
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def header(span):
    """Name a span to others."""
    return "00-{}-{}-01".format(*ids(span))


@handler("visit")
async def visit(job: JobContext):
    """Answer what an outgoing request would carry, and what is current."""
    current = trace.get_current_span().get_span_context()
    return {"header": job.traceparent, "current": f"{current.span_id:016x}"}


@handler("visit_in_thread")
def visit_in_thread(job: JobContext):
    """The same, beside the loop."""
    current = trace.get_current_span().get_span_context()
    return {"header": job.traceparent, "current": f"{current.span_id:016x}"}


@handler("visit_in_process", run_in="process")
def visit_in_process(job: JobContext):
    """A process has no spans of its own, and the header all the same."""
    return {"header": job.traceparent, "current": job.traceparent.split("-")[2]}


@pytest.mark.parametrize("function", [visit, visit_in_thread, visit_in_process], ids=["loop", "thread", "process"])
async def test_a_one_time_job_continues_the_trace_of_its_client(function):
    """Its claim and its run are parts of it, and the handler's own spans and requests are parts of the run."""
    name = Handler.of(function).name
    traced = Traced(function)
    try:
        report, spans = await traced.run(name)
    finally:
        await traced.executor.aclose()
    assert {ids(span)[0] for span in spans.values()} == {TRACE_ID}
    assert f"{spans['job'].parent.span_id:016x}" == SPAN_ID
    assert [spans[each].parent.span_id for each in ("claim", "run")] == [spans["job"].context.span_id] * 2
    assert report.outcome.result == {"header": header(spans["run"]), "current": ids(spans["run"])[1]}
    assert spans["job"].name == f"job {name}"
    assert spans["claim"].end_time - spans["claim"].start_time >= 0.5e9
    assert dict(spans["job"].attributes)["job.execution_id"] == report.execution_id


@pytest.mark.parametrize("changes", [{"recurring": True}, {"cause": "manual"}], ids=["recurring", "manual"])
async def test_a_run_of_another_kind_begins_a_trace_with_a_link(changes):
    """A job that recurs for years would otherwise be one trace without end."""
    _, spans = await Traced(visit).run(**changes)
    assert ids(spans["job"])[0] != TRACE_ID
    assert [f"{link.context.trace_id:032x}" for link in spans["job"].links] == [TRACE_ID]
    assert spans["run"].context.trace_id == spans["job"].context.trace_id


@pytest.mark.parametrize("sent", [None, f"00-{'0' * 32}-{SPAN_ID}-01", "nonsense"])
async def test_a_job_without_a_trace_begins_one(sent):
    """Also where the column's value names none."""
    _, spans = await Traced(visit).run(traceparent=sent)
    assert (spans["job"].parent, len(spans["job"].links)) == (None, 0)


async def test_a_client_that_does_not_sample_has_no_spans():
    """And the header says so to whoever the handler asks."""
    report, spans = await Traced(visit).run(traceparent=f"00-{TRACE_ID}-{SPAN_ID}-00")
    assert spans == {}
    assert report.outcome.result["header"].startswith(f"00-{TRACE_ID}-")
    assert report.outcome.result["header"].endswith("-00")


@handler("fail_for_good")
async def fail_for_good(job: JobContext, payload: Secret):
    """Show in its error what it should not."""
    raise Fail(reason="refused", message=f"they refused {payload.token.get_secret_value()}")


@handler("wait_longer")
async def wait_longer(job: JobContext):
    """Ask for another time."""
    raise Snooze(until=NOON.replace(year=2099))


async def test_a_failure_is_an_error_whose_text_shows_no_secret():
    """With the ledger's reason, at the run and at the job."""
    _, spans = await Traced(fail_for_good).run("fail_for_good", {"token": "hush-hush-hush"})
    for name in ("run", "job"):
        span = spans[name]
        assert (span.status.status_code, span.attributes["job.reason"]) == (StatusCode.ERROR, "refused")
        assert "they refused" in span.status.description
        assert "hush" not in span.to_json()


async def test_an_outcome_that_is_no_failure_is_no_error():
    """A run that asks for another time."""
    _, spans = await Traced(wait_longer).run("wait_longer")
    assert (spans["job"].attributes["job.status"], spans["job"].status.status_code) == ("snoozed", StatusCode.UNSET)


async def test_a_handler_that_is_not_there_gives_its_name_to_no_span():
    """Clients choose these names."""
    _, spans = await Traced(visit).run("x" * 100)
    assert spans["job"].name == "job (unknown)"
    assert spans["job"].status.status_code == StatusCode.ERROR


async def test_a_run_that_is_stopped_from_outside_ends_its_spans():
    """By the end of the service, with which its task is cancelled."""

    @handler("rest")
    async def rest(job: JobContext):
        await anyio.sleep_forever()

    traced = Traced(rest)
    with anyio.move_on_after(0.1):
        await traced.run("rest")
    assert {span.name for span in traced._kept.get_finished_spans()} == {"job rest", "claim rest", "run rest"}


async def test_without_traces_the_clients_header_goes_on():
    """The listener adds nothing to it."""
    executor = Executor(Registry([Handler.of(visit)]), CarriedClock(NOON), lambda: None)
    row = {"id": 1, "job_id": "test", "handler": "visit", "metadata": {}, "traceparent": SENT}
    report = await executor.execute(executor.prepare(make_run("visit", row=row)))
    assert report.outcome.result["header"] == SENT


async def test_lines_of_a_run_name_its_trace():
    """Those of the service and those of the handler."""

    @handler("speak")
    async def speak(job: JobContext):
        job.log.info("hello")

    stream = io.StringIO()
    configure_logging("json", "info", stream)
    gate, *others = structlog.get_config()["processors"]
    structlog.configure(processors=[gate, add_trace, *others])
    try:
        _, spans = await Traced(speak).run("speak")
        structlog.get_logger().info("outside")
    finally:
        structlog.reset_defaults()
    lines = {line["event"]: line for line in map(json.loads, stream.getvalue().splitlines())}
    assert (lines["hello"]["trace_id"], lines["hello"]["span_id"]) == ids(spans["run"])
    assert lines["run.completed"]["trace_id"] == TRACE_ID
    assert "trace_id" not in lines["outside"]
