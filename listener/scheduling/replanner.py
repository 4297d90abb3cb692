"""The replanner corrects planned due instants when this listener has a newer zone database than they were planned by.

Takes the version of the zone database. Gives due instants by its rules. Guarantees that only a newer database replaces
an instant, that one which has passed meanwhile is moved and not lost, and that the work takes a part of the time only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.domain.messages import Replan
from listener.domain.zone_changes import moved_instant
from listener.errors import MALFORMED, StoreError
from listener.observability.events import Event

if TYPE_CHECKING:
    from listener.domain.job import Job
    from listener.ports import Clock, ZoneStore

CHECK_SECONDS = 3600.0
BESIDE_OLDER_SECONDS = 60.0
"""How often to check whether the last listener with an older database has gone: until then it may plan by that."""
RETRY_SECONDS = 10.0
SLICE = 50
"""Jobs whose instants are computed before others get the loop: some milliseconds."""
WORK_SHARE = 5
"""At most one part in so many of the time is for it."""


class Replanner:
    """Plans anew after a change of the zone database.

    Args:
        store: has the plans, and the versions by which they were made.
        clock: measures the work.
        version: of this listener's zone database, such as `2026a`; None: unknown, so nothing is planned anew.
    """

    def __init__(self, store: ZoneStore, clock: Clock, version: str | None) -> None:
        self._store, self._clock, self._version = store, clock, version
        self._replanned_beside: str | None = None
        self._log = structlog.get_logger("replanner")

    async def run(self) -> None:
        """Check now and then until cancelled."""
        while self._version is not None:
            try:
                await anyio.sleep(BESIDE_OLDER_SECONDS if await self.run_once() else CHECK_SECONDS)
            except StoreError as fault:
                self._log.warning(Event.ZONES_FAILED, error=str(fault))
                await anyio.sleep(RETRY_SECONDS)
        await anyio.sleep_forever()

    async def run_once(self) -> bool:
        """Plan anew what was planned by an older database; return whether a listener that has one is alive.

        Raises:
            StoreError: not all was planned anew.
        """
        assert self._version is not None, "without a version there is nothing to compare"  # noqa: S101
        found = await self._store.zone_database(self._version)
        if found.planned_by >= self._version:
            if found.planned_by > self._version:
                self._log.warning(Event.ZONES_OUTDATED, version=self._version, newest=found.planned_by)
            return False
        if not (found.older and self._replanned_beside == found.planned_by):
            moved = await self._replan_all()
            self._log.info(Event.ZONES_REPLANNED, version=self._version, before=found.planned_by, moved=moved)
            self._replanned_beside = found.planned_by
        if not found.older:
            found = await self._store.zone_database(self._version, replanned=found.planned_by)
        return found.older

    async def _replan_all(self) -> int:
        moved, after = 0, None
        while True:
            began = self._clock.monotonic()
            page = await self._store.planned(after)
            moved += await self._replan(page.jobs)
            if page.after is None:
                return moved
            after = page.after
            await anyio.sleep((WORK_SHARE - 1) * (self._clock.monotonic() - began))

    async def _replan(self, jobs: list[Job]) -> int:
        changes: list[Replan] = []
        for begin in range(0, len(jobs), SLICE):
            changes += [change for job in jobs[begin : begin + SLICE] if (change := self._change_of(job)) is not None]
            await anyio.lowlevel.checkpoint()
        return await self._store.replan(changes) if changes else 0

    def _change_of(self, job: Job) -> Replan | None:
        if job.trigger is None or job.due_at is None:
            return None
        try:
            due = moved_instant(job.trigger, job.due_at, job.defined_at or job.due_at)
        except MALFORMED as malformed:  # a zone that this database lacks: its plan stays
            self._log.error(Event.ROW_INVALID, job_id=job.id, error=str(malformed))
            return None
        return None if due is None or due == job.due_at else Replan(job.id, job.revision, job.due_at, due)
