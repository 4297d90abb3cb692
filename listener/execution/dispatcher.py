"""The dispatcher claims what is due, as far as there is room, and starts it at its time.

Takes jobs whose time is near. Gives claimed runs to the executor, and their reports to the completer. Guarantees that
nothing starts without a granted claim, and that of more work than room each tenant gets a part, what it put first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import structlog

from listener.domain.fairness import FairQueue
from listener.errors import MALFORMED, StoreError
from listener.execution.claim_request import claim_request, step_for
from listener.execution.run_result import LEASE_LOST, SHUTDOWN
from listener.execution.runners import Runners
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from listener.domain.job import Job, Run
    from listener.domain.messages import Claimed, ClaimRequest
    from listener.domain.outcome import Report
    from listener.execution.executor import Executor
    from listener.observability.metrics import Metrics
    from listener.ports import Clock, JobStore
    from listener.runs.claimed_run import ClaimedRun
    from listener.runs.held_runs import HeldRuns
    from listener.scheduling.agenda import Agenda
    from listener.scheduling.peers import Peers
    from listener.scheduling.reconciler import Reconciler

CLAIMS_IN_FLIGHT = 2
"""While one batch is claimed, the results of another are worked on; more only compete for the same rows."""
RETRY_PAUSE = timedelta(seconds=1)
SLOW_PAUSE = timedelta(seconds=10)
"""After a fault that somebody has to mend."""
FIRST_REPEAT_SECONDS, MAX_REPEAT_SECONDS = 0.1, 2.0
"""How long after a claim whose answer was lost it is asked for again."""
REFUSED_PAUSE = timedelta(seconds=60)
"""How long a job rests whose claim makes the database's function fail."""
LONGEST_HOLD_SECONDS = 0.005
"""How long the loop is held for computing claims, and one job more."""
MAX_UNWRITTEN = 5_000
"""Reports that may wait to be written before no more is claimed: the database is behind."""


