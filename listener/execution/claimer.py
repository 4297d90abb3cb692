"""The claimer claims jobs whose time is near.

Takes batches from the dispatcher. Gives back the granted runs, and arms again each job that recurs or has to be
claimed later. Guarantees that a claim whose answer was lost is repeated until it is answered, that one row that makes a
claim fail does not delay the others, and that a job that was edited during its claim is not forgotten.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.lowlevel
import structlog

from listener.errors import MALFORMED, StoreError
from listener.execution.claim_request import claim_request, step_for
from listener.execution.in_parts import in_parts, needs_operator
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
"""Pause after a fault that an operator has to fix."""
FIRST_REPEAT_SECONDS, MAX_REPEAT_SECONDS = 0.1, 2.0
"""Pauses, first and longest, before a claim whose answer was lost is repeated."""
REFUSED_PAUSE = timedelta(seconds=60)
"""Pause of a job whose claim makes the database's function fail."""
BULK_SECONDS = 0.5
"""How soon one claim of very many follows another."""
LONGEST_HOLD_SECONDS = 0.005
"""Time limit for computing claims at one go, plus one job: the loop is held for so long."""


class ClaimSink(Protocol):
    """Receives the results of claims."""

    def release(self, job: Job) -> None:
        """Free the slot of a claim that was answered, or that will get no answer."""
        ...

    def granted(self, claimed: Claimed, requested_at: float) -> None:
        """Start the granted runs of a request made at monotonic `requested_at`."""
        ...


