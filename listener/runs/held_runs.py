"""The runs that this listener holds a claim on, from the claim to the written end."""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from listener.domain.job import Job
    from listener.domain.messages import Held
    from listener.runs.claimed_run import Prepared

EDITED = "edited"
REMEMBERED_STOPS = 1_000
"""Jobs that were stopped while their claims may have been under way: many more than are claimed at a time."""


class Runs:
    """Claimed runs by execution id, and by job."""

    def __init__(self) -> None:
        self._prepared: dict[str, Prepared] = {}
        self._by_job: dict[int, set[str]] = {}
        self._stopped: OrderedDict[int, tuple[int, str]] = OrderedDict()

    def __len__(self) -> int:
        """How many runs are held."""
        return len(self._prepared)

    def __contains__(self, execution_id: object) -> bool:
        """Whether the run is held."""
        return execution_id in self._prepared

    def items(self) -> Iterable[tuple[str, Prepared]]:
        """Give every run held, by execution id."""
        return self._prepared.items()

    @property
    def execution_ids(self) -> list[str]:
        """The executions held now."""
        return list(self._prepared)

    @property
    def held(self) -> list[Held]:
        """The claims held now, those first that were confirmed longest ago."""
        confirmed = sorted(self._prepared.items(), key=lambda held: held[1].trusted_since)
        return [(execution_id, prepared.run.fence) for execution_id, prepared in confirmed]

    def find(self, held: Held) -> Prepared | None:
        """Give the run of this very claim, if it is held still."""
        prepared = self._prepared.get(held[0])
        return prepared if prepared is not None and prepared.run.fence == held[1] else None

    def add(self, prepared: Prepared) -> None:
        """Hold a run that was claimed."""
        run = prepared.run
        self._prepared[run.execution_id] = prepared
        self._by_job.setdefault(run.job_id, set()).add(run.execution_id)
        if run.job_id in self._stopped:
            revision, reason = self._stopped[run.job_id]
            self._stop(prepared, revision, reason)

    def remove(self, execution_id: str, fence: int | None = None) -> None:
        """Let go of a run whose end was written; with a fence, unless it is held by a later claim."""
        prepared = self._prepared.get(execution_id)
        if prepared is None or fence not in {None, prepared.run.fence}:
            return
        del self._prepared[execution_id]
        of_job = self._by_job[prepared.run.job_id]
        of_job.discard(execution_id)
        if not of_job:
            del self._by_job[prepared.run.job_id]

    def cancel_job(self, job_id: int, reason: str, revision: int = sys.maxsize) -> None:
        """Stop every run of a job that was claimed before `revision`, started or not, or about to be granted."""
        self._remember_stop(job_id, revision, reason)
        for execution_id in self._by_job.get(job_id, ()):
            self._stop(self._prepared[execution_id], revision, reason)

    def trust(self, claims: Iterable[Held], since: float) -> None:
        """Note that these claims were good when they were asked for at `since`."""
        for prepared in filter(None, map(self.find, claims)):
            prepared.trusted_since = since

    def trusted_before(self, instant: float) -> list[Held]:
        """Give the claims that were confirmed before `instant` the last time, of runs that were not stopped yet."""
        return [
            (execution_id, prepared.run.fence)
            for execution_id, prepared in self._prepared.items()
            if prepared.trusted_since < instant and prepared.cancelled is None
        ]

    def lose(self, claims: Iterable[Held], reason: str) -> int:
        """Stop the runs of these claims; tells how many were held."""
        lost = list(filter(None, map(self.find, claims)))
        for prepared in lost:
            prepared.cancel(reason)
        return len(lost)

    def cancel(self, execution_ids: Iterable[str], reason: str) -> int:
        """Stop these runs; tells how many were held."""
        held = [self._prepared[each] for each in execution_ids if each in self._prepared]
        for prepared in held:
            prepared.cancel(reason)
        return len(held)

    def withdraw_edited(self, job: Job) -> None:
        """Stop runs that were claimed ahead of time for an instant that their job no longer has.

        While it runs, a one-time job has no due instant and a recurring one has its next: the contrary says that the
        schedule was edited since, and what has not started yet must not start.
        """
        if not (job.unplanned or (job.trigger is None and job.due_at is not None)):
            return
        self._remember_stop(job.id, job.revision, EDITED)
        for execution_id in self._by_job.get(job.id, ()):
            self._stop(self._prepared[execution_id], job.revision, EDITED)

    def _remember_stop(self, job_id: int, revision: int, reason: str) -> None:
        """Keep it for runs that the database has granted, but whose answer is still under way."""
        self._stopped[job_id] = (revision, reason)
        if len(self._stopped) > REMEMBERED_STOPS:
            self._stopped.popitem(last=False)

    def _stop(self, prepared: Prepared, revision: int, reason: str) -> None:
        """Cancel a run that was claimed before; an edit leaves alone what has started, and what somebody asked for."""
        run = prepared.run
        if run.revision < revision and (reason != EDITED or (prepared.started_at is None and run.cause == "schedule")):
            prepared.cancel(reason)
