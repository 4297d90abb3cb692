"""The completer writes run results in batches.

Takes reports. Gives final ledger rows and jobs moved on. Guarantees that a report is kept until the database has taken
or refused it, that one that the database cannot take does not hold up the others, and that its run does not run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.execution.batch_size import take_batch
from listener.execution.in_parts import in_parts, needs_operator
from listener.execution.run_result import run_result_of, unwritable
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.domain.job import Run
    from listener.domain.messages import RunResult
    from listener.domain.outcome import Report
    from listener.ports import JobSink, JobStore
    from listener.runs.held_runs import HeldRuns
    from listener.scheduling.reconciler import Reconciler

WRITES_IN_FLIGHT = 2
MAX_RESTING = 8
"""Batches that may wait beside those in flight because a row is locked; more mean overload."""
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.1, 10.0


class Completer:
    """Collects run results while a batch is being written, then writes them together.

    Args:
        store: where run results are written.
        runs: releases the runs whose results are written.
        reconciler: applies jobs that have to be armed again.
        jitter: numbers from 0 to 1 that spread retries.
        batch_size: how many run results go in one request.
    """

    upstream: JobSink | None = None
    """Woken when fewer run results wait, because it may have stopped for them."""

    def __init__(
        self,
        store: JobStore,
        runs: HeldRuns,
        reconciler: Reconciler,
        jitter: Callable[[], float],
        batch_size: int,
    ) -> None:
        self._store, self._runs, self._reconciler = store, runs, reconciler
        self._jitter, self._batch_size = jitter, batch_size
        self._waiting: list[RunResult] = []
        self._in_flight = self._resting = 0
        self._unwritten = 0
        self._fault = ""
        self._refusals: dict[object, StoreError] = {}  # of jobs whose runs could not be ended, since one could
        self._to_blame: set[object] = set()  # those of them for which this has shown that an operator is not to act
        self._wake = anyio.Event()
        self._log = structlog.get_logger("completer")

    @property
    def unwritten(self) -> int:
        """The number of run results that the database has not answered yet."""
        return self._unwritten

    def add(self, run: Run, report: Report) -> None:
        """Take the report of an attempt."""
        self.put(run_result_of(run, report, self._jitter()))

    def put(self, run_result: RunResult) -> None:
        """Take a finished run result."""
        self._waiting.append(run_result)
        self._unwritten += 1
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                while not self._waiting or self._in_flight >= WRITES_IN_FLIGHT:
                    self._wake = anyio.Event()
                    await self._wake.wait()
                self._in_flight += 1
                tasks.start_soon(self._write_and_release, self._take_batch())

    async def run_once(self) -> int:
        """Write one batch; returns the number of run results."""
        batch = self._take_batch()
        await self._write(batch)
        return len(batch)

    def _take_batch(self) -> list[RunResult]:
        return take_batch(self._waiting, self._batch_size)

    async def _write_and_release(self, batch: list[RunResult]) -> None:
        try:
            await self._write(batch)
        except BaseException:  # the stage ends; after its restart it writes the rest
            self._waiting += [
                run_result for run_result in batch if self._runs.find((run_result.execution_id, run_result.fence))
            ]
            raise
        finally:
            self._in_flight -= 1
            self._wake.set()

    async def _write(self, batch: list[RunResult]) -> None:
        """Write a batch; results whose rows are locked wait, and are tried again."""
        parts, pause = await self._write_free(batch), FIRST_PAUSE_SECONDS
        while parts:
            await self._rest(sum(map(len, parts)), pause, aside=True)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)
            parts = [locked for part in parts for locked in await self._write_free(part)]

    async def _write_free(self, batch: list[RunResult]) -> list[list[RunResult]]:
        """Write a batch but for run results that have to wait: these it gives back, each as a part of its own."""
        waiting: list[list[RunResult]] = []
        refused: list[tuple[RunResult, StoreError]] = []
        async for part, fault in in_parts(batch, self._finish):
            if fault is not None and fault.retryable:
                waiting.append(part)  # its row is locked: the others go first
            elif fault is not None:
                refused.append((part[0], fault))
        return waiting + (await self._write_reduced(refused) if refused else [])

    async def _write_reduced(self, refused: list[tuple[RunResult, StoreError]]) -> list[list[RunResult]]:
        """Write what can still be said of run results that the database refuses; gives back those that have to wait.

        A run whose bare failure is refused too is parked, unless the runs of several jobs meet the same fault.
        """
        originals = {(each.execution_id, each.fence): each for each, _ in refused}
        waiting: list[list[RunResult]] = []
        hopeless: list[tuple[RunResult, StoreError]] = []
        async for part, fault in in_parts([unwritable(*each) for each in refused], self._finish):
            original = originals[part[0].execution_id, part[0].fence]
            if fault is not None and fault.retryable:
                waiting.append([original])
            elif fault is not None:
                hopeless.append((original, fault))
        self._refusals |= {job: fault for each, fault in hopeless if (job := self._job_of(each)) not in self._to_blame}
        is_general = bool(hopeless) and needs_operator(self._refusals.items())
        if is_general:
            fault = hopeless[-1][1]
            self._log.error(Event.DATABASE_NEEDS_OPERATOR, function=fault.function, code=fault.code, error=str(fault))
        for run_result, fault in hopeless:
            if is_general and self._job_of(run_result) not in self._to_blame:
                waiting.append([run_result])
            else:
                await self._park(run_result, fault)
        return waiting

    async def _finish(self, part: list[RunResult]) -> None:
        """Write a part; wait while a fault lasts that no row causes: credentials, permissions or network.

        Raises:
            StoreError: a row of the part causes it.
        """
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                finished = await self._store.finish(part)
            except StoreError as fault:
                self._fault = str(fault)
                if fault.split_batch:
                    raise
                pause = MAX_PAUSE_SECONDS if fault.needs_operator else pause
                await self._rest(len(part), pause, aside=False)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
            else:
                if finished.taken:
                    self._to_blame |= self._refusals.keys()  # for the database is in order
                    self._refusals.clear()
                self._let_go(part, finished.taken)
                self._reconciler.apply(finished.jobs)
                return

    async def _rest(self, run_results: int, seconds: float, *, aside: bool) -> None:
        """Pause before so many are tried again; with `aside`, other batches are written meanwhile."""
        self._log.warning(Event.REPORT_DELAYED, run_results=run_results, error=self._fault)
        step = 1 if aside and self._resting < MAX_RESTING else 0
        self._in_flight -= step
        self._resting += step
        self._wake.set()
        try:
            await anyio.sleep(seconds)
        finally:
            self._in_flight += step
            self._resting -= step

    async def _park(self, run_result: RunResult, fault: StoreError) -> None:
        """End a run of which not even the bare failure can be written, and let go of it."""
        self._log.error(Event.REPORT_REFUSED, execution_id=run_result.execution_id, error=str(fault))
        try:
            await self._store.park((run_result.execution_id, run_result.fence), str(fault))
        except StoreError as mute:  # the lease will run out, and the rescuer parks it
            self._log.warning(Event.REPORT_REFUSED, execution_id=run_result.execution_id, error=str(mute))
        self._to_blame.discard(self._job_of(run_result))
        self._let_go([run_result], frozenset({run_result.execution_id}))

    def _job_of(self, run_result: RunResult) -> object:
        claimed_run = self._runs.find((run_result.execution_id, run_result.fence))
        return claimed_run.run.job_id if claimed_run is not None else run_result.execution_id

    def _let_go(self, batch: list[RunResult], taken: frozenset[str]) -> None:
        for run_result in batch:
            self._runs.remove(run_result.execution_id, run_result.fence)
            if run_result.execution_id not in taken:
                # Another listener, or an earlier try of this request, has ended the run before.
                self._log.info(Event.REPORT_REFUSED, execution_id=run_result.execution_id, status=run_result.status)
        self._unwritten -= len(batch)
        if self.upstream is not None:
            self.upstream.wake()