class Claimer:
    """Claims batch by batch.

    Args:
        store: where claims are made.
        agenda: where jobs that could not be claimed are armed again.
        reconciler: applies the rows in the answers.
        clock: the database's.
        metrics: where answers are counted.
        peers: notified of jobs that another listener should have claimed.
        sink: receives the results of claims.
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
        self._seen_meanwhile: dict[int, Job] = {}  # rows that arrived during the claim of their job
        self.in_flight = self.answers = 0
        self._log = structlog.get_logger("claimer")

    @property
    def claiming(self) -> int:
        """Jobs whose claim is not answered yet."""
        return len(self._claiming)

    def begin(self, batch: list[Job]) -> None:
        """Count a batch as being claimed; a call of `claim` has to follow."""
        self._claiming.update(job.id for job in batch)
        self.in_flight += 1

    def take_news(self, job: Job) -> bool:
        """Store the newest row of a job that is being claimed; after the answer it is compared with the answer's row.

        Returns whether it is being claimed.
        """
        if job.id not in self._claiming:
            return False
        self._seen_meanwhile[job.id] = job
        return True

    async def claim(self, batch: list[Job]) -> None:
        """Claim a batch; if one row makes the claim fail, split the batch until that row stands alone."""
        again = set[int]()
        refused: list[tuple[Job, StoreError]] = []
        try:
            async for part, fault in in_parts(batch, partial(self._claim_part, again=again)):
                if fault is not None and fault.split_batch and not fault.retryable:
                    refused.append((part[0], fault))
                elif fault is not None:
                    self._put_back(part, fault, SLOW_PAUSE if fault.needs_operator else RETRY_PAUSE, jobs=len(part))
            is_general = len(refused) == len(batch) and needs_operator((job.id, fault) for job, fault in refused)
            for job, fault in refused:
                self._put_back([job], fault, SLOW_PAUSE if is_general else REFUSED_PAUSE, job_id=job.id)
                if not is_general:
                    await self._explain(job, fault)
        finally:
            self._answered(batch)
            self.in_flight -= 1

    async def _claim_part(self, part: list[Job], again: set[int]) -> None:
        """Claim a part of a batch; repeat the request with `again` until the answer shows what was granted.

        Raises:
            StoreError: nothing was granted.
        """
        pause = FIRST_REPEAT_SECONDS
        while True:
            claims = await self._claim_requests(part, self._clock.now())
            requested_at = self._clock.monotonic()
            requested_before = again.intersection(claims)
            for job_id in requested_before:
                claims[job_id].again = True
            try:
                claimed = await self._store.claim(list(claims.values()))
            except StoreError as fault:
                is_divisible = fault.split_batch and len(part) > 1
                may_repeat = fault.maybe_applied or (requested_before and (fault.retryable or not fault.split_batch))
                if is_divisible or not may_repeat:
                    raise
                again.update(claims)  # it may have been granted: dropping it now would lose an attempt
                self._log.warning(Event.CLAIM_FAILED, jobs=len(part), error=str(fault))
                await anyio.sleep(pause)
                pause = min(pause * 2, MAX_REPEAT_SECONDS)
            else:
                break
        self._answered(part)
        self._peers.claims(part, BULK_SECONDS)
        self._rearm(part, claims, claimed)
        self._see_who_sleeps(part, claimed)
        refused = max(0, len(part) - len(claimed.runs) - claimed.taken)
        self._metrics.claims_answered(len(claimed.runs), refused, claimed.taken)
        self._sink.granted(claimed, requested_at)

    def _answered(self, jobs: list[Job]) -> None:
        """Free the slots of claims that were answered, or that will get no answer."""
        self.answers += 1
        for job in jobs:
            if job.id in self._claiming:
                self._claiming.discard(job.id)
                self._sink.release(job)

    def _see_who_sleeps(self, jobs: list[Job], claimed: Claimed) -> None:
        """Stop waiting for listeners that did not claim the jobs that were theirs to claim first."""
        theirs = [job for job in jobs if job.turn]
        if not theirs:
            return
        granted, refused = {run.job_id for run in claimed.runs}, {job.id: job.due_at for job in claimed.jobs}
        left = [(job.id, job.handler) for job in theirs if job.id in granted]
        taken = [
            (job.id, job.handler)
            for job in theirs
            if job.id not in granted and (job.id not in refused or refused[job.id] != job.due_at)
        ]
        self._peers.judge(left, taken)

    async def _claim_requests(self, jobs: list[Job], now: datetime) -> dict[int, ClaimRequest]:
        claims, step, began = {}, step_for(jobs, now), self._clock.monotonic()
        for job in jobs:
            if self._clock.monotonic() > began + LONGEST_HOLD_SECONDS:
                await anyio.lowlevel.checkpoint()
                began = self._clock.monotonic()
            try:
                claims[job.id] = claim_request(job, now, step)
                claims[job.id].turn = job.turn
            except MALFORMED as malformed:
                self._log.error(Event.ROW_INVALID, job_id=job.id, error=str(malformed))
                self._reconciler.explain(job, malformed)
        return claims

    def _put_back(self, jobs: list[Job], fault: StoreError, pause: timedelta, /, **fields: int) -> None:
        """Arm jobs again whose claim failed, to rest for so long."""
        self._log.warning(Event.CLAIM_FAILED, **fields, error=str(fault))
        again = self._clock.now() + pause
        self._answered(jobs)
        for job in jobs:
            newest = self._seen_meanwhile.pop(job.id, job)
            if job.id not in self._agenda:  # unless a newer state of it was armed meanwhile
                self._agenda.arm(newest, again)

    async def _explain(self, job: Job, fault: StoreError) -> None:
        """Say in the job's row why it does not run."""
        try:
            await self._store.explain(job.id, f"the database refused to begin a run of this job: {fault}")
        except StoreError as mute:
            self._log.warning(Event.CLAIM_FAILED, job_id=job.id, error=str(mute))

    def _rearm(self, batch: list[Job], claims: dict[int, ClaimRequest], claimed: Claimed) -> None:
        """Arm the jobs whose claims were granted at their next instants; for the others, the answer has rows."""
        self._reconciler.granted(claimed.runs)
        granted = {run.job_id for run in claimed.runs}.difference(job.id for job in claimed.jobs)
        for job in batch:
            if job.id not in granted or job.id in self._agenda:
                continue
            follows = claims[job.id].next_due
            if follows is not None:
                self._reconciler.arm(replace(job, due_at=follows, next_run_at=follows, waits_since=None))
        self._reconciler.refused(claimed.jobs, claims, at_once=claimed.full)
        if self._seen_meanwhile:
            self._look_at_news(batch)

    def _look_at_news(self, batch: list[Job]) -> None:
        """Arm jobs that were edited during their claim: the answer does not show the edit."""
        for job in batch:
            seen = self._seen_meanwhile.pop(job.id, job)
            if seen.revision > job.revision and seen.id not in self._agenda:
                self._reconciler.apply([seen])
