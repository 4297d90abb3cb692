"""The completer writes how attempts ended, in batches.

Takes reports. Gives final ledger rows and jobs moved on. Guarantees that a report is kept until the database has taken
or refused it, and that one that the database cannot take does not hold up the others.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.execution.run_result import UNWRITABLE, ending_of, unwritable
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.domain.job import Run
    from listener.domain.messages import Ending
    from listener.domain.outcome import Report
    from listener.ports import JobStore
    from listener.runs.held_runs import Runs
    from listener.scheduling.reconciler import Reconciler

WRITES_IN_FLIGHT = 2
MAX_RESTING = 8
"""Batches that may wait beside those in flight, because of a row that somebody has locked; more tell of overload."""
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.1, 10.0


class Completer:
    """Collects endings while a batch is being written, and writes them together.

    Args:
        store: where endings are written.
        runs: lets go of what is written.
        reconciler: takes jobs that have to be armed again.
        jitter: numbers from 0 to 1 that spread retries.
        batch_size: how many endings go in one request.
        written: told when fewer endings wait.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        store: JobStore,
        runs: Runs,
        reconciler: Reconciler,
        jitter: Callable[[], float],
        batch_size: int,
        *,
        written: Callable[[], None],
    ) -> None:
        self._store, self._runs, self._reconciler = store, runs, reconciler
        self._jitter, self._batch_size, self._written = jitter, batch_size, written
        self._waiting: list[Ending] = []
        self._in_flight = self._resting = 0
        self._unwritten = 0
        self._fault = ""
        self._wake = anyio.Event()
        self._log = structlog.get_logger("completer")

    @property
    def unwritten(self) -> int:
        """Endings that the database has not answered yet."""
        return self._unwritten

    def add(self, run: Run, report: Report) -> None:
        """Take the end of an attempt."""
        self.put(ending_of(run, report, self._jitter()))

    def put(self, ending: Ending) -> None:
        """Take an ending that is decided already."""
        self._waiting.append(ending)
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
        """Write one batch; tells how many endings it was."""
        batch = self._take_batch()
        await self._write(batch)
        return len(batch)

    def _take_batch(self) -> list[Ending]:
        batch = self._waiting[: self._batch_size]
        del self._waiting[: self._batch_size]
        return batch

    async def _write_and_release(self, batch: list[Ending]) -> None:
        try:
            await self._write(batch)
        except BaseException:  # the stage ends: its next start writes what this one has not
            self._waiting += [ending for ending in batch if self._runs.find((ending.execution_id, ending.fence))]
            raise
        finally:
            self._in_flight -= 1
            self._wake.set()

    async def _write(self, batch: list[Ending]) -> None:
        """Write a batch; one that the database cannot take is split until the guilty ending stands alone."""
        parts, pause = deque([batch]), FIRST_PAUSE_SECONDS
        held_up: deque[list[Ending]] = deque()
        while parts or held_up:
            if not parts:
                await self._rest(held_up, pause, aside=True)
                parts, held_up, pause = held_up, deque(), min(pause * 2, MAX_PAUSE_SECONDS)
            part = parts.popleft()
            try:
                finished = await self._store.finish(part)
            except StoreError as fault:
                self._fault = str(fault)
                if fault.shrink and len(part) > 1:
                    middle = len(part) // 2
                    parts += [part[:middle], part[middle:]]
                elif fault.shrink and fault.retryable:
                    held_up.append(part)  # its row is locked: the others go first
                elif fault.shrink:
                    parts += self._reduced(part[0], fault)
                else:  # no ending is to blame: a key, a right, the network
                    parts.append(part)
                    pause = MAX_PAUSE_SECONDS if fault.alarm else pause
                    await self._rest(parts, pause, aside=False)
                    pause = min(pause * 2, MAX_PAUSE_SECONDS)
            else:
                self._let_go(part, finished.taken)
                self._reconciler.apply(finished.jobs)

    async def _rest(self, parts: deque[list[Ending]], seconds: float, *, aside: bool) -> None:
        """Wait before these are tried again; `aside`, without keeping others from writing."""
        self._log.warning(Event.REPORT_DELAYED, endings=sum(map(len, parts)), error=self._fault)
        step = 1 if aside and self._resting < MAX_RESTING else 0
        self._in_flight -= step
        self._resting += step
        self._wake.set()
        try:
            await anyio.sleep(seconds)
        finally:
            self._in_flight += step
            self._resting -= step

    def _reduced(self, ending: Ending, fault: StoreError) -> list[list[Ending]]:
        """Give what can still be said of an ending that the database refuses, as the parts to write."""
        if ending.reason != UNWRITABLE:
            return [[unwritable(ending, fault)]]
        # Not even the bare fault can be written: the lease will run out, and the rescuer ends the run.
        self._log.error(Event.REPORT_REFUSED, execution_id=ending.execution_id, error=str(fault))
        self._let_go([ending], frozenset({ending.execution_id}))
        return []

    def _let_go(self, batch: list[Ending], taken: frozenset[str]) -> None:
        for ending in batch:
            self._runs.remove(ending.execution_id, ending.fence)
            if ending.execution_id not in taken:
                # Another listener, or an earlier try of this very request, has ended the run before.
                self._log.info(Event.REPORT_REFUSED, execution_id=ending.execution_id, status=ending.status)
        self._unwritten -= len(batch)
        self._written()
