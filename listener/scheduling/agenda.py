"""The agenda holds the jobs within the horizon, and the timer wheel that finds the next one.

Takes jobs as the database has them. Gives those whose time has come. Guarantees that it holds a job at most once, at
its present time; an outdated entry costs a refused claim, never a wrong run.
"""

from __future__ import annotations

import heapq
from itertools import islice, takewhile
from typing import TYPE_CHECKING

import anyio

from listener.clock import milliseconds
from listener.domain.shares import Shares
from listener.wheel.timer_wheel import TimerWheel

if TYPE_CHECKING:
    from datetime import datetime

    from listener.domain.job import Job
    from listener.ports import Clock

LONGEST_WAIT_SECONDS = 1.0
"""The clock is an estimate that may be corrected during a wait, so that no wait is longer."""

STEP_MS = 50
"""Between two looks at jobs that are set aside; jobs of others are put off to multiples of it, for one request."""

SLACK_SHARE = 5
"""A job may be given out earlier by this part of `ahead_ms`, so that one claim request takes all jobs of that time."""


class Agenda:
    """Jobs by id, armed in the wheel at the time to claim them.

    Args:
        clock: the database's.
        ahead_ms: a job is given out at least so long before its time.
        shares: counts the armed jobs.
    """

    def __init__(self, clock: Clock, ahead_ms: int, shares: Shares | None = None) -> None:
        self.shares = shares or Shares()
        self._clock, self._ahead_ms, self._slack_ms = clock, ahead_ms, max(1, ahead_ms // SLACK_SHARE)
        self._jobs: dict[int, Job] = {}
        self._aside: dict[int, int] = {}  # of the jobs those that wait outside of the wheel, and since when
        self._wheel: TimerWheel[int] = TimerWheel(milliseconds(clock.now()))
        self._changed = anyio.Event()

    def __len__(self) -> int:
        """How many jobs are armed."""
        return len(self._jobs)

    def __contains__(self, job_id: object) -> bool:
        """Whether the job is armed."""
        return job_id in self._jobs

    @property
    def aside(self) -> int:
        """How many jobs are set aside."""
        return len(self._aside)

    def find(self, job_id: int) -> Job | None:
        """Give the job as it is armed."""
        return self._jobs.get(job_id)

    def arm(self, job: Job, at: datetime) -> None:
        """Arm `job`: it is given out when `at` is near, with others of that moment. It replaces an earlier entry."""
        when = milliseconds(at) - self._ahead_ms
        self._arm(job, when - when % self._slack_ms)

    def arm_again(self, job: Job, at: datetime, pause_ms: int) -> None:
        """Arm a job whose claim was just refused: after a pause if it is due, and not at once if it is near."""
        when, now = milliseconds(at), milliseconds(self._clock.now())
        if when <= now:
            when = now + pause_ms
        elif when - self._ahead_ms > now:
            when -= self._ahead_ms
        self._arm(job, when)

    def put_off(self, job: Job, until: datetime) -> None:
        """Arm a job to be given out at `until`, never before."""
        self._arm(job, milliseconds(until) + 1)

    def set_aside(self, job: Job) -> None:
        """Hold a job that was just given out, and that other listeners were to claim, until `take_aside`."""
        self.shares.enter(job)
        self._jobs[job.id] = job
        self._aside[job.id] = milliseconds(self._clock.now())

    def take_aside(self, most: int, seconds: float) -> list[Job]:
        """Remove and return the first jobs set aside: so many, and all that were so long ago."""
        before = milliseconds(self._clock.now()) - seconds * 1000
        taken = list(islice(self._aside, most))
        taken += takewhile(lambda each: self._aside[each] <= before, islice(self._aside, most, None))
        jobs = [self._jobs.pop(each) for each in taken]
        for job in jobs:
            del self._aside[job.id]
            self.shares.leave(job)
        return jobs

    def hasten(self) -> None:
        """Give out at their time, or now, the jobs that wait for other listeners."""
        for job in [job for job in self._jobs.values() if job.turn]:
            self.arm(job, job.next_run_at or self._clock.now())

    def _arm(self, job: Job, when: int) -> None:
        before = self._wheel.next_expiration()
        when = max(0, when)
        if job.id not in self._jobs:
            self.shares.enter(job)
        self._jobs[job.id] = job
        self._aside.pop(job.id, None)
        self._wheel.arm(job.id, when)
        if before is None or when < before:
            self._changed.set()

    def disarm(self, job_id: int) -> None:
        """Remove the job."""
        job = self._jobs.pop(job_id, None)
        if job is not None:
            self.shares.leave(job)
            if self._aside.pop(job_id, None) is None:
                self._wheel.disarm(job_id)

    def take_due(self) -> list[Job]:
        """Remove and return the jobs whose time is near, earliest first."""
        due = [self._jobs.pop(job_id) for job_id in self._wheel.advance(milliseconds(self._clock.now()))]
        for job in due:
            self.shares.leave(job)
        return due

    def next_due(self) -> int | None:
        """Milliseconds since 1970 of the next moment at which a job may be due."""
        return self._wheel.next_expiration()

    def upcoming(self, most: int) -> list[Job]:
        """Return the jobs that are due next, earliest first, at most so many; it reads all of them."""
        return heapq.nsmallest(most, self._jobs.values(), key=lambda job: job.next_run_at or self._clock.now())

    async def wait(self) -> None:
        """Return when a job may be due: at the wheel's next expiration, or when an earlier job was armed.

        While jobs are set aside, return after a moment.
        """
        self._changed = anyio.Event()
        expiration = self._wheel.next_expiration()
        if self._aside:
            soon = milliseconds(self._clock.now()) + STEP_MS
            expiration = soon if expiration is None else min(expiration, soon)
        if expiration is None:
            await self._changed.wait()
            return
        # Not before the millisecond is over: the wheel counts whole ones.
        left = expiration / 1000 - self._clock.now().timestamp()
        with anyio.move_on_after(min(max(0, left), LONGEST_WAIT_SECONDS)):
            await self._changed.wait()
