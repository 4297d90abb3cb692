"""While a project has not answered, the lines of retries are dropped; afterwards none is."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from listener.observability import quiet_start
from listener.observability.events import Event, configure_logging
from listener.observability.quiet_start import ANSWERED, REMINDER_SECONDS, RETRIES, QuietStart

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Give the log, after a quiet start."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    configure_logging("json", "info", stream)
    QuietStart().begin()
    yield stream
    logging.getLogger("realtime").setLevel(logging.NOTSET)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _events(stream: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("answered", sorted(ANSWERED))
def test_retries_are_dropped_until_the_project_answers(lines: io.StringIO, answered: str):
    """Every other line stays."""
    log = structlog.get_logger()
    for event in (*sorted(RETRIES), Event.ROW_INVALID, answered, *sorted(RETRIES)):
        log.warning(event)
    assert _events(lines) == [Event.ROW_INVALID, answered, *sorted(RETRIES)]


def test_the_names_are_those_of_events():
    """A renamed event is renamed there, too."""
    assert set(Event) >= RETRIES | ANSWERED


def test_realtime_py_is_silent_until_then(lines: io.StringIO):
    """It logs two errors for each attempt."""
    logging.getLogger("realtime._async.client").error("refused")
    structlog.get_logger().info(Event.SERVICE_READY)
    logging.getLogger("realtime._async.client").error("refused again")
    assert _events(lines) == [Event.SERVICE_READY, "refused again"]


def test_a_failed_poll_is_logged_once_a_minute(lines: io.StringIO, monkeypatch: pytest.MonkeyPatch):
    """So the end of a long log shows what is wrong."""
    began = quiet_start.monotonic()
    for seconds in (1, REMINDER_SECONDS + 1, REMINDER_SECONDS + 2, 2 * REMINDER_SECONDS + 2):
        monkeypatch.setattr(quiet_start, "monotonic", lambda at=began + seconds: at)
        structlog.get_logger().warning(Event.POLL_FAILED, at=seconds)
    assert _events(lines) == [Event.POLL_FAILED, Event.POLL_FAILED]
