"""The table of event names, and the configuration of the log."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import structlog
from structlog.processors import NAME_TO_LEVEL

from listener.domain.traceback_text import exception_text
from listener.masking.redaction import mask_line, redact, redact_text
from listener.observability.log_stream import LogStream
from listener.observability.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any, TextIO

    from structlog.typing import Processor, WrappedLogger

__all__ = ["Event", "Metrics", "configure_logging", "redact_text"]

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
ESCAPES = {code: repr(chr(code))[1:-1] for code in _CONTROLS}
ESCAPES_BUT_NEWLINE = {code: escape for code, escape in ESCAPES.items() if code != ord("\n")}
LIBRARY_LEVELS = {
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,  # a line for every request, otherwise
    "hpack": logging.WARNING,
    "websockets": logging.INFO,  # its debug lines show the URL, and the key with it
    "realtime": logging.INFO,
    "uvicorn.access": logging.WARNING,
}


class Event(StrEnum):
    """Every event that the service logs; `docs/telemetry.md` says what each means."""

    SERVICE_STARTING = "service.starting"
    SERVICE_LEGACY_KEY = "service.legacy_key"
    SERVICE_READY = "service.ready"
    SERVICE_DRAINING = "service.draining"
    SERVICE_IMMEDIATE_SHUTDOWN = "service.immediate_shutdown"
    SERVICE_STOPPED = "service.stopped"
    SERVICE_SIGNALS_RESTORED = "service.signals_restored"
    SERVICE_LEFT_BEHIND = "service.left_behind"
    SERVICE_CUT_SHORT = "service.cut_short"
    SERVICE_STAGE_FAILED = "service.stage_failed"
    SERVICE_FAILED = "service.failed"
    LOOP_HELD_UP = "loop.held_up"
    LOOP_LEFT = "loop.left"
    FEED_SESSION_OPENED = "feed.session_opened"
    FEED_SESSION_ENDED = "feed.session_ended"
    FEED_SESSION_REPLACED = "feed.session_replaced"
    FEED_CHANNEL_STALE = "feed.channel_stale"
    FEED_PROBE_UNSENT = "feed.probe_unsent"
    MUTE_FAILED = "mute.failed"
    CONNECTIONS_REPLACED = "connections.replaced"
    DATABASE_UNREACHABLE = "database.unreachable"
    DATABASE_NEEDS_OPERATOR = "database.needs_operator"
    POLL_FAILED = "poll.failed"
    POLL_RECOVERED = "poll.recovered"
    ROW_INVALID = "row.invalid"
    PLAN_FAILED = "plan.failed"
    ZONES_REPLANNED = "zones.replanned"
    ZONES_OUTDATED = "zones.outdated"
    ZONES_FAILED = "zones.failed"
    CLAIM_FAILED = "claim.failed"
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_SNOOZED = "run.snoozed"
    RUN_CANCELLED = "run.cancelled"
    RUN_THREAD_ABANDONED = "run.thread_abandoned"
    RUN_TASK_ABANDONED = "run.task_abandoned"
    RUN_CANCEL_REFUSED = "run.cancel_refused"
    RUN_UNREPORTED = "run.unreported"
    REPORT_REFUSED = "report.refused"
    REPORT_DELAYED = "report.delayed"
    NOTES_DELAYED = "notes.delayed"
    NOTES_REFUSED = "notes.refused"
    LEASE_LOST = "lease.lost"
    LEASES_NOT_EXTENDED = "leases.not_extended"
    RUNS_RESCUED = "runs.rescued"
    RESCUE_FAILED = "rescue.failed"
    HANDLERS_MISSING = "handlers.missing"
    INSTANTS_UNHANDLED = "instants.unhandled"
    CLEANUP_DONE = "cleanup.done"
    CLEANUP_FAILED = "cleanup.failed"
    ACTIVITY_NOT_COUNTED = "activity.not_counted"
    ALERTS_EVALUATED = "alerts.evaluated"
    ALERTS_NOT_EVALUATED = "alerts.not_evaluated"
    CATALOGUE_PUBLISHED = "catalogue.published"
    CATALOGUE_FAILED = "catalogue.failed"
    OTLP_UNAVAILABLE = "otlp.unavailable"
    HEARTBEAT_UNSENT = "heartbeat.unsent"
    HEARTBEAT_RECOVERED = "heartbeat.recovered"
    SOURCES_CHECKED = "sources.checked"
    SOURCES_FAILED = "sources.failed"
    SOURCE_ROWS_FAILED = "sources.rows_failed"


def configure_logging(
    format: Literal["console", "json"] = "console",  # noqa: A002 - the setting's own name
    level: str = "info",
    stream: TextIO | None = None,
) -> None:
    """Send the service's lines, and those of the libraries that it uses, to `stream` (standard error when absent).

    Args:
        format: `console` for people, `json` for one object a line.
        level: `debug`, `info`, `warning`, `error` or `critical`.
        stream: a text stream.

    Raises:
        KeyError: for an unknown level.
    """
    target: Any = LogStream(stream or sys.stderr)
    threshold = NAME_TO_LEVEL[level.lower()]
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(exception_text),  # before the masking: a traceback is a text like others
        redact,
    ]
    last = _renderer(format, colors=target.isatty())
    structlog.configure(
        processors=[_gate(threshold), *shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,  # a run's logger is its own; the service's few may be made anew
    )
    _adopt_libraries(target, threshold, shared, last)


def _renderer(format: str, *, colors: bool) -> list[Processor]:  # noqa: A002 - as above
    if format == "json":
        return [structlog.processors.JSONRenderer(), mask_line]
    # never the traceback of `rich`, which shows the values of local variables
    console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    return [_printable, console, mask_line]


def _printable(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape characters that would begin another line or move the cursor: user input must not look like a log line."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = value.translate(ESCAPES_BUT_NEWLINE if key == "exception" else ESCAPES)
    return event


def _gate(threshold: int) -> Processor:
    """Drop what is below the level; the logger of a run lets all pass, because the ledger has its own level."""

    def gate(_: WrappedLogger, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if NAME_TO_LEVEL.get(method, logging.INFO) < threshold:
            raise structlog.DropEvent
        return event

    return gate


def _colorless(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop the second form of uvicorn's messages, which is for terminals."""
    event.pop("color_message", None)
    return event


def _adopt_libraries(target: TextIO, threshold: int, shared: list[Processor], last: list[Processor]) -> None:
    """Send the standard library's root logger to the same stream, in the same form."""
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    form = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), _colorless, *shared],
        processors=[strip, *last],
    )
    stream = logging.StreamHandler(target)
    stream.setFormatter(form)
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(threshold)
    for name, lowest in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(max(lowest, threshold))
