"""The completer writes run results in batches.

Takes reports. Gives final ledger rows and updated jobs. Guarantees that it keeps each report until the database accepts
or refuses it, and that one report that the database cannot take does not delay the others.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.execution.run_result import UNWRITABLE, run_result_of, unwritable
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.domain.job import Run
    from listener.domain.messages import RunResult
    from listener.domain.outcome import Report
    from listener.ports import JobStore
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
        written: called when fewer run results wait.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        store: JobStore,
        runs: HeldRuns,
        reconciler: Reconciler,
        jitter: Callable[[], float],
        batch_size: int,
        *,
        written: Callable[[], None],
    ) -> None:
        self._store, self._runs, self._reconciler = store, runs, reconciler
        self._jitter, self._batch_size, self._written = jitter, batch_size, written
        self._waiting: list[RunResult] = []
        self._in_flight = self._resting = 0
        self._unwritten = 0
        self._fault = ""
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
        batch = self._waiting[: self._batch_size]
        del self._waiting[: self._batch_size]
        return batch

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
        """Write a batch; if the database refuses it, split it until the faulty run result stands alone."""
        parts, pause = deque([batch]), FIRST_PAUSE_SECONDS
        held_up: deque[list[RunResult]] = deque()
        while parts or held_up:
            if not parts:
                await self._rest(held_up, pause, aside=True)
                parts, held_up, pause = held_up, deque(), min(pause * 2, MAX_PAUSE_SECONDS)
            part = parts.popleft()
            try:
                finished = await self._store.finish(part)
            except StoreError as fault:
                self._fault = str(fault)
                if fault.split_batch and len(part) > 1:
                    middle = len(part) // 2
                    parts += [part[:middle], part[middle:]]
                elif fault.split_batch and fault.retryable:
                    held_up.append(part)  # its row is locked: other batches go first
                elif fault.split_batch:
                    parts += self._reduced(part[0], fault)
                else:  # not caused by a row: credentials, permissions or network
                    parts.append(part)
                    pause = MAX_PAUSE_SECONDS if fault.needs_operator else pause
                    await self._rest(parts, pause, aside=False)
                    pause = min(pause * 2, MAX_PAUSE_SECONDS)
            else:
                self._let_go(part, finished.taken)
                self._reconciler.apply(finished.jobs)

    async def _rest(self, parts: deque[list[RunResult]], seconds: float, *, aside: bool) -> None:
        """Pause before these are tried again; with `aside`, other batches are written meanwhile."""
        self._log.warning(Event.REPORT_DELAYED, run_results=sum(map(len, parts)), error=self._fault)
        step = 1 if aside and self._resting < MAX_RESTING else 0
        self._in_flight -= step
        self._resting += step
        self._wake.set()
        try:
            await anyio.sleep(seconds)
        finally:
            self._in_flight += step
            self._resting -= step

    def _reduced(self, run_result: RunResult, fault: StoreError) -> list[list[RunResult]]:
        """Return a reduced form of a run result that the database refuses, as the parts to write."""
        if run_result.reason != UNWRITABLE:
            return [[unwritable(run_result, fault)]]
        # Not even the reduced form can be written: the lease will expire, and the rescuer ends the run.
        self._log.error(Event.REPORT_REFUSED, execution_id=run_result.execution_id, error=str(fault))
        self._let_go([run_result], frozenset({run_result.execution_id}))
        return []

    def _let_go(self, batch: list[RunResult], taken: frozenset[str]) -> None:
        for run_result in batch:
            self._runs.remove(run_result.execution_id, run_result.fence)
            if run_result.execution_id not in taken:
                # Another listener, or an earlier try of this request, has ended the run before.
                self._log.info(Event.REPORT_REFUSED, execution_id=run_result.execution_id, status=run_result.status)
        self._unwritten -= len(batch)
        self._written()
