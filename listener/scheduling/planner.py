"""The planner gives recurring jobs their first due instant.

Takes jobs that have none: new, edited or resumed. Gives them armed. Guarantees that a job is armed only for an instant
that the database has stored, that no plan overwrites a definition that has changed since, and that a job whose instants
cannot be computed has the reason in its row and in the ledger.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import anyio
import structlog

from listener.domain.messages import Plan
from listener.domain.schedule import first_run
from listener.errors import MALFORMED, StoreError
from listener.observability.events import Event

if TYPE_CHECKING:
    from datetime import datetime

    from listener.domain.job import Job
    from listener.ports import Clock, JobStore, PlanSink

RETRY_PAUSE_SECONDS = 1.0
SLOW_PAUSE_SECONDS = 10.0
"""Pause after a fault that an operator has to fix."""
LONGEST_ERROR_CHARACTERS = 1000
BATCH = 200
"""Jobs in one request; computing their due instants holds the loop for some ten milliseconds."""


class Planner:
    """Computes and writes first due instants in batches.

    Args:
        store: where they are written.
        clock: gives the definition time of jobs that have none.
    """

    sink: PlanSink
    """Receives each job with its due instant; set before the first batch."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._wanted: dict[int, Job] = {}
        self._faults: dict[int, str] = {}  # of wanted jobs whose instants another stage could not compute
        self._size = BATCH
        self._wake = anyio.Event()
        self._log = structlog.get_logger("planner")

    def __len__(self) -> int:
        """How many jobs wait for their first due instant."""
        return len(self._wanted)

    def add(self, job: Job) -> None:
        """Take a job that has no due instant; a newer revision of it replaces an older one."""
        self._wanted[job.id] = job
        self._wake.set()

    def explain(self, job: Job, why: Exception) -> None:
        """Take a job whose next due instants cannot be computed, so that its row gets the reason."""
        self._faults[job.id] = _told(why)
        self.add(job)

    def forget(self, job_id: int) -> None:
        """Drop a job that needs no plan any more."""
        self._wanted.pop(job_id, None)
        self._faults.pop(job_id, None)

    async def run(self) -> None:
        """Plan until cancelled."""
        while True:
            if not self._wanted:
                self._wake = anyio.Event()
                await self._wake.wait()
            try:
                await self.run_once()
            except StoreError as fault:
                self._log.warning(Event.PLAN_FAILED, error=str(fault))
                if fault.retryable or not fault.split_batch:  # else a smaller batch may do at once
                    await anyio.sleep(SLOW_PAUSE_SECONDS if fault.needs_operator else RETRY_PAUSE_SECONDS)

    async def run_once(self) -> int:
        """Plan one batch; returns the number of jobs. If the write fails, the jobs stay queued."""
        batch = list(islice(self._wanted.values(), self._size))
        plans = [(job, self._plan(job)) for job in batch]
        if plans:
            await self._write(plans)
        for job, plan in plans:
            if self._wanted.get(job.id) is job:  # else a newer revision arrived meanwhile
                self.forget(job.id)
                if plan.error is None:
                    self._arm_planned(job, plan.due)
        return len(batch)

    def _arm_planned(self, job: Job, due: datetime | None) -> None:
        # a manual run may be queued already, and is due earlier
        soonest = min((at for at in (due, job.next_run_at) if at is not None), default=None)
        self.sink.arm(replace(job, due_at=due, next_run_at=soonest, unplanned=False))

    async def _write(self, plans: list[tuple[Job, Plan]]) -> None:
        """Write plans; after a fault that one of them may have caused, the next batch is smaller.

        Raises:
            StoreError: they were not written.
        """
        try:
            await self._store.plan([plan for _, plan in plans])
        except StoreError as fault:
            self._size = max(1, len(plans) // 2) if fault.split_batch else self._size
            if fault.split_batch and not fault.retryable and len(plans) == 1:
                self._rest(plans[0][0], fault)
            raise
        self._size = min(BATCH, self._size * 2)

    def _rest(self, job: Job, why: Exception) -> None:
        """Ignore an invalid row until it is edited."""
        self._log.error(Event.ROW_INVALID, job_id=job.id, error=str(why))
        self.forget(job.id)

    def _plan(self, job: Job) -> Plan:
        why = self._faults.get(job.id)
        if why is not None:
            return Plan(job.id, job.revision, None, why)
        assert job.trigger is not None, "a one-time job has its due instant from the start"  # noqa: S101
        try:
            return Plan(job.id, job.revision, first_run(job.trigger, job.defined_at or self._clock.now()))
        except MALFORMED as malformed:  # the database refuses the malformed schedules that it can detect
            self._log.error(Event.ROW_INVALID, job_id=job.id, error=str(malformed))
            return Plan(job.id, job.revision, None, _told(malformed))


def _told(why: Exception) -> str:
    """Return the error that row and ledger get for a schedule that is invalid here."""
    return f"{type(why).__name__}: {why}"[:LONGEST_ERROR_CHARACTERS]
