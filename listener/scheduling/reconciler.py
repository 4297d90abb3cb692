"""The reconciler brings the agenda in line with the rows. It is level-based: only a row's present state matters.

Takes jobs as the database has them, in any order and any number of times. Gives armed jobs, jobs to plan, and stops to
runs whose job was cancelled, deleted or moved. Guarantees that an older revision never undoes a newer one.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from listener.domain.job import HINTED
from listener.domain.status import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from listener.domain.job import Job, Run
    from listener.domain.messages import ClaimRequest
    from listener.ports import Clock
    from listener.runs.held_runs import HeldRuns
    from listener.scheduling.agenda import Agenda
    from listener.scheduling.planner import Planner

REMEMBERED = 20_000
"""Revisions remembered, to recognise repeated rows; forgetting one costs an unneeded read of the row."""
AT_ONCE = timedelta(seconds=1)
"""A job that a channel announces is claimed without a poll if it is due by then."""
REFUSED_PAUSE_MS = 250
"""Pause after a refused claim: the row was locked, its key taken, or the claim came too early."""
TURN_PAUSE_MS = 20
"""Pause of a job with many missed instants between two steps of settling them, so that other jobs go first."""

T = TypeVar("T")


class Reconciler:
    """Takes rows, and arms jobs.

    Args:
        agenda: the armed jobs.
        planner: takes jobs that have no due instant.
        runs: the runs that this listener holds.
        clock: the database's.
        horizon: how far ahead jobs are armed.
        handlers: the names of the handlers that this listener has; only their jobs are armed. None: any.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the composition root names each
        self,
        agenda: Agenda,
        planner: Planner,
        runs: HeldRuns,
        clock: Clock,
        horizon: timedelta,
        handlers: Iterable[str] | None = None,
    ) -> None:
        self._agenda, self._planner, self._runs, self._clock = agenda, planner, runs, clock
        self._handlers = None if handlers is None else {None, *handlers}
        self._revisions: OrderedDict[int, int] = OrderedDict()
        self._answered: OrderedDict[int, float] = OrderedDict()
        self.armed_until = self.complete_until = clock.now() + horizon

    def apply(self, jobs: Iterable[Job], requested_at: float | None = None, *, listed: bool = False) -> None:
        """Apply rows.

        Args:
            jobs: the rows.
            requested_at: for rows that were only read, the monotonic time before the read. If this listener has
                written such a row since, the answer to that write is newer.
            listed: whether the database chose these rows to be kept.
        """
        for job in jobs:
            if self._is_news(job, requested_at):
                self._settle(job, listed=listed)

    def announce(self, job: Job) -> bool:
        """Have a job claimed at once that a channel reports as due. The claim decides, and nothing of it is kept.

        Returns whether that is all: a job that is not due, or that differs from the armed one, needs a poll.
        """
        if self.knows(job.id, job.revision) or not self._is_ours(job):
            return True
        armed, now = self._agenda.find(job.id), self._clock.now()
        if armed is not None:
            return armed.next_run_at == job.next_run_at
        is_due = job.next_run_at is not None and job.next_run_at <= now + AT_ONCE
        if job.next_run_at is None or not is_due or not self._agenda.shares.admits(job, now, listed=False):
            return False
        self._agenda.arm(replace(job, revision=HINTED), job.next_run_at)
        return True

    def granted(self, runs: Iterable[Run]) -> None:
        """Note claimed jobs that only a channel had named: an echo, or a page read before, is no news."""
        for run in runs:
            if not self.knows(run.job_id, run.revision):
                self._remember(self._revisions, run.job_id, run.revision)
                self._remember(self._answered, run.job_id, self._clock.monotonic())

    def arm(self, job: Job) -> None:
        """Arm a job whose next instant this listener has just written."""
        self._remember(self._answered, job.id, self._clock.monotonic())
        self._arm(job)

    def _arm(self, job: Job, *, listed: bool = False) -> None:
        """Arm a job that is near, unless memory is full and its party has its share: a list brings it later."""
        if job.next_run_at is None or job.next_run_at > self.armed_until or not self._is_ours(job):
            self._agenda.disarm(job.id)
        elif job.id in self._agenda or self._agenda.shares.admits(job, self._clock.now(), listed=listed):
            self._agenda.arm(job, job.next_run_at)
        else:
            self.complete_until = min(self.complete_until, job.next_run_at)

    def _is_ours(self, job: Job) -> bool:
        return self._handlers is None or job.handler in self._handlers

    def knows(self, job_id: int, revision: int) -> bool:
        """Whether this revision of the job, or a newer one, was applied."""
        return self._revisions.get(job_id, -1) >= revision

    def forget(self, job_ids: Iterable[int]) -> None:
        """Remove deleted jobs."""
        for job_id in job_ids:
            self._agenda.disarm(job_id)
            self._revisions.pop(job_id, None)
            self._answered.pop(job_id, None)
            self._runs.cancel_job(job_id, "deleted")

    def explain(self, job: Job, why: Exception) -> None:
        """Have the planner report why the next due instants of a job cannot be computed."""
        if job.trigger is not None:
            self._planner.explain(job, why)

    def refused(
        self, jobs: Iterable[Job], claims: Mapping[int, ClaimRequest] | None = None, *, at_once: bool = False
    ) -> None:
        """Apply the present state of jobs that could not be claimed; those still due are tried again after a pause.

        They are tried again `at_once` if only the size of the answer excluded them.
        A job that was claimed only to settle a part of its missed instants lets others go first, then is claimed again.
        """
        for job in jobs:
            if not self._is_news(job, None):
                continue
            self._settle(job)
            if job.next_run_at is not None and job.id in self._agenda:
                claim = claims.get(job.id) if claims else None
                has_moved = claim is not None and claim.missed is not None and claim.next_due == job.due_at
                if has_moved and job.next_run_at <= self._clock.now():
                    job.waits_since = self._clock.now()
                pause_ms = 0 if at_once else TURN_PAUSE_MS if has_moved else REFUSED_PAUSE_MS
                self._agenda.arm_again(job, job.next_run_at, pause_ms)

    def _is_news(self, job: Job, requested_at: float | None) -> bool:
        """Whether the row is not older than the known revision; remembers its revision."""
        known = self._revisions.get(job.id, -1)
        if known > job.revision:
            return False
        if requested_at is None:
            self._remember(self._answered, job.id, self._clock.monotonic())
        elif known == job.revision and self._answered.get(job.id, -math.inf) >= requested_at:
            return False
        self._remember(self._revisions, job.id, job.revision)
        return True

    @staticmethod
    def _remember(memory: OrderedDict[int, T], job_id: int, what: T) -> None:
        memory[job_id] = what
        memory.move_to_end(job_id)
        if len(memory) > REMEMBERED:
            memory.popitem(last=False)

    def _settle(self, job: Job, *, listed: bool = False) -> None:
        if job.status == JobStatus.CANCELLED:
            self._runs.cancel_job(job.id, "cancelled", job.revision)
        elif job.status == JobStatus.RUNNING:
            self._runs.withdraw_edited(job)
        if job.unplanned:
            self._planner.add(job)
        else:
            self._planner.forget(job.id)
        self._arm(job, listed=listed)
