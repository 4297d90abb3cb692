"""The runs on which this listener holds a claim, from the claim until their result is written."""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from listener.domain.job import Job
    from listener.domain.messages import Held
    from listener.runs.claimed_run import ClaimedRun

EDITED = "edited"
REMEMBERED_STOPS = 1_000
"""Stopped jobs whose claims may have been under way: many more than are claimed at a time."""


class HeldRuns:
    """Claimed runs by execution id, and by job."""

    def __init__(self) -> None:
        self._claimed_runs: dict[str, ClaimedRun] = {}
        self._by_job: dict[int, set[str]] = {}
        self._stopped: OrderedDict[int, tuple[int, str]] = OrderedDict()

    def __len__(self) -> int:
        """How many runs are held."""
        return len(self._claimed_runs)

    def __contains__(self, execution_id: object) -> bool:
        """Whether the run is held."""
        return execution_id in self._claimed_runs

    def items(self) -> Iterable[tuple[str, ClaimedRun]]:
        """Return every run held, by execution id."""
        return self._claimed_runs.items()

    @property
    def execution_ids(self) -> list[str]:
        """The executions held now."""
        return list(self._claimed_runs)

    @property
    def held(self) -> list[Held]:
        """The claims held now, those first whose last confirmation is oldest."""
        confirmed = sorted(self._claimed_runs.items(), key=lambda held: held[1].trusted_since)
        return [(execution_id, claimed_run.run.fence) for execution_id, claimed_run in confirmed]

    def find(self, held: Held) -> ClaimedRun | None:
        """Return the run of exactly this claim, if it is still held."""
        claimed_run = self._claimed_runs.get(held[0])
        return claimed_run if claimed_run is not None and claimed_run.run.fence == held[1] else None

    def add(self, claimed_run: ClaimedRun) -> None:
        """Hold a run that was claimed."""
        run = claimed_run.run
        self._claimed_runs[run.execution_id] = claimed_run
        self._by_job.setdefault(run.job_id, set()).add(run.execution_id)
        if run.job_id in self._stopped:
            revision, reason = self._stopped[run.job_id]
            self._stop(claimed_run, revision, reason)

    def remove(self, execution_id: str, fence: int | None = None) -> None:
        """Release a run whose result was written; with a fence, unless a later claim holds it."""
        claimed_run = self._claimed_runs.get(execution_id)
        if claimed_run is None or fence not in {None, claimed_run.run.fence}:
            return
        del self._claimed_runs[execution_id]
        of_job = self._by_job[claimed_run.run.job_id]
        of_job.discard(execution_id)
        if not of_job:
            del self._by_job[claimed_run.run.job_id]

    def cancel_job(self, job_id: int, reason: str, revision: int = sys.maxsize) -> None:
        """Stop every run of a job that was claimed before `revision`, started or not, or about to be granted."""
        self._remember_stop(job_id, revision, reason)
        for execution_id in self._by_job.get(job_id, ()):
            self._stop(self._claimed_runs[execution_id], revision, reason)

    def trust(self, claims: Iterable[Held], since: float) -> None:
        """Note that these claims were valid at the request of `since`."""
        for claimed_run in filter(None, map(self.find, claims)):
            claimed_run.trusted_since = since

    def trusted_before(self, instant: float) -> list[Held]:
        """Return the claims last confirmed before `instant`, of runs that were not stopped yet."""
        return [
            (execution_id, claimed_run.run.fence)
            for execution_id, claimed_run in self._claimed_runs.items()
            if claimed_run.trusted_since < instant and claimed_run.cancelled is None
        ]

    def lose(self, claims: Iterable[Held], reason: str) -> int:
        """Stop the runs of these claims; returns how many were held."""
        lost = list(filter(None, map(self.find, claims)))
        for claimed_run in lost:
            claimed_run.cancel(reason)
        return len(lost)

    def cancel(self, execution_ids: Iterable[str], reason: str) -> int:
        """Stop these runs; returns how many were held."""
        held = [self._claimed_runs[each] for each in execution_ids if each in self._claimed_runs]
        for claimed_run in held:
            claimed_run.cancel(reason)
        return len(held)

    def withdraw_edited(self, job: Job) -> None:
        """Stop runs that were claimed ahead of time for an instant that their job no longer has.

        While it runs, a one-time job has no due instant and a recurring one has its next: anything else means that the
        schedule was edited since, and what has not started yet must not start.
        """
        if not (job.unplanned or (job.trigger is None and job.due_at is not None)):
            return
        self._remember_stop(job.id, job.revision, EDITED)
        for execution_id in self._by_job.get(job.id, ()):
            self._stop(self._claimed_runs[execution_id], job.revision, EDITED)

    def _remember_stop(self, job_id: int, revision: int, reason: str) -> None:
        """Remember the stop for runs that the database has granted, but whose answer is still under way."""
        self._stopped[job_id] = (revision, reason)
        if len(self._stopped) > REMEMBERED_STOPS:
            self._stopped.popitem(last=False)

    def _stop(self, claimed_run: ClaimedRun, revision: int, reason: str) -> None:
        """Cancel a run that was claimed before; an edit does not stop runs that have started, nor manual runs."""
        run = claimed_run.run
        if run.revision < revision and (
            reason != EDITED or (claimed_run.started_at is None and run.cause == "schedule")
        ):
            claimed_run.cancel(reason)
