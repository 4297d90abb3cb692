"""The claimer claims jobs whose time is near.

Takes batches from the dispatcher. Gives back what the database granted, and re-arms what follows or has to be
claimed later. Guarantees that a claim whose answer was lost is repeated until it is known, that one row that makes a
claim fail does not hold up the others, and that a job that was edited while it was claimed is not forgotten.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.lowlevel
import structlog

from listener.errors import MALFORMED, StoreError
from listener.execution.claim_request import claim_request, step_for
from listener.observability.events import Event

if TYPE_CHECKING:
    from datetime import datetime

    from listener.domain.job import Job
    from listener.domain.messages import Claimed, ClaimRequest
    from listener.observability.metrics import Metrics
    from listener.ports import Clock, JobStore
    from listener.scheduling.agenda import Agenda
    from listener.scheduling.peers import Peers
    from listener.scheduling.reconciler import Reconciler

RETRY_PAUSE = timedelta(seconds=1)
SLOW_PAUSE = timedelta(seconds=10)
"""After a fault that an operator has to fix."""
FIRST_REPEAT_SECONDS, MAX_REPEAT_SECONDS = 0.1, 2.0
"""How long after a claim whose answer was lost it is asked for again."""
REFUSED_PAUSE = timedelta(seconds=60)
"""How long a job rests whose claim makes the database's function fail."""
LONGEST_HOLD_SECONDS = 0.005
"""How long the loop is held for computing claims, and one job more."""


class ClaimSink(Protocol):
    """Takes what becomes of claims."""

    def release(self, job: Job) -> None:
        """Free the slot of a claim that was answered, or will get no answer."""
        ...

    def granted(self, claimed: Claimed, requested_at: float) -> None:
        """Start the runs of an answer to a request made at monotonic `requested_at`."""
        ...


