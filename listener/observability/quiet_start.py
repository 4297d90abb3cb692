"""Drops the lines of retries while a project has not answered yet: one line with the remedy says more than fifty."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from structlog.typing import WrappedLogger

POLL_FAILED: Final = "poll.failed"
RETRIES: Final = frozenset({
    POLL_FAILED, "rescue.failed", "catalogue.failed", "meetings.failed", "leases.not_extended", "feed.session_ended",
})  # fmt: skip
ANSWERED: Final = frozenset({"poll.recovered", "catalogue.published", "service.ready"})
REMINDER_SECONDS: Final = 60.0
"""A failed poll is logged so often all the same."""
LIBRARY: Final = "realtime"


class QuietStart:
    """A processor of structlog that stands before the others until the project answers."""

    def __init__(self) -> None:
        self._level: int | None = None
        self._reminded = 0.0

    def begin(self) -> None:
        """Drop the lines of retries from now on, and those of realtime-py."""
        library = logging.getLogger(LIBRARY)
        self._level, self._reminded = library.level, monotonic()
        library.setLevel(logging.CRITICAL)
        structlog.configure(processors=[self, *structlog.get_config()["processors"]])

    def __call__(self, _: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Drop a retry; end with the first line that says that the project has answered."""
        if self._level is None:
            return event
        if event["event"] in ANSWERED:
            logging.getLogger(LIBRARY).setLevel(self._level)
            self._level = None
        elif event["event"] in RETRIES:
            if event["event"] != POLL_FAILED or monotonic() < self._reminded + REMINDER_SECONDS:
                raise structlog.DropEvent
            self._reminded = monotonic()
        return event
