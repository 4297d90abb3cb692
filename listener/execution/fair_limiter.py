"""Limits concurrent runs: of one handler, in threads, or in processes.

Takes runs that need a place. Gives each a place, at once or after a wait. Guarantees that no more runs have a place
than there are places, that tenants take turns, and that of one tenant's runs the most urgent one is first.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from listener.domain.job import Run


PATIENCE_SECONDS = 5.0
"""A run that waits longer logs it. Most waits are shorter, and logging each of them would cost more."""


@dataclass(order=True, slots=True)
class _Waiting:
    """A run that waits for a place; the least in order goes first."""

    place: tuple[int, datetime, int]
    tenant: str | None = field(compare=False)
    admitted: anyio.Event = field(compare=False, default_factory=anyio.Event)


class FairLimiter:
    """A limiter whose tenants take turns.

    Args:
        places: the number of concurrent runs, at least 1.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._queues: dict[str | None, list[_Waiting]] = {}
        self._turns: deque[str | None] = deque()
        self._arrivals = 0

    async def enter(self, run: Run, complain: Callable[[], object]) -> None:
        """Return with a place, which `leave` returns; a cancelled wait takes none.

        Args:
            run: the run that needs a place.
            complain: called if the wait is long.
        """
        self._arrivals += 1
        waiting = _Waiting((-int(run.row.get("priority") or 0), run.start_at, self._arrivals), run.tenant)
        self._enqueue(waiting)
        try:
            await anyio.lowlevel.checkpoint()  # runs of one instant arrive in any order: let all of them arrive first
            self._admit()
            with anyio.move_on_after(PATIENCE_SECONDS):
                await waiting.admitted.wait()
            if not waiting.admitted.is_set():
                complain()
                await waiting.admitted.wait()
        except BaseException:
            self._withdraw(waiting)
            raise

    def leave(self) -> None:
        """Return a place."""
        self._free += 1
        self._admit()

    def _enqueue(self, waiting: _Waiting) -> None:
        if waiting.tenant not in self._queues:
            self._queues[waiting.tenant] = []
            self._turns.append(waiting.tenant)
        heapq.heappush(self._queues[waiting.tenant], waiting)

    def _admit(self) -> None:
        while self._free and self._turns:
            tenant = self._turns[0]
            heapq.heappop(self._queues[tenant]).admitted.set()
            self._free -= 1
            self._turns.rotate(-1)
            self._close_if_empty(tenant)

    def _withdraw(self, waiting: _Waiting) -> None:
        if waiting.admitted.is_set():
            self.leave()
            return
        queue = self._queues[waiting.tenant]
        queue.remove(waiting)
        heapq.heapify(queue)
        self._close_if_empty(waiting.tenant)

    def _close_if_empty(self, tenant: str | None) -> None:
        if not self._queues[tenant]:
            del self._queues[tenant]
            self._turns.remove(tenant)
