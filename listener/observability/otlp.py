"""Sends traces and metrics to a collector by OTLP over HTTP. Only a listener that does so imports this module.

Spans are sent by a thread of the library, from a bounded queue; metrics, the same ones as at `/metrics`, once a minute.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import anyio
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from listener.distribution import NAME, installed_version
from listener.observability.otlp_points import metrics_of
from listener.observability.tracing import RunTracer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

METRICS_SECONDS = 60.0
EXPORT_SECONDS = 10.0
"""Time limit of a request to the collector, its repetitions included."""
LOOK_SECONDS = 0.02
CLOSE_SECONDS = 2.0
"""How long the last spans may take when the listener ends."""
UNNAMED = "unknown_service"
"""How the library calls a service that `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` do not name."""


class Otlp:
    """One collector, and what it receives of one listener.

    Args:
        endpoint: its URL, to which `/v1/traces` and `/v1/metrics` are added.
        headers: of every request.
        listener_id: distinguishes this listener from others.
        registry: the metrics that are sent.
    """

    def __init__(
        self, endpoint: str, headers: Mapping[str, str], listener_id: str, registry: CollectorRegistry
    ) -> None:
        at, named = endpoint.rstrip("/"), dict(headers)
        self._registry, self._begun_ns = registry, time.time_ns()
        self._resource = _resource(listener_id)
        self._spans = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        traces = OTLPSpanExporter(f"{at}/v1/traces", headers=named, timeout=EXPORT_SECONDS)
        self._spans.add_span_processor(BatchSpanProcessor(traces))
        self._metrics = OTLPMetricExporter(f"{at}/v1/metrics", headers=named, timeout=EXPORT_SECONDS)
        self.tracer = RunTracer(self._spans)

    async def run(self) -> None:
        """Send the metrics until cancelled."""
        while True:
            await anyio.sleep(METRICS_SECONDS)
            await self.send_metrics()

    async def send_metrics(self) -> None:
        """Send the metrics as they are now; a collector that does not take them gets the next ones."""
        data = self.metrics_data()  # here, because the tally of runs is the loop's
        with anyio.move_on_after(EXPORT_SECONDS):
            await _beside(partial(self._metrics.export, data))

    def metrics_data(self) -> MetricsData:
        """Return the metrics as OTLP has them."""
        metrics = metrics_of(self._registry.collect(), self._begun_ns, time.time_ns())
        scope = ScopeMetrics(InstrumentationScope(NAME, installed_version()), metrics, "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])

    async def aclose(self) -> None:
        """Send what is left, for a moment at most."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await _beside(self._spans.shutdown)


async def _beside(call: Callable[[], object]) -> None:
    """Call in a thread for whose end neither a cancelled task nor the interpreter waits."""
    thread = threading.Thread(target=call, daemon=True, name="otlp")
    thread.start()
    while thread.is_alive():  # noqa: ASYNC110 - it cannot set an event of a loop that may have ended
        await anyio.sleep(LOOK_SECONDS)


def _resource(listener_id: str) -> Resource:
    resource = Resource.create({SERVICE_INSTANCE_ID: listener_id, SERVICE_VERSION: installed_version()})
    if str(resource.attributes.get(SERVICE_NAME, UNNAMED)).startswith(UNNAMED):
        resource = resource.merge(Resource({SERVICE_NAME: NAME}))
    return resource
