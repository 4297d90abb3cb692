"""Orders the ready jobs of several tenants; pure.

Tenants and users take turns, one job each, whatever priorities their jobs have: a priority orders the jobs of one user
of one tenant. Each may hold a share of the slots only, and the more of them hold some, the smaller the share: some
slots stay free for new ones. The service's own jobs (tenant None) take turns with the others, and may hold all.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, TypeAlias

from listener.domain.shares import Shares
from listener.domain.turns import Holdings, Turns

if TYPE_CHECKING:
    from listener.domain.job import Job
    from listener.domain.turns import Parties

Place: TypeAlias = tuple[int, bool, float, int]
"""-priority, whether another listener is to claim it first, time, id."""

FAIR_BATCH = 100
"""Jobs taken at a time unless all belong to the service: a new tenant waits for a claim of so many."""


class _PartyQueue:
    """The jobs of one user of one tenant, and a heap of their places; places of removed jobs are skipped."""

    __slots__ = ("length", "places", "since")

    def __init__(self, now: float) -> None:
        self.length, self.since = 0, now
        self.places: list[Place] = []


class FairQueue:
    """Ready jobs, each at most once.

    Args:
        tenant_share: the share of all slots that one tenant or user may hold while no other one holds any, below 1.
        shares: counts the waiting jobs.
    """

    def __init__(self, tenant_share: float, shares: Shares | None = None) -> None:
        self._shares = shares or Shares()
        self._jobs: dict[int, Job] = {}
        self._queues: dict[Parties, _PartyQueue] = {}
        self._turns, self.holdings = Turns(), Holdings(tenant_share)

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._jobs)

    def add(self, job: Job, now: float = 0.0) -> None:
        """Add a job that waits from `now` on. Of one that waits already, the newest row counts, at the better place."""
        waiting, place, parties = self._jobs.get(job.id), _place(job), job.parties
        self._jobs[job.id] = job
        if waiting is not None and waiting.parties == parties:
            if place < _place(waiting):
                heapq.heappush(self._queues[parties].places, place)
            return
        if waiting is not None:
            self._leave_queue(waiting)
        self._shares.enter(job)
        queue = self._queues.get(parties)
        if queue is None:
            queue = self._queues[parties] = _PartyQueue(now)
            self._turns.enter(parties)
        queue.length += 1
        heapq.heappush(queue.places, place)

    def may_take(self, free_slots: int) -> bool:
        """Whether there is a job to take while so many more may be held."""
        return free_slots > 0 and any(self.holdings.has_slot(parties, free_slots) for parties in self._queues)

    def delayed(self, before: float) -> tuple[dict[str, int], float | None]:
        """Count the jobs of those that were given nothing since `before`, by what they wait for: `slots` or a `quota`.

        Returns also since when somebody waits for slots who holds none.
        """
        waiting, starved = {"slots": 0, "quota": 0}, None
        for parties, queue in self._queues.items():
            if queue.since < before:
                is_bound = self.holdings.is_bound(parties)
                waiting["quota" if is_bound else "slots"] += queue.length
                if not is_bound and self.holdings.has_none(parties):
                    starved = min(queue.since, starved if starved is not None else queue.since)
        return waiting, starved

    def take(self, free_slots: int, most: int, now: float = 0.0) -> list[Job]:
        """Take and hold at most `most` jobs while `free_slots` more may be held."""
        if any(self._queues):  # somebody's but the service's
            most = min(most, FAIR_BATCH)
        if len(self._queues) == 1:
            return self._take_of_one(next(iter(self._queues)), free_slots, most, now)
        size, passed = min(free_slots, most), []
        batch: list[Job] = []
        while len(batch) < size and (parties := self._turns.first()) is not None:
            if not self.holdings.has_slot(parties, free_slots - len(batch)):
                passed.append(parties)
                continue
            self._turns.served(parties)
            self.holdings.hold(parties)
            self._queues[parties].since = now
            batch.append(self._pop(parties))
            if parties in self._queues:
                self._turns.enter(parties)
        for parties in passed:
            self._turns.enter(parties)
        return batch

    def _take_of_one(self, parties: Parties, free_slots: int, most: int, now: float) -> list[Job]:
        """Take as `take` does where nobody else waits: a single turn, which counts as one for the next to come."""
        batch: list[Job] = []
        while (
            len(batch) < most and parties in self._queues and self.holdings.has_slot(parties, free_slots - len(batch))
        ):
            self.holdings.hold(parties)
            batch.append(self._pop(parties))
        if batch and parties in self._queues:
            self._turns.served(parties)
            self._queues[parties].since = now
        return batch

    def _pop(self, parties: Parties) -> Job:
        """Take the first job of the queue whose turn it is."""
        places = self._queues[parties].places
        while True:
            job = self._jobs.get(heapq.heappop(places)[-1])
            if job is not None and job.parties == parties:  # else the job was taken already, at a better place
                break
        del self._jobs[job.id]
        self._leave_queue(job)
        return job

    def _leave_queue(self, job: Job) -> None:
        self._shares.leave(job)
        parties = job.parties
        queue = self._queues[parties]
        queue.length -= 1
        if not queue.length:
            del self._queues[parties]
            self._turns.leave(parties)


def _place(job: Job) -> Place:
    assert job.next_run_at is not None, "a ready job has a time"  # noqa: S101 - what the reconciler ensures
    since = job.waits_since or job.next_run_at
    return -job.priority, job.turn > 0, since.timestamp(), job.id
