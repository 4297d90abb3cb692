"""The recorder writes the progress and log lines of runs while they run.

Takes the runs that are held. Gives their notes to the ledger, at most once a second. Guarantees
that lines keep their order; a note that could not be written goes with the next batch, or with the end of the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass
class _Later:
    """Notes that wait for the next time, and their runs: later notes of these wait behind their earlier ones."""

    notes: list[Note] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    fault: StoreError | None = None

    def add(self, part: list[Note], fault: StoreError) -> None:
        """Let notes wait for which a fault is no reason to drop them."""
        self.notes += part
        self.runs.update(note.execution_id for note in part)
        self.fault = fault


class Recorder:
    """Collects notes and writes them together.

    Args:
        store: where notes are written.
        runs: the runs that this listener holds.
    """

    def __init__(self, store: LeaseStore, runs: HeldRuns) -> None:
        self._store, self._runs = store, runs
        self._reported: dict[str, tuple[float | None, str | None]] = {}
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
        count, later = len(self._waiting), _Later()
        while self._waiting:
            await self._write(take_batch(self._waiting, MAX_KEPT), later)
        self._waiting[:0] = later.notes
        if later.fault is not None:
            raise later.fault
        return count

    async def _write(self, batch: list[Note], later: _Later) -> None:
        """Write notes. Of a batch that is refused all are written but the faulty ones, which wait or are dropped."""

        async def send(part: list[Note]) -> None:
            if later.fault is not None and not later.fault.split_batch:
                raise later.fault  # not caused by a note, so that the other parts would fail too
            free = [note for note in part if note.execution_id not in later.runs]
            if free:
                later.runs |= await self._store.note(free)

        async for part, fault in in_parts(batch, send):
            if fault is None:
                later.notes += [note for note in part if note.execution_id in later.runs]
            elif fault.split_batch and not fault.retryable:
                self._log.error(Event.NOTES_REFUSED, execution_id=part[0].execution_id, error=str(fault))
            else:
                later.add(part, fault)

    def _collect(self) -> list[Note]:
        notes = []
        reported = {execution_id: (run.progress, run.step) for execution_id, run in self._runs.items()}
        for execution_id, claimed_run in self._runs.items():
            progress, step = reported[execution_id]
            before = self._reported.get(execution_id, (None, None))
            logs = claimed_run.take_logs()
            if logs or (progress, step) != before:
                new_step = step if step != before[1] else None
                notes.append(Note(execution_id, progress, logs, claimed_run.run.fence, new_step))
        self._reported = reported
        return notes
