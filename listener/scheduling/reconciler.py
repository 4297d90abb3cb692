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
"""Enough to tell an echo from news; forgetting one costs a needless look at the row."""
AT_ONCE = timedelta(seconds=1)
"""What a channel announces is claimed without a look if it is due by then."""
REFUSED_PAUSE_MS = 250
"""How long a refused claim rests: the row was locked, its key taken, or a moment too early."""
TURN_PAUSE_MS = 20
"""How long a job with a long past lets others go first before more of it is settled."""

T = TypeVar("T")


class Reconciler:
    """Rows in, armed jobs out.

    Args:
        agenda: what is armed.
        planner: takes jobs that have no due instant.
        runs: what is claimed or running here.
        clock: the database's.
        horizon: how far ahead jobs are armed.
    """

    def __init__(self, agenda: Agenda, planner: Planner, runs: HeldRuns, clock: Clock, horizon: timedelta) -> None:
        self._agenda, self._planner, self._runs, self._clock = agenda, planner, runs, clock
        self._revisions: OrderedDict[int, int] = OrderedDict()
        self._answered: OrderedDict[int, float] = OrderedDict()
        self.armed_until = self.urgent_until = clock.now() + horizon

    def apply(self, jobs: Iterable[Job], requested_at: float | None = None) -> None:
        """Take rows as they are now.

        Args:
            jobs: the rows.
            requested_at: for rows that were only read, the monotonic time before that began: where this listener has
                written such a row since, the answer to that tells more.
        """
        for job in jobs:
            if self._is_news(job, requested_at):
                self._settle(job)

    def announce(self, job: Job) -> bool:
        """Have a job claimed at once that a channel says is due. The claim decides, and nothing of it is kept.

        Returns whether that is all: what is not due, or differs from what is armed, takes a look at the table.
        """
        if self.knows(job.id, job.revision):
            return True
        armed = self._agenda.find(job.id)
        if armed is not None:
            return armed.next_run_at == job.next_run_at
        if job.next_run_at is None or job.next_run_at > self._clock.now() + AT_ONCE:
            return False
        self._arm(replace(job, revision=HINTED))
        return True

    def granted(self, runs: Iterable[Run]) -> None:
        """Take note of claimed jobs that only a channel had named: an echo, or a page read before, is no news."""
        for run in runs:
            if not self.knows(run.job_id, run.revision):
                self._remember(self._revisions, run.job_id, run.revision)
                self._remember(self._answered, run.job_id, self._clock.monotonic())

    def arm(self, job: Job) -> None:
        """Arm a job whose next instant this listener has just written itself."""
        self._remember(self._answered, job.id, self._clock.monotonic())
        self._arm(job)

    def _arm(self, job: Job) -> None:
        until = self.armed_until if job.priority <= 0 else self.urgent_until
        if job.next_run_at is not None and job.next_run_at <= until:
            self._agenda.arm(job, job.next_run_at)
        else:
            self._agenda.disarm(job.id)

    def knows(self, job_id: int, revision: int) -> bool:
        """Whether this revision of the job, or a newer one, has been seen."""
        return self._revisions.get(job_id, -1) >= revision

    def forget(self, job_ids: Iterable[int]) -> None:
        """Take note of deleted jobs."""
        for job_id in job_ids:
            self._agenda.disarm(job_id)
            self._revisions.pop(job_id, None)
            self._answered.pop(job_id, None)
            self._runs.cancel_job(job_id, "deleted")

    def explain(self, job: Job, why: Exception) -> None:
        """Have it told why the next due instants of a job cannot be computed."""
        if job.trigger is not None:
            self._planner.explain(job, why)

    def refused(self, jobs: Iterable[Job], claims: Mapping[int, ClaimRequest] | None = None) -> None:
        """Take the present state of jobs that could not be claimed; those still due are tried again after a rest.

        One that could, and has only moved on to more of its past, lets others go first and is then asked for again.
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
                self._agenda.arm_again(job, job.next_run_at, TURN_PAUSE_MS if has_moved else REFUSED_PAUSE_MS)

    def _is_news(self, job: Job, requested_at: float | None) -> bool:
        """Whether the row is not older than what is known; remembers it."""
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

    def _settle(self, job: Job) -> None:
        if job.status == JobStatus.CANCELLED:
            self._runs.cancel_job(job.id, "cancelled", job.revision)
        elif job.status == JobStatus.RUNNING:
            self._runs.withdraw_edited(job)
        if job.unplanned:
            self._planner.add(job)
        else:
            self._planner.forget(job.id)
        self._arm(job)
