"""Counts the frames that realtime-py drops: it reports them only in its log."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENT_LOG = "realtime._async.client"
UNREADABLE = "Unrecognized message format"


@contextmanager
def unreadable_counted(count: Callable[[], None]) -> Iterator[None]:
    """Call `count` for each frame that is dropped while the block runs."""
    log, receiver = logging.getLogger(CLIENT_LOG), _Unreadable(count)
    log.addHandler(receiver)
    try:
        yield
    finally:
        log.removeHandler(receiver)


class _Unreadable(logging.Handler):
    def __init__(self, count: Callable[[], None]) -> None:
        super().__init__()
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(UNREADABLE):
            self._count()
