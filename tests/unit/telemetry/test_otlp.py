"""Spans and metrics reach a collector by OTLP over HTTP; nothing of it is loaded where no collector is named."""

from __future__ import annotations

import gzip
import subprocess
import sys
from contextlib import asynccontextmanager

import anyio
import pytest
import structlog
from http_endpoint import Endpoint
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from patience import PATIENCE_SECONDS

from listener.app import telemetry
from listener.observability import otlp
from listener.observability.metrics import Metrics
from listener.observability.otlp import Otlp
from listener.settings import Settings
from listener.testing import make_run

LISTENER = "7f3d1c9e-0000-4000-8000-000000000001"
SETTINGS = {"supabase_url": "http://localhost", "secret_key": "sb_secret_c2VjcmV0_abcdefgh"}


@asynccontextmanager
async def collector(metrics=None, **answers):
    """Serve a collector; give it, and what sends to it."""
    served = Endpoint(**answers)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as sockets, anyio.create_task_group() as tasks:
        tasks.start_soon(sockets.serve, served.serve)
        port = sockets.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - of anyio, not of Django
        headers = {"api-key": "a key of the collector"}
        yield served, Otlp(f"http://127.0.0.1:{port}/", headers, LISTENER, (metrics or Metrics()).registry)
        tasks.cancel_scope.cancel()


def sent(served, kind):
    """The path, the headers and the message of the only request."""
    ((_, path, headers, content),) = served.requests
    plain = gzip.decompress(content) if headers.get("content-encoding") == "gzip" else content
    return path, headers, kind.FromString(plain)


def named(attributes):
    """Texts by their keys."""
    return {each.key: each.value.string_value for each in attributes}


async def test_spans_are_sent_at_the_end_at_the_latest():
    """To the collector's path, with its headers, in the name of this listener."""
    async with collector() as (served, to):
        with to.tracer.run(make_run("visit"), "visit", 0.1):
            pass
        await to.aclose()
    path, headers, message = sent(served, ExportTraceServiceRequest)
    assert (path, headers["api-key"]) == ("/v1/traces", "a key of the collector")
    (resource,) = message.resource_spans
    assert named(resource.resource.attributes)["service.name"] == "supabase-job-listener"
    assert named(resource.resource.attributes)["service.instance.id"] == LISTENER
    names = {span.name for scope in resource.scope_spans for span in scope.spans}
    assert names == {"job visit", "claim visit", "run visit"}


async def test_the_metrics_of_prometheus_are_sent_under_their_names(monkeypatch):
    """Counters as sums, distributions with their buckets, everything else as it is now."""
    metrics = Metrics()
    metrics.run_ended("visit", "completed", 0.02, 0.2)
    metrics.run_ended("visit", "failed", 120, 2)
    metrics.feed_state("realtime", "receiving")
    async with collector(metrics) as (served, to):
        await to.send_metrics()
    path, _, message = sent(served, ExportMetricsServiceRequest)
    assert path == "/v1/metrics"
    by_name = {each.name: each for scope in message.resource_metrics[0].scope_metrics for each in scope.metrics}
    runs = {
        tuple(named(point.attributes).values()): point.as_double for point in by_name["listener_runs"].sum.data_points
    }
    assert runs == {("visit", "completed"): 1, ("visit", "failed"): 1}
    assert by_name["listener_runs"].sum.is_monotonic
    (lateness,) = by_name["listener_run_lateness_seconds"].histogram.data_points
    assert (lateness.count, lateness.sum) == (2, 120.02)
    assert len(lateness.bucket_counts) == len(lateness.explicit_bounds) + 1
    assert (lateness.bucket_counts[-1], sum(lateness.bucket_counts)) == (1, 2)
    assert not lateness.HasField("min")
    states = {
        named(point.attributes)["listener_feed_session"]: point.as_double
        for point in by_name["listener_feed_session"].gauge.data_points
    }
    assert states == {"down": 0, "connecting": 0, "joined": 0, "receiving": 1}
    exposed = {
        line.split()[2].removesuffix("_total")
        for line in metrics.exposition().decode().splitlines()
        if line.startswith("# TYPE")
    }
    assert {name for name in exposed if not name.endswith("_created")} >= set(by_name)


async def test_a_collector_that_does_not_answer_holds_nothing_up(monkeypatch):
    """The end of the listener waits for it a moment, and the loop never."""
    monkeypatch.setattr(otlp, "CLOSE_SECONDS", 0.1)
    async with collector(delay_seconds=60) as (_, to):
        with to.tracer.run(make_run("visit"), "visit", 0.1):
            pass
        with anyio.fail_after(PATIENCE_SECONDS):
            await to.aclose()


def test_a_program_that_names_no_collector_loads_nothing_of_it():
    """Neither the library nor its part of the listener."""
    code = (
        "import anyio, sys\nfrom listener.app.service import Service\nfrom listener.settings import Settings\n"
        f"async def main():\n    Service(Settings(**{SETTINGS}, handlers=['listener.handlers']))\nanyio.run(main)\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'listener.observability.otlp'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_a_collector_without_the_extra_is_a_line_in_the_log(monkeypatch):
    """Platforms set the variable for every program; jobs run all the same."""
    monkeypatch.setattr(telemetry, "NEEDED", ("opentelemetry.nowhere.at_all",))
    settings = Settings(**SETTINGS, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    with structlog.testing.capture_logs() as lines:
        assert telemetry.build_otlp(settings, LISTENER, Metrics().registry) is None
    assert [(line["event"], line["remedy"]) for line in lines] == [
        ("otlp.unavailable", "pip install 'supabase-job-listener[otel]'")
    ]


@pytest.mark.parametrize("name", [None, "my-jobs"])
def test_the_operators_name_for_the_service_stands(monkeypatch, name):
    """`OTEL_SERVICE_NAME` is the library's own variable."""
    if name:
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
    to = Otlp("http://127.0.0.1:1", {}, LISTENER, Metrics().registry)
    resource = to.metrics_data().resource_metrics[0].resource
    assert resource.attributes["service.name"] == (name or "supabase-job-listener")
    to._spans.shutdown()
