"""The runs that this listener holds a claim on, from the claim to the written end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from listener.domain.job import Job
    from listener.pipeline.prepared import Prepared


class Runs:
    """Claimed runs by execution id, and by job."""

    def __init__(self) -> None:
        self._prepared: dict[str, Prepared] = {}
        self._by_job: dict[int, set[str]] = {}

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

    def add(self, prepared: Prepared) -> None:
        """Hold a run that was claimed."""
        run = prepared.run
        self._prepared[run.execution_id] = prepared
        self._by_job.setdefault(run.job_id, set()).add(run.execution_id)

    def remove(self, execution_id: str) -> None:
        """Let go of a run whose end was written."""
        prepared = self._prepared.pop(execution_id, None)
        if prepared is None:
            return
        of_job = self._by_job[prepared.run.job_id]
        of_job.discard(execution_id)
        if not of_job:
            del self._by_job[prepared.run.job_id]

    def cancel_job(self, job_id: int, reason: str) -> None:
        """Stop every run of a job, started or not."""
        for execution_id in self._by_job.get(job_id, ()):
            self._prepared[execution_id].cancel(reason)

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
        edited = job.unplanned or (job.trigger is None and job.due_at is not None)
        for execution_id in self._by_job.get(job.id, ()):
            prepared = self._prepared[execution_id]
            if edited and prepared.started_at is None and job.revision > prepared.run.revision:
                prepared.cancel("edited")
