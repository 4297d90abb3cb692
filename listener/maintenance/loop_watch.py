"""A thread that watches the loop, since what holds it up holds up everything that runs on it.

Takes the heartbeats of the watchdog. Gives a line of the log, and `/readyz`, the handler that holds the loop up, while
it still does. Guarantees that the process is gone in time after a shutdown signal, whatever its loop does.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import structlog

from listener.execution.protected_tasks import run_on
from listener.execution.reporter import identity
from listener.observability.events import Event
from listener.observability.health import LAG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.observability.health import Health

LOOK_SECONDS = 0.1


class LoopWatch:
    """Looks at the loop ten times a second.

    Args:
        health: has the heartbeats, and takes the name of what blocks them.
        leave: ends the process at once.
    """

    def __init__(self, health: Health, leave: Callable[[int], object] = os._exit) -> None:
        self._health, self._leave = health, leave
        self._deadline: float | None = None
        self._is_reported = False
        self._log = structlog.get_logger("watchdog")

    def start(self, loop: Any) -> None:  # noqa: ANN401 - asyncio's loop, which only few modules may name
        """Watch the loop of this thread, until the process ends."""
        thread = threading.get_ident()
        threading.Thread(target=self._watch, args=(loop, thread), name="loop-watch", daemon=True).start()

    def be_gone(self, within_seconds: float) -> None:
        """End the process after so long unless it has ended by itself; of several limits the first holds."""
        deadline = time.monotonic() + within_seconds
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)

    def _watch(self, loop: Any, thread: int) -> None:  # noqa: ANN401 - as above
        while True:
            time.sleep(LOOK_SECONDS)
            self.look(loop, thread)

    def look(self, loop: Any, thread: int) -> None:  # noqa: ANN401 - as above
        """Look once."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            self._log.error(Event.SERVICE_CUT_SHORT)
            self._leave(1)
        lag = self._health.lag
        if lag <= LAG_SECONDS:
            self._is_reported = False
        elif not self._is_reported:
            self._is_reported = True
            self._report(loop, thread, lag)

    def _report(self, loop: Any, thread: int, lag: float) -> None:  # noqa: ANN401 - as above
        run, where = run_on(loop), _place(thread)
        named = identity(run) if run is not None else {}
        if run is not None:
            self._health.held_up(f"handler {run.run.handler!r} of job {run.run.job_id} keeps the loop, at {where}")
        self._log.warning(Event.LOOP_HELD_UP, **named, seconds=round(lag, 1), at=where)


def _place(thread: int) -> str:
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - the only way to see what another thread does
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}" if frame else "(unknown)"
