"""Orders the ready jobs of several tenants; pure.

Tenants take turns, one job each, whatever priorities their jobs have: a priority orders the jobs of one tenant. A
tenant may hold only a share of the slots, and the more tenants hold some, the smaller the share: some slots stay free
for new tenants. The service's own jobs (tenant None) take turns with the others, and may hold all slots.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from listener.domain.job import Job

Place: TypeAlias = tuple[int, bool, float, int]
"""-priority, whether another listener is to claim it first, time, id."""

FAIR_BATCH = 100
"""Jobs taken at a time unless all belong to the service: a new tenant waits for a claim of so many."""


class _TenantQueue:
    """The jobs of one tenant, and a heap of their places; places of removed jobs are skipped."""

    __slots__ = ("length", "places")

    def __init__(self) -> None:
        self.length = 0
        self.places: list[Place] = []


class FairQueue:
    """Ready jobs, each at most once.

    Args:
        tenant_share: the share of all slots that one tenant may hold while no other one holds any, below 1.
    """

    def __init__(self, tenant_share: float) -> None:
        self._share = tenant_share
        self._jobs: dict[int, Job] = {}
        self._queues: dict[str | None, _TenantQueue] = {}
        self._turns: deque[str | None] = deque()
        self._held: dict[str, int] = {}

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Add a job. If it waits already, its newest row counts, at the better of its two places."""
        waiting, place = self._jobs.get(job.id), _place(job)
        self._jobs[job.id] = job
        if waiting is not None and waiting.tenant == job.tenant:
            if place < _place(waiting):
                heapq.heappush(self._queues[job.tenant].places, place)
            return
        if waiting is not None:
            self._leave_queue(waiting.tenant)
        queue = self._queues.get(job.tenant)
        if queue is None:
            queue = self._queues[job.tenant] = _TenantQueue()
            self._turns.append(job.tenant)
        queue.length += 1
        heapq.heappush(queue.places, place)

    def may_take(self, room: int) -> bool:
        """Whether there is a job to take while so many more may be held."""
        return bool(self._jobs) and room > 0 and any(self._has_room(tenant, room) for tenant in self._turns)

    def take(self, room: int, most: int) -> list[Job]:
        """Take and hold at most `most` jobs while `room` more may be held."""
        if any(tenant is not None for tenant in self._turns):
            most = min(most, FAIR_BATCH)
        size, passed = min(room, most), 0
        batch: list[Job] = []
        while len(batch) < size and passed < len(self._turns):
            tenant = self._turns[0]
            if not self._has_room(tenant, room - len(batch)):
                passed += 1
            else:
                batch.append(self._pop(tenant))
                self.hold(tenant)
                passed = 0
            if tenant in self._queues:
                self._turns.rotate(-1)
        return batch

    def hold(self, tenant: str | None) -> None:
        """Count one more held job."""
        if tenant is not None:
            self._held[tenant] = self._held.get(tenant, 0) + 1

    def release(self, tenant: str | None) -> None:
        """Count one held job less."""
        if tenant is None:
            return
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]

    def _has_room(self, tenant: str | None, room: int) -> bool:
        """Return whether a tenant holds less than its share of its own and the free slots, so that some stay free."""
        held = self._held.get(tenant, 0) if tenant is not None else 0
        return room > 0 and held < self._share * (held + room)

    def _pop(self, tenant: str | None) -> Job:
        """Take the first job of the tenant whose turn it is."""
        places = self._queues[tenant].places
        while True:
            job = self._jobs.get(heapq.heappop(places)[-1])
            if job is not None and job.tenant == tenant:  # else the job was taken already, at a better place
                break
        del self._jobs[job.id]
        self._leave_queue(tenant)
        return job

    def _leave_queue(self, tenant: str | None) -> None:
        queue = self._queues[tenant]
        queue.length -= 1
        if not queue.length:
            del self._queues[tenant]
            self._turns.remove(tenant)  # the first, where a job was taken


def _place(job: Job) -> Place:
    assert job.next_run_at is not None, "a ready job has a time"  # noqa: S101 - what the reconciler ensures
    since = job.waits_since or job.next_run_at
    return -job.priority, job.turn > 0, since.timestamp(), job.id
