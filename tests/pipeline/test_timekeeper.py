"""The timekeeper passes on what is due, and nothing before."""

from __future__ import annotations

from datetime import timedelta

import anyio

from listener.clock import DatabaseClock
from listener.pipeline.agenda import Agenda
from listener.pipeline.timekeeper import Timekeeper
from listener.testing import NOON


def test_it_gives_what_is_due_and_is_silent_otherwise(clock, parts):
    """Earliest first, together."""
    agenda, given = Agenda(clock, 0), []
    keeper = Timekeeper(agenda, given.append)
    assert keeper.run_once() == 0
    for job_id, seconds in ((1, 2), (2, 1), (3, 9)):
        agenda.arm(parts.a_job(job_id), NOON + timedelta(seconds=seconds))
    clock.advance(3)
    assert keeper.run_once() == 2
    assert [[job.id for job in batch] for batch in given] == [[2, 1]]


async def test_running_it_gives_jobs_armed_before_and_meanwhile(parts):
    """Each at its time on a real clock, whichever was armed first."""
    clock = DatabaseClock()
    agenda, given = Agenda(clock, 0), []
    begun = clock.now()
    agenda.arm(parts.a_job(1), begun + timedelta(milliseconds=120))
    keeper = Timekeeper(agenda, lambda jobs: given.extend((job.id, clock.now() - begun) for job in jobs))
    with anyio.fail_after(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            await parts.settled()
            agenda.arm(parts.a_job(2), begun + timedelta(milliseconds=40))
            while len(given) < 2:  # noqa: ASYNC110 - real time is the point
                await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
    assert [job_id for job_id, _ in given] == [2, 1]
    assert all(after >= timedelta(milliseconds=39) for _, after in given)
