"""A job that missed thousands of instants holds up neither the loop, nor the database, nor other jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from anyio.lowlevel import checkpoint

from listener.domain.job import Misfire, Trigger, TriggerType
from listener.domain.messages import Claimed
from listener.domain.misfire import STEP
from listener.execution.claim_request import MOST_MISSED
from listener.scheduling.reconciler import TURN_PAUSE_MS
from listener.testing import NOON

HOUR = timedelta(hours=1)


def with_long_past(parts, job_id, since=NOON - HOUR, **changes):
    """Make a job that was due every second for the hour before noon, or of which less is left."""
    trigger = Trigger(TriggerType.INTERVAL, NOON - HOUR, {"seconds": 1})
    return replace(parts.a_job(job_id, trigger=trigger), due_at=since, next_run_at=since, **changes)


def moving_on(jobs):
    """Answer claims as the database does: what was entered as missed moves its job on, other jobs run."""
    rows = {job.id: job for job in jobs}

    def answer(claims):
        moved = []
        for claim in claims:
            assert claim.run is None
            job = rows[claim.job_id]
            assert claim.due == job.due_at
            rows[claim.job_id] = replace(job, due_at=claim.next_due, next_run_at=claim.next_due, waits_since=None)
            moved.append(replace(rows[claim.job_id]))
        return Claimed([], moved)

    return answer


def world_of(parts, clock, jobs, **sizes):
    """Build the stages on a database that has these jobs."""
    return parts.stages(parts.ScriptedStore(claim=moving_on(jobs)), clock, **sizes)


def claims_of(world):
    """Give each batch that was asked for."""
    return [claims for (claims,) in world.store.asked("claim")]


async def test_it_goes_on_after_a_moment_where_it_stopped(parts, clock):
    """Step by step, with a pause in which others may go first."""
    job = with_long_past(parts, 1)
    world = world_of(parts, clock, [job])
    world.dispatcher.add([job])
    for _ in range(3):
        assert await world.dispatcher.run_once(None) == 1
        assert world.agenda.take_due() == []
        clock.advance(TURN_PAUSE_MS / 1000)
        world.dispatcher.add(world.agenda.take_due())
    starts = [claim.due for (claim,) in claims_of(world)]
    assert starts == [NOON - HOUR + timedelta(seconds=STEP * n) for n in range(3)]


@pytest.mark.parametrize("priority", [0, 5])
async def test_other_jobs_that_became_due_before_its_turn_go_first(parts, clock, priority):
    """One place: two jobs with a long past have had a turn, so a third that was due after them goes before both."""
    jobs = [with_long_past(parts, each, priority=priority) for each in (1, 2)]
    other = with_long_past(parts, 3, priority=priority, since=NOON - HOUR / 2)
    world = world_of(parts, clock, [*jobs, other], concurrency=1)
    world.dispatcher.add(jobs)
    await world.dispatcher.run_once(None)
    await world.dispatcher.run_once(None)
    clock.advance(TURN_PAUSE_MS / 1000)
    waiting = world.agenda.take_due()
    assert {job.id for job in waiting} == {1, 2}
    world.dispatcher.add([*waiting, other])
    await world.dispatcher.run_once(None)
    assert [[claim.job_id for claim in claims] for claims in claims_of(world)] == [[1], [2], [3]]


@pytest.mark.parametrize("count", [1, 40, 1000])
@pytest.mark.parametrize("misfire", Misfire)
async def test_a_request_enters_a_bounded_number_of_instants_however_many_jobs_have_a_past(
    parts, clock, count, misfire
):
    """They share it, each has some of it, and jobs that are on time do not lessen it."""
    jobs = [with_long_past(parts, each, misfire=misfire) for each in range(count)]
    world = world_of(parts, clock, jobs, concurrency=2000, batch_size=2000)
    world.dispatcher.add(jobs)
    assert await world.dispatcher.run_once(None) == count
    (claims,) = claims_of(world)
    assert 0 < min(len(claim.missed) for claim in claims) <= STEP
    assert min(MOST_MISSED, STEP) <= sum(len(claim.missed) for claim in claims) <= MOST_MISSED


async def test_others_run_while_claims_are_computed(parts, clock, monkeypatch):
    """The loop is given back every few milliseconds, however many claims there are to compute."""
    jobs = [with_long_past(parts, each) for each in range(20)]
    world = world_of(parts, clock, jobs, concurrency=20, batch_size=20)
    monkeypatch.setattr(clock, "monotonic", lambda: clock.advance(0.004) or clock._seconds)
    turns = 0

    async def another():
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(another)
        claims = await world.dispatcher._claimer._claim_requests(jobs, clock.now())
        tasks.cancel_scope.cancel()
    assert len(claims) == len(jobs)
    assert turns > len(jobs) / 3
