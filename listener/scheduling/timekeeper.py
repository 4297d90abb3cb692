"""The timekeeper sleeps until the next job is near.

Takes the agenda. Gives jobs to the dispatcher when their time is near: at once if this listener is the first to claim
them, else some moments after their time, when they should have been claimed. Guarantees that no job waits longer than
that, also when the estimate of the database's clock is corrected meanwhile.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from listener.clock import EPOCH
from listener.scheduling.agenda import STEP_MS

if TYPE_CHECKING:
    from datetime import datetime

    from listener.domain.job import Job
    from listener.ports import Clock, JobSink
    from listener.scheduling.agenda import Agenda
    from listener.scheduling.peers import Peers

MOMENT = timedelta(milliseconds=250)
"""How long each listener that comes before this one has for its claim: many round trips."""
STEP = timedelta(milliseconds=STEP_MS)
MOST_AT_ONCE, MOST_STEPS = 100, 40
"""Jobs of others that are tried in a step; of very many, one part in so many."""
CLAIM_SECONDS = 2.0
"""How long claims of very many take at most, where the database is busy."""
PROBE_SECONDS, LONGEST_SECONDS = 2.0, 5.0
"""While this listener claims hundreds of its own at a time, the others do too: it tries theirs only so often, to learn
who sleeps, and each after so long at the latest."""
_MASK, _MIXING = (1 << 32) - 1, (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
"""Odd numbers whose products spread over 32 bits (xxHash's primes): an order of jobs for each turn."""


class Timekeeper:
    """Moves jobs from the agenda to `sink`.

    Args:
        agenda: what is armed.
        sink: receives the jobs whose time is near, earliest first.
        peers: gives this listener's turn at a job.
        clock: the database's.
    """

    def __init__(self, agenda: Agenda, sink: JobSink, peers: Peers, clock: Clock) -> None:
        self._agenda, self._sink, self._peers, self._clock = agenda, sink, peers, clock
        self._suspicions, self._tried_at = 0, 0.0

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._agenda.wait()
            self.run_once()

    def run_once(self) -> int:
        """Give out the jobs that are due now; return their number."""
        if self._suspicions != self._peers.suspicions:
            self._suspicions = self._peers.suspicions
            self._agenda.hasten()
        if not self._agenda.aside:
            self._tried_at = self._clock.monotonic() - STEP.total_seconds()
        due = self._agenda.take_due()
        if due and self._peers.others:
            due = self._without_others(due)
        due += self._of_others()
        if due:
            self._sink.add(due)
        return len(due)

    def _without_others(self, due: list[Job]) -> list[Job]:
        """Put off the jobs that other listeners claim first, and set aside those whose moments have passed.

        The delay depends only on the job and the peers, so that a row that is read repeatedly waits no
        longer for it.
        """
        now, mine = self._clock.now(), []
        theirs: list[Job] = []
        for job in due:
            assert job.next_run_at is not None, "an armed job has a time"  # noqa: S101 - what the reconciler ensures
            job.turn = self._peers.turn(job.id, job.handler)
            if not job.turn:
                mine.append(job)
            elif (until := _next_step(job.next_run_at + job.turn * MOMENT)) > now:
                self._agenda.put_off(job, until)
            else:
                theirs.append(job)
        self._peers.claims(mine, CLAIM_SECONDS)
        # Not in the order in which the others claim them: of one that is slow, what it would claim last is tried first.
        for job in sorted(theirs, key=_mixed):
            self._agenda.set_aside(job)
        return mine

    def _of_others(self) -> list[Job]:
        """Give the jobs of others to be tried now, most of which they have claimed."""
        now, waiting = self._clock.monotonic(), self._agenda.aside
        if not waiting:
            return []
        most = max(MOST_AT_ONCE, waiting // MOST_STEPS) if self._peers.others else waiting
        pause = PROBE_SECONDS if self._peers.are_busy else STEP.total_seconds()
        if now < self._tried_at + pause:
            most = 0
        else:
            self._tried_at = now
        return self._agenda.take_aside(most, LONGEST_SECONDS)


def _next_step(at: datetime) -> datetime:
    return at + (EPOCH - at) % STEP


def _mixed(job: Job) -> int:
    return job.id * _MIXING[job.turn % len(_MIXING)] & _MASK
