"""The supervisor keeps the stages running.

Takes stages by name. Gives each failed stage a restart, after a growing pause. Guarantees that a stage that fails
repeatedly ends the service; the service never continues without one of its stages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StageFailedError
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from listener.ports import Clock

MAX_FAILURES = 5
WINDOW_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.1


class Supervisor:
    """Runs stages until cancelled.

    Args:
        clock: measures the window in which failures count.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._log = structlog.get_logger("supervisor")

    async def run(self, name: str, stage: Callable[[], Awaitable[None]]) -> None:
        """Run one stage, again after each fault.

        Raises:
            StageFailedError: it failed more than `MAX_FAILURES` times within `WINDOW_SECONDS`.
        """
        failures: list[float] = []
        while True:
            try:
                await stage()
            except Exception as fault:  # every kind of fault: the stage has ended and must be restarted
                failures = [at for at in failures if at > self._clock.monotonic() - WINDOW_SECONDS]
                failures.append(self._clock.monotonic())
                self._log.error(Event.SERVICE_STAGE_FAILED, stage=name, failures=len(failures), exc_info=fault)
                if len(failures) > MAX_FAILURES:
                    raise StageFailedError(name, len(failures), WINDOW_SECONDS, fault) from fault
                await anyio.sleep(FIRST_PAUSE_SECONDS * 2 ** len(failures))
            else:
                return
