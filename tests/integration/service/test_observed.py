"""A listener that others watch: it pings its monitor, and carries a client's trace to what a handler calls."""

from __future__ import annotations

import gzip
import signal
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute
from anyio.from_thread import start_blocking_portal
from http_endpoint import Endpoint
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
KEY = "b5a1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d"


@pytest.fixture
def outside() -> Iterator[Endpoint]:
    """Serve everything outside: a monitor, a collector, and whom a webhook calls."""
    served = Endpoint()

    async def serve(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as sockets:
            served.url = f"http://127.0.0.1:{sockets.extra(SocketAttribute.local_port)}"  # noqa: S610 - not Django's
            task_status.started()
            await sockets.serve(served.serve)

    with start_blocking_portal() as portal:
        future, _ = portal.start_task(serve)
        yield served
        future.cancel()


def spans_of(served: Endpoint) -> dict[str, tuple[str, str, str]]:
    """Trace, span and parent of every span, by its name."""
    found = {}
    for _, path, headers, content in served.requests:
        if path == "/v1/traces":
            plain = gzip.decompress(content) if headers.get("content-encoding") == "gzip" else content
            for resource in ExportTraceServiceRequest.FromString(plain).resource_spans:
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    found[span.name] = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
    return found


def test_a_client_of_a_job_finds_its_run_in_its_own_trace(
    project, listeners, outside, embedded_stack, eventually
) -> None:
    """From the header of the insert to the header of the webhook; the monitor sees the start and the life."""
    listener = listeners.start(
        heartbeat_url=f"{outside.url}/{KEY}", webhook_allow_private="true", OTEL_EXPORTER_OTLP_ENDPOINT=outside.url
    )
    sent = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01", "apikey": embedded_stack.service_key}
    row = {"handler": "webhook", "metadata": {"url": f"{outside.url}/hook", "body": {}}}
    answer = httpx.post(
        f"{embedded_stack.url}/rest/v1/scheduled_jobs",
        headers={**sent, "authorization": f"Bearer {embedded_stack.service_key}", "prefer": "return=representation"},
        json=row,
    )
    assert project.wait(answer.json()[0]["id"])["status"] == "completed"
    eventually(lambda: any(path == f"/{KEY}" for _, path, *_ in outside.requests), "a ping arrives")
    assert listener.stop(signal.SIGTERM) == 0
    (called,) = [headers["traceparent"] for _, path, headers, _ in outside.requests if path == "/hook"]
    spans = spans_of(outside)
    assert spans["job webhook"][::2] == (TRACE_ID, SPAN_ID)
    assert called == f"00-{TRACE_ID}-{spans['run webhook'][1]}-01"
    assert next(path for _, path, *_ in outside.requests if KEY in path) == f"/{KEY}/start"
    log = listener.log.read_text()
    assert f"trace_id={TRACE_ID}" in log
    assert KEY not in log


def test_a_listener_ends_though_nobody_outside_answers(listeners, outside, eventually) -> None:
    """Neither the monitor nor the collector delays its start or its end."""
    outside.delay_seconds = 3600
    listener = listeners.start(heartbeat_url=f"{outside.url}/{KEY}", OTEL_EXPORTER_OTLP_ENDPOINT=outside.url)
    eventually(lambda: outside.requests, "a ping waits for its answer")
    assert listener.stop(signal.SIGTERM) == 0