class Claimer:
    """Claims batch by batch.

    Args:
        store: where claims are made.
        agenda: where jobs are armed again that could not be claimed.
        reconciler: takes the rows that claims come back with.
        clock: the database's.
        metrics: where answers are counted.
        peers: notified of jobs that another listener should have claimed.
        sink: takes what becomes of claims.
    """

    def __init__(  # noqa: PLR0913 - the dispatcher names each
        self,
        *,
        store: JobStore,
        agenda: Agenda,
        reconciler: Reconciler,
        clock: Clock,
        metrics: Metrics,
        peers: Peers,
        sink: ClaimSink,
    ) -> None:
        self._store, self._agenda, self._reconciler, self._clock = store, agenda, reconciler, clock
        self._metrics, self._peers, self._sink = metrics, peers, sink
        self._claiming: set[int] = set()
        self._seen_meanwhile: dict[int, Job] = {}  # while they were being claimed
        self.in_flight = self.answers = 0
        self._log = structlog.get_logger("claimer")

    @property
    def claiming(self) -> int:
        """Jobs whose claim is not answered yet."""
        return len(self._claiming)

    def begin(self, batch: list[Job]) -> None:
        """Count a batch as being claimed; `claim` has to follow."""
        self._claiming.update(job.id for job in batch)
        self.in_flight += 1

    def take_news(self, job: Job) -> bool:
        """Keep the newest row of a job that is being claimed: the answer shows whether it is news.

        Returns whether it is being claimed.
        """
        if job.id not in self._claiming:
            return False
        self._seen_meanwhile[job.id] = job
        return True

    async def claim(self, batch: list[Job]) -> None:
        """Claim a batch; where one row makes the claim fail, in parts, until that row stands alone."""
        parts, again, pause = deque([batch]), set[int](), FIRST_REPEAT_SECONDS
        try:
            while parts:
                part = parts.popleft()
                claims = await self._claim_requests(part, self._clock.now())
                requested_at = self._clock.monotonic()
                for job_id in again.intersection(claims):
                    claims[job_id].again = True
                try:
                    claimed = await self._store.claim(list(claims.values()))
                except StoreError as fault:
                    if fault.split_batch and len(part) > 1:
                        parts += [part[: len(part) // 2], part[len(part) // 2 :]]
                    elif fault.maybe_applied or (
                        again.intersection(claims) and (fault.retryable or not fault.split_batch)
                    ):
                        again.update(claims)  # it may have been granted: forgetting it now would lose an attempt
                        parts.append(part)
                        self._log.warning(Event.CLAIM_FAILED, jobs=len(part), error=str(fault))
                        await anyio.sleep(pause)
                        pause = min(pause * 2, MAX_REPEAT_SECONDS)
                    else:
                        self._put_back(part, fault)
                    continue
                self._answered(part)
                self._rearm(part, claims, claimed)
                self._see_who_sleeps(part, claimed)
                self._metrics.claims_answered(len(claimed.runs), max(0, len(part) - len(claimed.runs)))
                self._sink.granted(claimed, requested_at)
        finally:
            self._answered(batch)
            self.in_flight -= 1

    def _answered(self, jobs: list[Job]) -> None:
        """Free the slots of claims that were answered, or will get no answer."""
        self.answers += 1
        for job in jobs:
            if job.id in self._claiming:
                self._claiming.discard(job.id)
                self._sink.release(job)

    def _see_who_sleeps(self, jobs: list[Job], claimed: Claimed) -> None:
        """Wait no longer for listeners that have not claimed what was theirs."""
        left = {job.id for job in jobs if job.turn}
        for run in claimed.runs if left else ():
            if run.job_id in left:
                self._peers.suspect(run.job_id)

    async def _claim_requests(self, jobs: list[Job], now: datetime) -> dict[int, ClaimRequest]:
        claims, step, began = {}, step_for(jobs, now), self._clock.monotonic()
        for job in jobs:
            if self._clock.monotonic() > began + LONGEST_HOLD_SECONDS:
                await anyio.lowlevel.checkpoint()
                began = self._clock.monotonic()
            try:
                claims[job.id] = claim_request(job, now, step)
            except MALFORMED as malformed:
                self._log.error(Event.ROW_INVALID, job_id=job.id, error=str(malformed))
                self._reconciler.explain(job, malformed)
        return claims

    def _put_back(self, jobs: list[Job], fault: StoreError) -> None:
        is_guilty = fault.split_batch and not fault.retryable
        told = {"job_id": jobs[0].id} if is_guilty else {"jobs": len(jobs)}
        self._log.warning(Event.CLAIM_FAILED, **told, error=str(fault))
        again = self._clock.now() + (
            REFUSED_PAUSE if is_guilty else SLOW_PAUSE if fault.needs_operator else RETRY_PAUSE
        )
        self._answered(jobs)
        for job in jobs:
            newest = self._seen_meanwhile.pop(job.id, job)
            if job.id not in self._agenda:  # unless a newer state of it was armed meanwhile
                self._agenda.arm(newest, again)

    def _rearm(self, batch: list[Job], claims: dict[int, ClaimRequest], claimed: Claimed) -> None:
        """Arm what follows the granted claims; the rows that came back say the rest themselves."""
        self._reconciler.granted(claimed.runs)
        granted = {run.job_id for run in claimed.runs}.difference(job.id for job in claimed.jobs)
        for job in batch:
            if job.id not in granted or job.id in self._agenda:
                continue
            follows = claims[job.id].next_due
            if follows is not None:
                self._reconciler.arm(replace(job, due_at=follows, next_run_at=follows, waits_since=None))
        self._reconciler.refused(claimed.jobs, claims)
        if self._seen_meanwhile:
            self._look_at_news(batch)

    def _look_at_news(self, batch: list[Job]) -> None:
        """Arm jobs that were edited between their claim and its answer: the answer does not say so."""
        for job in batch:
            seen = self._seen_meanwhile.pop(job.id, job)
            if seen.revision > job.revision and seen.id not in self._agenda:
                self._reconciler.apply([seen])
