"""The dispatcher starts due jobs within the capacity: it queues them, has them claimed, and runs what was granted.

Takes jobs whose time is near. Gives claimed runs to the executor, and their reports to the completer. Guarantees that
nothing starts without a granted claim, and that each tenant gets a share of the capacity, highest priority first.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import structlog

from listener.domain.fairness import FairQueue
from listener.domain.outcome import Failed
from listener.execution.claimer import Claimer
from listener.execution.run_result import LEASE_LOST, OVERLAP, SHUTDOWN
from listener.execution.runners import Runners
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.domain.job import Job
    from listener.domain.messages import Claimed
    from listener.domain.outcome import Report
    from listener.execution.executor import Executor
    from listener.observability.metrics import Metrics
    from listener.ports import Clock, JobStore, RunSink
    from listener.runs.claimed_run import ClaimedRun
    from listener.runs.held_runs import HeldRuns
    from listener.scheduling.agenda import Agenda
    from listener.scheduling.peers import Peers
    from listener.scheduling.reconciler import Reconciler

CLAIMS_IN_FLIGHT = 2
"""While one batch is being claimed, the results of another are handled; more would compete for the same rows."""
BOUNDED_SECONDS = 1.0
"""How long no claim is requested for a tenant that is at its quota of runs, unless runs of it end here."""
MAX_UNWRITTEN = 5_000
"""Claiming stops while more reports than this wait to be written: the database is behind."""


class Dispatcher:
    """Queues jobs, limits them to the capacity, and starts their runs.

    Args:
        store: where claims are made.
        executor: runs handlers.
        runs: the runs that this listener holds.
        agenda: where recurring jobs are armed again.
        reconciler: applies the rows in the answers.
        clock: the database's.
        metrics: where answers are counted.
        peers: notified of jobs that another listener should have claimed.
        sink: receives the report of each run.
        concurrency: how many runs may execute at the same time.
        batch_size: how many claims go in one request.
        tenant_share: the part of the concurrency that one tenant, or one user, may take.
        trusted_seconds: how long a claim is trusted after its request.
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
        sink: RunSink,
        concurrency: int,
        batch_size: int,
        tenant_share: float,
        trusted_seconds: float,
    ) -> None:
        self._executor, self._runs, self._clock = executor, runs, clock
        self._sink, self._concurrency, self._batch_size = sink, concurrency, batch_size
        self._ready, self._trusted_seconds = FairQueue(tenant_share, agenda.shares), trusted_seconds
        self._claimer = Claimer(
            store=store, agenda=agenda, reconciler=reconciler, clock=clock, metrics=metrics, peers=peers, sink=self
        )
        self._runners = Runners(self.execute, self._end)
        self._start_run: Callable[[ClaimedRun], object] = self._runners.start
        self._executing = self._abandoned = 0
        self._wake = anyio.Event()
        self._draining, self._bounded_until = False, math.inf
        self._log = structlog.get_logger("dispatcher")

    @property
    def executing(self) -> int:
        """Runs between their claim and their end."""
        return self._executing

    @property
    def unended(self) -> int:
        """The number of handlers whose tasks have not ended, reported or not."""
        return len(self._runners)

    @property
    def answered(self) -> int:
        """The number of claims answered, or put off; it must grow while work waits."""
        return self._claimer.answers

    @property
    def has_cause_to_claim(self) -> bool:
        """Whether a claim is under way, or is possible now."""
        return self._claimer.in_flight > 0 or self._ready.may_take(self._free_slots())

    @property
    def is_idle(self) -> bool:
        """Whether nothing executes, and no claim is under way that could change that."""
        return not (self._executing > self._abandoned or self._claimer.in_flight)

    @property
    def waiting(self) -> int:
        """The number of due jobs that wait for a free slot."""
        return len(self._ready)

    def delayed(self, seconds: float) -> tuple[dict[str, int], float]:
        """Count the jobs of tenants that were given no slot for so long, by reason; and how long one has had none."""
        now = self._clock.monotonic()
        waiting, since = self._ready.delayed(now - seconds)
        return waiting, now - since if since is not None else 0.0

    def add(self, jobs: list[Job]) -> None:
        """Take jobs whose time is near."""
        for job in jobs:
            if not self._claimer.take_news(job):
                self._ready.add(job, self._clock.monotonic())
        self.wake()

    def wake(self) -> None:
        """Check whether a slot is free now."""
        self._wake.set()

    def drain(self) -> None:
        """Stop claiming."""
        self._draining = True

    async def run(self) -> None:
        """Claim and start until cancelled."""
        async with anyio.create_task_group() as tasks:
            self._start_run = self._runners.start
            while True:
                await self._wait_for_work()
                tasks.start_soon(self._claim, self._take_batch())

    async def run_once(self, start: Callable[[ClaimedRun], object]) -> int:
        """Claim one batch and start the granted runs; returns the number of claim requests."""
        self._start_run = start
        batch = self._take_batch()
        await self._claim(batch)
        return len(batch)

    async def _claim(self, batch: list[Job]) -> None:
        try:
            await self._claimer.claim(batch)
        finally:
            self.wake()

    def release(self, job: Job) -> None:
        """Free the slot that was kept for a claim."""
        self._ready.holdings.release(job.parties)

    def _free_slots(self) -> int:
        if self._draining or self._claimer.in_flight >= CLAIMS_IN_FLIGHT or self._sink.unwritten > MAX_UNWRITTEN:
            return 0
        return self._concurrency - self._executing - self._claimer.claiming

    async def _wait_for_work(self) -> None:
        while True:
            self._lift_bounds()
            if self._ready.may_take(self._free_slots()):
                return
            self._wake = anyio.Event()
            if math.isinf(self._bounded_until):
                await self._wake.wait()
                continue
            with anyio.move_on_after(self._bounded_until - self._clock.monotonic()):
                await self._wake.wait()

    def _lift_bounds(self) -> None:
        """Try again whether those that were at their quota still are: their runs end at other listeners too."""
        if self._clock.monotonic() >= self._bounded_until:
            self._bounded_until = math.inf
            self._ready.holdings.unbind()

    def _take_batch(self) -> list[Job]:
        batch = self._ready.take(self._free_slots(), self._batch_size, self._clock.monotonic())
        self._claimer.begin(batch)
        return batch

    def granted(self, claimed: Claimed, requested_at: float) -> None:
        """Stop what the granted runs replace, and start them, except those that are held already."""
        self._runs.cancel(claimed.stopped, OVERLAP)  # the notification of it may come later
        for run in claimed.runs:
            if self._runs.find((run.execution_id, run.fence)):
                continue  # granted before and held already
            claimed_run = self._executor.prepare(run)
            claimed_run.trusted_since = requested_at
            self._runs.add(claimed_run)
            self._executing += 1
            self._ready.holdings.hold(run.parties)
            self._start_run(claimed_run)
        for party in claimed.bounded:
            self._ready.holdings.bound(party)
            self._bounded_until = min(self._bounded_until, self._clock.monotonic() + BOUNDED_SECONDS)
        if self._draining:  # granted too late: another listener should have it at once
            self._runs.cancel([run.execution_id for run in claimed.runs], SHUTDOWN)

    async def execute(self, claimed_run: ClaimedRun) -> None:
        """Wait for the run's time, run it, and pass its report on."""
        try:
            if claimed_run.run.start_at > self._clock.now() and claimed_run.cancelled is None:
                with anyio.CancelScope() as waiting:
                    claimed_run.runs_in(waiting)  # a run that is cancelled before its time ends at once
                    await self._clock.sleep_until(claimed_run.run.start_at)
            if self._clock.monotonic() > claimed_run.trusted_since + self._trusted_seconds:
                claimed_run.cancel(LEASE_LOST)  # the answer was late, or this machine slept: another one may run it
            report = await self._executor.execute(claimed_run)
        except BaseException as error:  # the handler has done something to its task
            self._end(claimed_run, self._executor.lost(claimed_run, error))
            raise
        self._end(claimed_run, report)

    def abandon_stuck(self) -> None:
        """Report the runs whose handlers did not stop in time; each keeps its place until it ends."""
        for claimed_run, report in self._executor.stuck():
            self._abandoned += 1
            self._pass_on(claimed_run, report)

    def _end(self, claimed_run: ClaimedRun, report: Report | None = None) -> None:
        """Free the place of a run whose task has ended; a task without a report was broken by its handler."""
        if claimed_run.ended:
            return
        claimed_run.ended = True
        if claimed_run.reported:
            self._abandoned -= 1
        else:
            self._pass_on(claimed_run, report or self._executor.lost(claimed_run))
        self._executing -= 1
        self._ready.holdings.release(claimed_run.run.parties)
        self._wake.set()

    def _pass_on(self, claimed_run: ClaimedRun, report: Report) -> None:
        """Report a run once; if its report cannot be handled, report that."""
        claimed_run.reported = True
        try:
            self._sink.add(claimed_run.run, report)
        except Exception as fault:  # noqa: BLE001 - it would end the stage, or be lost with the run's task
            self._log.error(Event.RUN_UNREPORTED, execution_id=report.execution_id, exc_info=fault)
            error = f"the outcome could not be worked on: {type(fault).__name__}: {fault}"
            try:
                self._sink.add(claimed_run.run, replace(report, outcome=Failed(error, "unwritable", retryable=False)))
            except Exception:  # noqa: BLE001 - as above; its lease runs out
                self._runs.remove(claimed_run.run.execution_id)
