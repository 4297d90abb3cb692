"""The rescuer takes over from listeners that died.

Takes nothing. Gives final rows to runs whose lease expired, and their next attempts to the agenda. Guarantees that a
job whose listener died runs again within lease + interval, and that a listener that was suspended writes the results of
its own runs before it rescues any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.observability.metrics import Metrics
    from listener.ports import LeaseStore
    from listener.scheduling.reconciler import Reconciler

LATE_SECONDS = 1.0
"""A listener that wakes so late was suspended, and has not extended its own leases meanwhile."""
AFTER_YOU_SECONDS = 1.0
"""How long such a listener waits for the write of its own results before it rescues."""


class Rescuer:
    """Looks for lost runs at intervals.

    Args:
        store: where lost runs are found and ended.
        reconciler: takes the jobs that have to run again.
        metrics: where rescues are counted.
        interval_seconds: how often to look.
        jitter: numbers from 0 to 1 that keep several rescuers out of step.
    """

    def __init__(
        self,
        store: LeaseStore,
        reconciler: Reconciler,
        metrics: Metrics,
        interval_seconds: float,
        jitter: Callable[[], float],
    ) -> None:
        self._store, self._reconciler, self._metrics = store, reconciler, metrics
        self._interval, self._jitter = interval_seconds, jitter
        self._log = structlog.get_logger("rescuer")

    async def run(self) -> None:
        """Rescue until cancelled."""
        while True:
            try:
                while await self.run_once():
                    pass
            except StoreError as fault:
                self._log.warning(Event.RESCUE_FAILED, error=str(fault))
            await self._rest(self._interval * (0.5 + self._jitter() / 2))

    async def _rest(self, seconds: float) -> None:
        until = anyio.current_time() + seconds
        await anyio.sleep(seconds)
        if anyio.current_time() > until + LATE_SECONDS:
            await anyio.sleep(AFTER_YOU_SECONDS)

    async def run_once(self) -> int:
        """Rescue one batch; returns the number of runs."""
        rescued = await self._store.rescue()
        self._reconciler.apply(rescued.jobs)
        for execution_id, error in rescued.failures.items():
            self._log.error(Event.RESCUE_FAILED, execution_id=execution_id, error=error)
        if rescued.runs:
            self._metrics.runs_rescued(rescued.runs)
            self._log.warning(Event.RUNS_RESCUED, runs=rescued.runs)
        return rescued.runs
