"""The jobs that polls leave out, because they are another listener's to claim.

Takes the shares that polls ask for, and the peers. Gives the reconciler what was left out, when it is time. Guarantees
that all of it is read as soon as a listener that it was left to is gone or sleeps, and otherwise some moments later.
While all claim hundreds of jobs at a time, a sample is read instead, whose claims show who sleeps.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from listener.domain.rendezvous import bucket
from listener.scheduling.reading import read_jobs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from listener.ports import Clock, JobStore
    from listener.scheduling.peers import Peers
    from listener.scheduling.reconciler import Reconciler

PAUSE_SECONDS = 2.0
"""How long the others have before what was left to them is read, or a sample of it."""
CHECK_SECONDS = 0.25
"""How soon it is noticed that one of them is gone; nothing is read for that."""
LATEST = timedelta(seconds=1)
"""Polls leave out jobs that are due within this time."""
SAMPLE = 100
"""Jobs that are tried to learn who sleeps."""
MOST_DUE = 10 * SAMPLE
"""Due jobs, of anybody, from which a sample is chosen."""
FIRST_PAGE = 200
"""Jobs of a poll that are read whoever is to claim them; of fewer changes nothing is left out."""


class LeftToPeers:
    """Remembers what was left out, and reads it.

    Args:
        store: where rows are read.
        reconciler: takes them.
        peers: the other listeners.
        clock: the database's.
        most: how many rows are kept in memory.
    """

    def __init__(self, store: JobStore, reconciler: Reconciler, peers: Peers, clock: Clock, most: int) -> None:
        self._store, self._reconciler, self._peers, self._clock = store, reconciler, peers, clock
        self._most = most
        self.forget()

    def forget(self) -> None:
        """Note that a list has read everything."""
        self._left_to, self._read_at = frozenset[int](), math.inf
        self._mine = -1
        """Bits of the buckets whose jobs were never left out."""

    @property
    def first_page(self) -> int | None:
        """How many rows the first page of a poll has; None: as many as usual, since nobody shares."""
        return FIRST_PAGE if self._peers.alike else None

    @property
    def pause_seconds(self) -> float:
        """How long to wait until `run_once` is called again."""
        return CHECK_SECONDS if self._left_to else math.inf

    def share(self) -> bytes | None:
        """Return the share to ask the next page for, and note that the rest is left out; None: nobody shares."""
        alike = self._peers.alike
        if not alike:
            return None
        share = self._peers.share(alike)
        self._left_to |= frozenset(alike)
        self._mine &= int.from_bytes(share, "little")
        self._read_at = min(self._read_at, self._clock.monotonic() + PAUSE_SECONDS)
        self._peers.expect_many(PAUSE_SECONDS)
        return share

    async def run_once(self) -> None:
        """Read what was left out, or a sample of it, if it is time.

        Raises:
            StoreError: a request failed; it is made again next time.
        """
        is_late = self._clock.monotonic() >= self._read_at
        if not self._left_to.issubset(self._peers.others) or (is_late and not self._peers.are_busy):
            await self._read_all()
        elif is_late:
            listing = await self._store.due(self._clock.now(), MOST_DUE)
            # Those for which this listener comes second: if a third one tried them too, the first would look awake.
            ids = [each for each in self._left_out(listing.ids) if self._peers.turn(each) == 1]
            await self._read(ids[:SAMPLE])
            self._read_at = self._clock.monotonic() + PAUSE_SECONDS

    async def _read_all(self) -> None:
        until = self._clock.now() + LATEST
        listing = await self._store.due(until, self._most)
        if listing.complete_until < until:  # there are more than memory holds: lists bring them
            self._reconciler.complete_until = min(self._reconciler.complete_until, listing.complete_until)
        await self._read(self._left_out(listing.ids))
        self.forget()

    def _left_out(self, ids: Iterable[int]) -> list[int]:
        return [each for each in ids if not self._mine >> bucket(each) & 1]

    async def _read(self, ids: list[int]) -> None:
        await read_jobs(ids, self._store, self._reconciler, self._clock)
