"""Limits concurrent runs: of one handler, in threads, or in processes.

Takes runs that are due and want a place. Gives them one, or lets them wait. Guarantees that no more are inside than
there are places, that places go to tenants and users in turn, that none of them holds all where there are many, and
that of one user's runs the most urgent goes first.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from listener.domain.turns import Holdings, Parties, Turns

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
    parties: Parties = field(compare=False)
    admitted: anyio.Event = field(compare=False, default_factory=anyio.Event)


class FairLimiter:
    """A limiter whose tenants take turns.

    Args:
        places: the number of concurrent runs, at least 1.
        tenant_share: the part of the places that one tenant or user may take, below 1.
    """

    def __init__(self, places: int, tenant_share: float = 0.8) -> None:
        self._free = places
        self._queues: dict[Parties, list[_Waiting]] = {}
        self._turns, self._holdings = Turns(), Holdings(tenant_share)
        self._arrivals = 0

    async def enter(self, run: Run, complain: Callable[[], object]) -> None:
        """Return with a place, which `leave` returns; a cancelled wait takes none.

        Args:
            run: the run that needs a place.
            complain: called if the wait is long.
        """
        self._arrivals += 1
        waiting = _Waiting((-int(run.row.get("priority") or 0), run.start_at, self._arrivals), run.parties)
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

    def leave(self, run: Run) -> None:
        """Return the place of a run."""
        self._give_back(run.parties)

    def _give_back(self, parties: Parties) -> None:
        self._free += 1
        self._holdings.release(parties)
        self._admit()

    def _enqueue(self, waiting: _Waiting) -> None:
        if waiting.parties not in self._queues:
            self._queues[waiting.parties] = []
            self._turns.enter(waiting.parties)
        heapq.heappush(self._queues[waiting.parties], waiting)

    def _admit(self) -> None:
        passed = []
        while self._free and (parties := self._turns.first()) is not None:
            if not self._holdings.has_slot(parties, self._free):
                passed.append(parties)
                continue
            self._turns.served(parties)
            self._holdings.hold(parties)
            self._free -= 1
            heapq.heappop(self._queues[parties]).admitted.set()
            if not self._close_if_empty(parties):
                self._turns.enter(parties)
        for parties in passed:
            self._turns.enter(parties)

    def _withdraw(self, waiting: _Waiting) -> None:
        if waiting.admitted.is_set():
            self._give_back(waiting.parties)
            return
        queue = self._queues[waiting.parties]
        queue.remove(waiting)
        heapq.heapify(queue)
        self._close_if_empty(waiting.parties)

    def _close_if_empty(self, parties: Parties) -> bool:
        if self._queues[parties]:
            return False
        del self._queues[parties]
        self._turns.leave(parties)
        return True
