"""The recorder writes the progress and log lines of runs while they run.

Takes the runs that are held. Gives their notes to the ledger, at most once a second. Guarantees
that lines keep their order; a note that could not be written goes with the next batch, or with the end of the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.domain.messages import Note
from listener.errors import StoreError
from listener.execution.batch_size import take_batch
from listener.execution.in_parts import in_parts
from listener.observability.events import Event

if TYPE_CHECKING:
    from listener.ports import LeaseStore
    from listener.runs.held_runs import HeldRuns

INTERVAL_SECONDS = 1.0
MAX_KEPT = 10_000
"""Notes that may wait for the database; beyond that the oldest are dropped, as the end of a run matters more."""


class Recorder:
    """Collects notes and writes them together.

    Args:
        store: where notes are written.
        runs: the runs that this listener holds.
    """

    def __init__(self, store: LeaseStore, runs: HeldRuns) -> None:
        self._store, self._runs = store, runs
        self._fractions: dict[str, float | None] = {}
        self._waiting: list[Note] = []
        self._log = structlog.get_logger("recorder")

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            await anyio.sleep(INTERVAL_SECONDS)
            try:
                await self.run_once()
            except StoreError as fault:
                self._log.warning(Event.NOTES_DELAYED, notes=len(self._waiting), error=str(fault))

    async def run_once(self) -> int:
        """Write new notes; returns the number of runs that they belong to."""
        self._waiting += self._collect()
        del self._waiting[:-MAX_KEPT]
        if not self._waiting:
            return 0
        count = len(self._waiting)
        while self._waiting:
            await self._write(take_batch(self._waiting, MAX_KEPT))
        return count

    async def _write(self, batch: list[Note]) -> None:
        """Write notes. If the database refuses a batch, all are written but the faulty ones, which wait or are dropped.

        Raises:
            StoreError: some were not written, and wait.
        """
        aside: list[Note] = []
        held = set[str]()  # later notes of these runs wait behind their earlier ones
        delayed: StoreError | None = None

        async def send(part: list[Note]) -> None:
            if delayed is not None and not delayed.split_batch:
                raise delayed  # not caused by a note, so that the other parts would fail too
            free = [note for note in part if note.execution_id not in held]
            if free:
                await self._store.note(free)

        async for part, fault in in_parts(batch, send):
            if fault is None:
                aside += [note for note in part if note.execution_id in held]
            elif fault.split_batch and not fault.retryable:
                self._log.error(Event.NOTES_REFUSED, execution_id=part[0].execution_id, error=str(fault))
            else:
                aside, delayed = aside + part, fault
                held.update(note.execution_id for note in part)
        if delayed is not None:
            self._waiting[:0] = aside
            raise delayed

    def _collect(self) -> list[Note]:
        notes = []
        fractions: dict[str, float | None] = {}
        for execution_id, claimed_run in self._runs.items():
            progress = fractions[execution_id] = claimed_run.progress
            logs = claimed_run.take_logs()
            if logs or progress != self._fractions.get(execution_id):
                notes.append(Note(execution_id, progress, logs, claimed_run.run.fence))
        self._fractions = fractions
        return notes
