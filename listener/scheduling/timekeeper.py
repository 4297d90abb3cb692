"""The timekeeper sleeps until the next job is near.

Takes the agenda. Gives jobs to the dispatcher when their time is near: at once if this listener is the first to claim
them, else some moments after their time, when they should have been claimed. Guarantees that no job waits longer than
that, also when the estimate of the database's clock is corrected meanwhile.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from listener.domain.job import Job
    from listener.ports import Clock, JobSink
    from listener.scheduling.agenda import Agenda
    from listener.scheduling.peers import Peers

MOMENT = timedelta(milliseconds=250)
"""How long each listener that comes before this one has for its claim: many round trips."""


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

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._agenda.wait()
            self.run_once()

    def run_once(self) -> int:
        """Give out the jobs that are due now; return their number."""
        due = self._agenda.take_due()
        if due and self._peers.others:
            due = self._without_others(due)
        if due:
            self._sink.add(due)
        return len(due)

    def _without_others(self, due: list[Job]) -> list[Job]:
        """Put off the jobs that other listeners claim first.

        The delay depends only on the job and the peers, so that a row that is read repeatedly waits no
        longer for it.
        """
        now, mine = self._clock.now(), []
        for job in due:
            assert job.next_run_at is not None, "an armed job has a time"  # noqa: S101 - what the reconciler ensures
            job.turn = self._peers.turn(job.id, job.handler)
            until = job.next_run_at + job.turn * MOMENT
            if job.turn and until > now:
                self._agenda.put_off(job, until)
            else:
                mine.append(job)
        return mine
