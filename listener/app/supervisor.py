"""The supervisor keeps the stages running.

Takes stages by name. Gives each a restart after a fault, with a growing pause. A stage that returns, or is cancelled by
anything but the service's end, has failed, too. Guarantees that a stage that fails again and again ends the service
instead of leaving it half alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog
from anyio.lowlevel import checkpoint_if_cancelled

from listener.errors import StageFailedError, StageReturnedError
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
            fault = await self._run_once(name, stage)
            failures = [at for at in failures if at > self._clock.monotonic() - WINDOW_SECONDS]
            failures.append(self._clock.monotonic())
            self._log.error(Event.SERVICE_STAGE_FAILED, stage=name, failures=len(failures), exc_info=fault)
            if len(failures) > MAX_FAILURES:
                raise StageFailedError(name, len(failures), WINDOW_SECONDS, fault) from fault
            await anyio.sleep(FIRST_PAUSE_SECONDS * 2 ** len(failures))

    @staticmethod
    async def _run_once(name: str, stage: Callable[[], Awaitable[None]]) -> BaseException:
        """Give what the stage failed with; it is to run until the service ends, so that to return is to fail."""
        try:
            await stage()
        except (KeyboardInterrupt, SystemExit):  # of the process, which is to end
            raise
        except BaseException as fault:  # noqa: BLE001 - whatever it was, the stage is gone and must come back
            await checkpoint_if_cancelled()  # unless the service ends
            return fault
        return StageReturnedError(name)
