"""What this listener knows of the near future: the jobs within the horizon, and the wheel that says which is next.

Takes jobs as the database has them. Gives those whose time has come. Guarantees that a job is there at most once, at
its present time; being stale costs a refused claim, never a wrong run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from listener.clock import milliseconds
from listener.wheel.timer_wheel import TimerWheel

if TYPE_CHECKING:
    from datetime import datetime

    from listener.domain.job import Job
    from listener.ports import Clock

LONGEST_WAIT_SECONDS = 1.0
"""The clock is an estimate: a wait that was computed from it may have become wrong meanwhile."""

SLACK_SHARE = 5
"""A fifth more ahead of its time may a job be given out, so that one claim goes for all that are due about then."""


class Agenda:
    """Jobs by id, armed in the wheel at the time to claim them.

    Args:
        clock: the database's.
        ahead_ms: how long before its time a job is given out at the latest.
    """

    def __init__(self, clock: Clock, ahead_ms: int) -> None:
        self._clock, self._ahead_ms, self._slack_ms = clock, ahead_ms, max(1, ahead_ms // SLACK_SHARE)
        self._jobs: dict[int, Job] = {}
        self._wheel: TimerWheel[int] = TimerWheel(milliseconds(clock.now()))
        self._changed = anyio.Event()

    def __len__(self) -> int:
        """How many jobs are armed."""
        return len(self._jobs)

    def __contains__(self, job_id: object) -> bool:
        """Whether the job is armed."""
        return job_id in self._jobs

    def find(self, job_id: int) -> Job | None:
        """Give the job as it is armed."""
        return self._jobs.get(job_id)

    def arm(self, job: Job, at: datetime) -> None:
        """Give `job` out when `at` is near, with others of that moment; an earlier arming of it is forgotten."""
        when = milliseconds(at) - self._ahead_ms
        self._arm(job, when - when % self._slack_ms)

    def arm_again(self, job: Job, at: datetime, pause_ms: int) -> None:
        """Arm a job that was refused just now: after a pause if it is due, and not at once if it is near."""
        when, now = milliseconds(at), milliseconds(self._clock.now())
        if when <= now:
            when = now + pause_ms
        elif when - self._ahead_ms > now:
            when -= self._ahead_ms
        self._arm(job, when)

    def put_off(self, job: Job, until: datetime) -> None:
        """Give a job out again at `until`, not ahead of it and not a part of a millisecond before."""
        self._arm(job, milliseconds(until) + 1)

    def _arm(self, job: Job, when: int) -> None:
        before = self._wheel.next_expiration()
        when = max(0, when)
        self._jobs[job.id] = job
        self._wheel.arm(job.id, when)
        if before is None or when < before:
            self._changed.set()

    def disarm(self, job_id: int) -> None:
        """Forget the job."""
        if self._jobs.pop(job_id, None) is not None:
            self._wheel.disarm(job_id)

    def take_due(self) -> list[Job]:
        """Take out the jobs whose time is near, earliest first."""
        due = self._wheel.advance(milliseconds(self._clock.now()))
        return [self._jobs.pop(job_id) for job_id in due]

    def next_due(self) -> int | None:
        """Milliseconds since 1970 of the next moment at which something has to be done."""
        return self._wheel.next_expiration()

    async def wait(self) -> None:
        """Return when something may be due: at the wheel's next expiration, or when an earlier job was armed."""
        self._changed = anyio.Event()
        expiration = self._wheel.next_expiration()
        if expiration is None:
            await self._changed.wait()
            return
        # Not before the millisecond is over: the wheel counts whole ones.
        left = expiration / 1000 - self._clock.now().timestamp()
        with anyio.move_on_after(min(max(0, left), LONGEST_WAIT_SECONDS)):
            await self._changed.wait()