class Dispatcher:
    """Claims in batches, as many at a time as there is room for.

    Args:
        store: where claims are made.
        executor: runs handlers.
        runs: what is held.
        agenda: where recurring jobs are armed again.
        reconciler: takes the rows that claims come back with.
        clock: the database's.
        metrics: where answers are counted.
        peers: told of jobs that another listener should have claimed.
        report: takes the end of each run.
        unwritten: tells how many reports wait.
        concurrency: how many runs may execute at a time.
        batch_size: how many claims go in one request.
        tenant_share: which part of the concurrency one tenant may take.
        trusted_seconds: how long a claim is relied on after it was asked for.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        *,
        store: JobStore,
        executor: Executor,
        runs: HeldRuns,
        agenda: Agenda,
        reconciler: Reconciler,
        clock: Clock,
        metrics: Metrics,
        peers: Peers,
        report: Callable[[Run, Report], None],
        unwritten: Callable[[], int],
        concurrency: int,
        batch_size: int,
        tenant_share: float,
        trusted_seconds: float,
    ) -> None:
        self._store, self._executor, self._runs, self._agenda = store, executor, runs, agenda
        self._reconciler, self._clock, self._metrics = reconciler, clock, metrics
        self._peers, self._report, self._unwritten = peers, report, unwritten
        self._concurrency, self._batch_size = concurrency, batch_size
        self._ready, self._trusted_seconds = FairQueue(tenant_share), trusted_seconds
        self._claiming: set[int] = set()
        self._seen_meanwhile: dict[int, Job] = {}  # while they were being claimed
        self._executing = self._in_flight = self._answers = 0
        self._wake = anyio.Event()
        self._draining = False
        self._log = structlog.get_logger("dispatcher")

    @property
    def executing(self) -> int:
        """Runs between their claim and their report."""
        return self._executing

    @property
    def answered(self) -> int:
        """How many claims have been answered, or put off; while work waits it must grow."""
        return self._answers

    @property
    def has_cause_to_claim(self) -> bool:
        """Whether a claim is under way, or could be."""
        return self._in_flight > 0 or self._ready.may_take(self._room())

    @property
    def is_idle(self) -> bool:
        """Whether nothing executes, and no claim is under way that could change that."""
        return not (self._executing or self._in_flight)

    @property
    def waiting(self) -> int:
        """Jobs that are due and wait for room."""
        return len(self._ready)

    def add(self, jobs: list[Job]) -> None:
        """Take jobs whose time is near."""
        for job in jobs:
            if job.id in self._claiming:
                self._seen_meanwhile[job.id] = job  # the claim's answer says whether it is news
            else:
                self._ready.add(job)
        self.wake()

    def wake(self) -> None:
        """See whether there is room now."""
        self._wake.set()

    def drain(self) -> None:
        """Claim nothing more."""
        self._draining = True

    async def run(self) -> None:
        """Claim and start until cancelled."""
        async with anyio.create_task_group() as tasks:
            runners = Runners(tasks, self.execute)
            while True:
                await self._wait_for_work()
                tasks.start_soon(self._claim_and_start, self._take_batch(), runners.start)

    async def run_once(self, start: Callable[[ClaimedRun], object]) -> int:
        """Claim one batch and start what was granted; tells how much was asked for."""
        batch = self._take_batch()
        await self._claim_and_start(batch, start)
        return len(batch)

    def _room(self) -> int:
        if self._draining or self._in_flight >= CLAIMS_IN_FLIGHT or self._unwritten() > MAX_UNWRITTEN:
            return 0
        return self._concurrency - self._executing - len(self._claiming)

    async def _wait_for_work(self) -> None:
        while not self._ready.may_take(self._room()):
            self._wake = anyio.Event()
            await self._wake.wait()

    def _take_batch(self) -> list[Job]:
        batch = self._ready.take(self._room(), self._batch_size)
        self._claiming.update(job.id for job in batch)
        self._in_flight += 1
        return batch

    async def _claim_and_start(self, batch: list[Job], start: Callable[[ClaimedRun], object]) -> None:
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
                        again.update(claims)  # it may have been granted: whoever forgets it now loses an attempt
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
                self._start(claimed, start, requested_at)
        finally:
            self._answered(batch)
            self._in_flight -= 1
            self._wake.set()

    def _answered(self, jobs: list[Job]) -> None:
        """Give back the room of claims that have got their answer, or will get none."""
        self._answers += 1
        for job in jobs:
            if job.id in self._claiming:
                self._claiming.discard(job.id)
                self._ready.release(job.tenant)

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

    def _start(self, claimed: Claimed, start: Callable[[ClaimedRun], object], requested_at: float) -> None:
        for run in claimed.runs:
            if self._runs.find((run.execution_id, run.fence)):
                continue  # granted before, and known
            claimed_run = self._executor.prepare(run)
            claimed_run.trusted_since = requested_at
            self._runs.add(claimed_run)
            self._executing += 1
            self._ready.hold(run.tenant)
            start(claimed_run)
        if self._draining:  # granted too late: another listener is to have them at once
            self._runs.cancel([run.execution_id for run in claimed.runs], SHUTDOWN)

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

    async def execute(self, claimed_run: ClaimedRun) -> None:
        """Wait for the run's time, run it, and pass its report on."""
        try:
            if claimed_run.run.start_at > self._clock.now() and claimed_run.cancelled is None:
                with anyio.CancelScope() as waiting:
                    claimed_run.runs_in(waiting)  # what is withdrawn before its time ends at once
                    await self._clock.sleep_until(claimed_run.run.start_at)
            if self._clock.monotonic() > claimed_run.trusted_since + self._trusted_seconds:
                claimed_run.cancel(LEASE_LOST)  # the answer was late, or this machine slept: somebody else may run it
            self._report(claimed_run.run, await self._executor.execute(claimed_run))
        except BaseException:  # the stage ends, and nobody will report the run: let its lease run out
            self._runs.remove(claimed_run.run.execution_id)
            raise
        finally:
            self._executing -= 1
            self._ready.release(claimed_run.run.tenant)
            self._wake.set()
