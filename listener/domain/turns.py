"""Turns and shares of tenants and users; pure.

Shares belong to parties: a job's tenant and the user who made it. A job uses the share of both, so that a
user with twenty workspaces has one user's share, and a workspace with twenty users one workspace's. The service's own
jobs have no party: they take turns with the others, and may hold everything.
"""

from __future__ import annotations

import heapq
from typing import TypeAlias

Parties: TypeAlias = tuple[str, ...]
"""The tenant and the user of a job, each once; empty for the service's own."""


def parties_of(tenant: str | None, user: str | None) -> Parties:
    """Return the parties whose shares a job uses."""
    if tenant is None:
        return ()
    return (tenant,) if user is None or user == tenant else (tenant, user)


class Turns:
    """An order of waiting entries: the parties that were served least come first; among equals, the first to arrive."""

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._now = self._arrivals = 0
        self._waiting: dict[Parties, int] = {}
        self._order: list[tuple[int, int, Parties]] = []  # places only grow: each is looked at again when it is first

    def enter(self, parties: Parties) -> None:
        """Add an entry; an entry waits at most once."""
        self._arrivals += 1
        self._waiting[parties] = self._arrivals
        heapq.heappush(self._order, (self._place(parties), self._arrivals, parties))

    def leave(self, parties: Parties) -> None:
        """Remove an entry."""
        del self._waiting[parties]
        if not self._waiting:
            self._order.clear()
            self._served.clear()
            self._now = 0

    def first(self) -> Parties | None:
        """Return the entry whose turn it is, out of the order until it `enter`s again or is served no more."""
        while self._order:
            place, arrival, parties = heapq.heappop(self._order)
            if self._waiting.get(parties) != arrival:
                continue
            present = self._place(parties)
            if present == place:
                return parties
            heapq.heappush(self._order, (present, arrival, parties))
        return None

    def served(self, parties: Parties) -> None:
        """Count one more service of an entry."""
        self._now = self._place(parties)
        for each in parties or ("",):
            self._served[each] = self._now + 1

    def _place(self, parties: Parties) -> int:
        return max(self._now, *(self._served.get(each, 0) for each in parties or ("",)))


class Holdings:
    """How much each party holds of a resource.

    Args:
        share: the part of its own holding and the free rest that a party may hold, below 1: some stays free for others.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._held: dict[str, int] = {}
        self._bounds: dict[str, int] = {}

    def has_slot(self, parties: Parties, free: int) -> bool:
        """Whether one more may be held while so many are free."""
        return free > 0 and all(self._may_hold_more(each, free) for each in parties)

    def _may_hold_more(self, party: str, free: int) -> bool:
        held = self._held.get(party, 0)
        return held < self._share * (held + free) and held < self._bounds.get(party, held + 1)

    def hold(self, parties: Parties) -> None:
        """Count one more."""
        for each in parties or ("",):
            self._held[each] = self._held.get(each, 0) + 1

    def release(self, parties: Parties) -> None:
        """Count one less."""
        for each in parties or ("",):
            self._held[each] -= 1
            if not self._held[each]:
                del self._held[each]

    def bound(self, party: str) -> None:
        """Limit a party to what it holds now, until `unbind`."""
        self._bounds[party] = self._held.get(party, 0)

    def unbind(self) -> None:
        """Forget all bounds."""
        self._bounds.clear()

    def is_bound(self, parties: Parties) -> bool:
        """Whether one of the parties has a limit."""
        return any(each in self._bounds for each in parties)

    def has_none(self, parties: Parties) -> bool:
        """Whether one of them holds nothing."""
        return any(each not in self._held for each in parties or ("",))
