"""The cleaner deletes expired rows.

Takes nothing. Gives tables that do not grow without end. Guarantees small batches, with pauses, so that no other
request waits long for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.ports import LeaseStore

INTERVAL_SECONDS = 600.0
FIRST_SECONDS = 10.0
"""Soon after the start, so that a listener that often restarts cleans too; but after the work of the start."""
LATE_SHARE = 0.1
"""The interval as a part of the retention: a row stays at most about a tenth longer than its retention."""
PAUSE_SECONDS = 0.5
SECONDS_PER_DAY = 86_400


class Cleaner:
    """Deletes ledger rows and ended jobs past their retention.

    Args:
        store: where they are deleted.
        retention_days: how long rows are kept.
        jitter: numbers from 0 to 1 that keep several cleaners out of step.
    """

    def __init__(self, store: LeaseStore, retention_days: float, jitter: Callable[[], float]) -> None:
        self._store, self._retention_days, self._jitter = store, retention_days, jitter
        self._interval_seconds = min(
            max(retention_days * SECONDS_PER_DAY * LATE_SHARE, FIRST_SECONDS), INTERVAL_SECONDS
        )
        self._log = structlog.get_logger("cleaner")

    async def run(self) -> None:
        """Clean until cancelled."""
        pause = FIRST_SECONDS
        while True:
            await anyio.sleep(pause * (0.5 + self._jitter()))
            pause = self._interval_seconds
            try:
                deleted = await self.run_once()
            except StoreError as fault:
                self._log.warning(Event.CLEANUP_FAILED, error=str(fault))
            else:
                if deleted:
                    self._log.info(Event.CLEANUP_DONE, rows=deleted, retention_days=self._retention_days)

    async def run_once(self) -> int:
        """Delete batch after batch until no expired row is left; returns the number of rows."""
        total = 0
        while deleted := await self._store.clean(self._retention_days):
            total += deleted
            await anyio.sleep(PAUSE_SECONDS)
        return total
