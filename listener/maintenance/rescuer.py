"""The rescuer takes over from listeners that died.

Takes nothing. Gives final rows to runs whose lease expired, and their next attempts to the agenda; and final rows to
instants that waited too long for a listener that has their handler. Guarantees that a job whose listener died runs
again within lease + interval, and that a listener that was suspended writes the results of its own runs before it
rescues any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import MALFORMED, StoreError
from listener.execution.claim_request import claim_request
from listener.execution.in_parts import in_parts
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from listener.domain.job import Job
    from listener.domain.messages import ClaimRequest, Rescued
    from listener.observability.metrics import Metrics
    from listener.ports import Clock, LeaseStore
    from listener.scheduling.reconciler import Reconciler

LATE_SECONDS = 1.0
"""A listener that wakes so late was suspended, and has not extended its own leases meanwhile."""
AFTER_YOU_SECONDS = 1.0
"""How long such a listener waits for the write of its own results before it rescues."""


class Rescuer:
    """Looks for lost runs at intervals.

    Args:
        store: where lost runs are found and ended.
        reconciler: takes the jobs that have to run again.
        clock: the database's.
        metrics: where rescues are counted.
        interval_seconds: how often to look.
        jitter: numbers from 0 to 1 that keep several rescuers out of step.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the composition root names each
        self,
        store: LeaseStore,
        reconciler: Reconciler,
        clock: Clock,
        metrics: Metrics,
        interval_seconds: float,
        jitter: Callable[[], float],
    ) -> None:
        self._store, self._reconciler, self._clock, self._metrics = store, reconciler, clock, metrics
        self._interval, self._jitter = interval_seconds, jitter
        self._log = structlog.get_logger("rescuer")
        self._missing: Sequence[str] = ()

    async def run(self) -> None:
        """Rescue until cancelled."""
        while True:
            try:
                while await self.run_once():
                    pass
            except StoreError as fault:
                self._log.warning(Event.RESCUE_FAILED, error=str(fault))
            await self._rest(self._interval * (0.5 + self._jitter() / 2))

    async def _rest(self, seconds: float) -> None:
        until = anyio.current_time() + seconds
        await anyio.sleep(seconds)
        if anyio.current_time() > until + LATE_SECONDS:
            await anyio.sleep(AFTER_YOU_SECONDS)

    async def run_once(self) -> int:
        """Rescue one batch, and end instants that no listener handles; returns the number of runs and instants.

        Raises:
            StoreError: nothing was rescued.
        """
        rescued = await self._store.rescue()
        self._reconciler.apply(rescued.jobs)
        for execution_id, error in rescued.failures.items():
            self._log.error(Event.RESCUE_FAILED, execution_id=execution_id, error=error)
        if rescued.runs:
            self._metrics.runs_rescued(rescued.runs)
            self._log.warning(Event.RUNS_RESCUED, runs=rescued.runs)
        self._report_missing(rescued)
        return rescued.runs + await self._end_unhandled(rescued.unhandled)

    def _report_missing(self, rescued: Rescued) -> None:
        self._metrics.jobs_without_handler(rescued.waiting)
        if rescued.missing and rescued.missing != self._missing:
            self._log.warning(Event.HANDLERS_MISSING, handlers=rescued.missing, jobs=rescued.waiting)
        self._missing = rescued.missing

    async def _end_unhandled(self, jobs: list[Job]) -> int:
        """End an instant of each job as `no_handler`, each as if its time were now: `misfire` does not apply."""
        claims: list[ClaimRequest] = []
        for job in jobs:
            try:
                claims.append(claim_request(job, job.due_at or self._clock.now()))
            except MALFORMED as malformed:
                self._reconciler.explain(job, malformed)
        ended = 0

        async def end(part: list[ClaimRequest]) -> None:
            nonlocal ended
            answer = await self._store.end_unhandled(part)
            self._reconciler.apply(answer.jobs)
            ended += answer.runs

        if claims:
            async for part, fault in in_parts(claims, end):
                if fault is not None:
                    self._log.warning(Event.RESCUE_FAILED, jobs=len(part), error=str(fault))
        if ended:
            self._log.error(Event.INSTANTS_UNHANDLED, instants=ended)
        return ended
