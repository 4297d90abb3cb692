"""Traces and metrics by OTLP, where the settings name a collector and the extra `otel` is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog

from listener.observability.events import Event

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from listener.observability.otlp import Otlp
    from listener.settings import Settings

NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
REMEDY = "pip install 'supabase-job-listener[otel]'"


def is_installed() -> bool:
    """Return whether the libraries of the extra `otel` are there."""
    try:
        return all(find_spec(name) is not None for name in NEEDED)
    except ModuleNotFoundError:  # of a package around them
        return False


def build_otlp(settings: Settings, listener_id: str, registry: CollectorRegistry) -> Otlp | None:
    """Build what sends traces and metrics; None where no collector is named, or, with a line in the log, no extra."""
    if settings.otlp_endpoint is None:
        return None
    if not is_installed():
        structlog.get_logger("otlp").warning(Event.OTLP_UNAVAILABLE, remedy=REMEDY)
        return None
    from listener.observability.otlp import Otlp  # noqa: PLC0415 - only where it is used

    return Otlp(str(settings.otlp_endpoint), settings.headers_of_otlp, listener_id, registry)


def add_trace_to_log(settings: Settings) -> None:
    """Let each line of the log name the trace and the span to which it belongs, where traces are sent."""
    if settings.otlp_endpoint is None or not is_installed():
        return
    from listener.observability.tracing import add_trace  # noqa: PLC0415 - as above

    gate, *others = structlog.get_config()["processors"]
    structlog.configure(processors=[gate, add_trace, *others])
