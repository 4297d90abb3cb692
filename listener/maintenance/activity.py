"""The activity counter keeps the figures of each hour up to date.

Takes nothing. Gives `job_activity`, counted apart from the runs, whose ends do not wait for it. Guarantees that each
run is counted once, also where several listeners count: the database lets one at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.ports import ActivityStore

INTERVAL_SECONDS = 15.0
"""As often as a dashboard reads its figures anyway."""
PAUSE_SECONDS = 0.2


class ActivityCounter:
    """Counts the runs that ended.

    Args:
        store: where they are counted.
        jitter: numbers from 0 to 1 that keep several counters out of step.
    """

    def __init__(self, store: ActivityStore, jitter: Callable[[], float]) -> None:
        self._store, self._jitter = store, jitter
        self._log = structlog.get_logger("activity_counter")

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            await anyio.sleep(INTERVAL_SECONDS * (0.5 + self._jitter()))
            try:
                await self.run_once()
            except StoreError as fault:
                self._log.warning(Event.ACTIVITY_NOT_COUNTED, error=str(fault))

    async def run_once(self) -> int:
        """Count until nothing is left; returns the number of runs.

        Raises:
            StoreError: the database did not answer; what it counted before is kept.
        """
        total, is_more = await self._store.roll_up()
        while is_more:
            await anyio.sleep(PAUSE_SECONDS)
            counted, is_more = await self._store.roll_up()
            total += counted
        return total
