"""Room for so many runs at a time, of one handler or in threads or processes.

Takes runs that are due and want a place. Gives them one, or lets them wait. Guarantees that no more are inside than
there are places, that places go to the tenants in turn, and of one tenant's runs to the most urgent.
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
"""A run that waits for longer says so. Most waits are over before, and a queue for each of them would cost more."""


@dataclass(order=True, slots=True)
class _Waiting:
    """A run that wants a place; the least goes first."""

    place: tuple[int, datetime, int]
    tenant: str | None = field(compare=False)
    admitted: anyio.Event = field(compare=False, default_factory=anyio.Event)


class FairLimiter:
    """Places for runs.

    Args:
        places: how many, at least 1.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._queues: dict[str | None, list[_Waiting]] = {}
        self._turns: deque[str | None] = deque()
        self._arrivals = 0

    async def enter(self, run: Run, complain: Callable[[], object]) -> None:
        """Return with a place, which `leave` gives back; a cancelled wait leaves none behind.

        Args:
            run: who wants it.
            complain: called if that takes long.
        """
        self._arrivals += 1
        waiting = _Waiting((-int(run.row.get("priority") or 0), run.start_at, self._arrivals), run.tenant)
        self._enqueue(waiting)
        try:
            await anyio.lowlevel.checkpoint()  # what is due at one instant arrives in any order: all of it comes first
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
        """Give a place back."""
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
