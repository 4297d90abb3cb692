"""First due instants are computed once, written in batches, and armed only as written."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import anyio
import pytest

from listener.domain.job import Trigger, TriggerType
from listener.errors import StoreError
from listener.scheduling.planner import BATCH, Planner
from listener.testing import NOON

DOWN = StoreError("plan_jobs_v1", "ConnectError", "refused", retryable=True)
POISON = StoreError("plan_jobs_v1", "22008", "out of range", retryable=False, split_batch=True)


def unplanned(parts, job_id=1, schedule=None, **changes):
    """Make a job every minute that has no due instant yet."""
    trigger = Trigger(TriggerType.INTERVAL, NOON, schedule or {"seconds": 60})
    fields = {"due_at": None, "next_run_at": None, "unplanned": True, "trigger": trigger, "defined_at": NOON}
    return replace(parts.a_job(job_id), **{**fields, **changes})


@pytest.fixture
def armed():
    """The armed rows."""
    return []


@pytest.fixture
def planner_of(clock, armed, parts):
    """Make a planner whose store answers so."""

    def make(plan):
        store = parts.ScriptedStore(plan=plan)
        planner = Planner(store, clock)
        planner.sink = SimpleNamespace(arm=armed.append)
        return planner, store

    return make


async def test_a_planned_job_is_armed_for_what_was_written(planner_of, armed, parts):
    """With the revision that it was computed from, so that the database can refuse it."""
    planner, store = planner_of(lambda _: None)
    planner.add(unplanned(parts, revision=7))
    assert await planner.run_once() == 1
    (((plan,),),) = store.asked("plan")
    assert (plan.job_id, plan.revision, plan.due) == (1, 7, NOON)
    assert [(job.next_run_at, job.due_at, job.unplanned) for job in armed] == [(NOON, NOON, False)]
    assert len(planner) == 0


@pytest.mark.parametrize("asked_for", [NOON - timedelta(days=1), NOON + timedelta(days=1)])
async def test_a_run_that_waits_already_is_not_put_off(planner_of, armed, parts, asked_for):
    """The job is armed for it or for its schedule, whichever comes first."""
    planner, _ = planner_of(lambda _: None)
    planner.add(unplanned(parts, next_run_at=asked_for))
    await planner.run_once()
    assert [(job.next_run_at, job.due_at) for job in armed] == [(min(asked_for, NOON), NOON)]


async def test_an_edit_while_the_plan_is_written_is_planned_anew(planner_of, armed, parts):
    """And the old plan is not armed."""
    planner, store = planner_of(lambda _: planner.add(newer) if len(store.requests) == 1 else None)
    newer = unplanned(parts, revision=8, defined_at=NOON + timedelta(seconds=90))
    planner.add(unplanned(parts, revision=7))
    await planner.run_once()
    assert armed == []
    await planner.run_once()
    assert [job.next_run_at for job in armed] == [NOON + timedelta(seconds=120)]


async def test_a_job_that_needs_no_plan_any_more_is_not_armed(planner_of, armed, parts):
    """It was cancelled while its plan was written."""
    planner, _ = planner_of(lambda _: planner.forget(1))
    planner.add(unplanned(parts))
    await planner.run_once()
    assert armed == []


async def test_a_failed_write_loses_nothing(planner_of, armed, parts):
    """The batch stays wanted."""
    planner, _ = planner_of([DOWN, None])
    planner.add(unplanned(parts))
    with pytest.raises(StoreError):
        await planner.run_once()
    assert (len(planner), armed) == (1, [])
    await planner.run_once()
    assert (len(planner), len(armed)) == (0, 1)


@pytest.mark.parametrize("schedule", [{"seconds": "many"}, {"minutes": 5}, {}, {"seconds": None}, {"seconds": []}])
async def test_an_invalid_row_rests_and_the_others_are_planned(planner_of, armed, parts, schedule):
    """The database refuses what it knows to be wrong, but it may know less."""
    planner, _ = planner_of(lambda _: None)
    bad = unplanned(parts, 1)
    planner.add(replace(bad, trigger=replace(bad.trigger, schedule=schedule)))
    planner.add(unplanned(parts, 2))
    await planner.run_once()
    assert [job.id for job in armed] == [2]
    assert len(planner) == 0


async def test_an_invalid_row_is_reported(planner_of, armed, parts):
    """The database learns why nothing can run, so that whoever asks for it finds it there."""
    planner, store = planner_of(lambda _: None)
    bad = unplanned(parts, revision=7)
    planner.add(replace(bad, trigger=Trigger(TriggerType.DAILY, NOON, {"time": "08:00"}, "Mars/Base")))
    await planner.run_once()
    (((plan,),),) = store.asked("plan")
    assert (plan.job_id, plan.revision, plan.due) == (1, 7, None)
    assert 'scheduled_jobs.timezone: "Mars/Base" is not allowed' in plan.error
    assert armed == []


async def test_what_could_not_be_computed_elsewhere_is_reported_as_well(planner_of, armed, parts):
    """Of a job that had a due instant; the job is not armed for another one, also not after a failed write."""
    planner, store = planner_of([DOWN, None])
    planner.explain(parts.a_job(), ValueError("no such zone"))
    with pytest.raises(StoreError):
        await planner.run_once()
    await planner.run_once()
    assert [plan.error for (plans,) in store.asked("plan") for plan in plans] == ["ValueError: no such zone"] * 2
    assert (armed, len(planner)) == ([], 0)


@pytest.mark.parametrize("guilty", [1, 77, 150])
async def test_a_plan_that_the_database_cannot_take_does_not_hold_up_the_others(planner_of, armed, parts, naps, guilty):
    """It is found by halving, and rests."""
    planner, store = planner_of(lambda plans: POISON if guilty in [plan.job_id for plan in plans] else None)
    for job_id in range(1, 151):
        planner.add(unplanned(parts, job_id))
    with anyio.move_on_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(planner.run)
            while len(planner):
                await parts.settled(1)
            tasks.cancel_scope.cancel()
    assert sorted(job.id for job in armed) == [each for each in range(1, 151) if each != guilty]
    assert len(store.requests) < 60


async def test_batches_are_bounded(planner_of, parts):
    """Computing them keeps the loop busy, and one request takes them all."""
    planner, store = planner_of(lambda _: None)
    for job_id in range(BATCH + 50):
        planner.add(unplanned(parts, job_id))
    assert [await planner.run_once(), await planner.run_once()] == [BATCH, 50]
    assert [len(plans) for (plans,) in store.asked("plan")] == [BATCH, 50]


async def test_a_job_that_comes_while_it_waits_is_planned_at_once(planner_of, armed, parts):
    """Before the wait began, in it, and after a fault."""
    planner, _ = planner_of(lambda _: None)
    planner.add(unplanned(parts, 1))
    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(planner.run)
            for job_id in (2, 3, 4):
                await parts.settled()
                planner.add(unplanned(parts, job_id))
            await parts.settled()
            tasks.cancel_scope.cancel()
    assert [job.id for job in armed] == [1, 2, 3, 4]


async def test_batches_shrink_when_they_take_too_long_and_grow_again(planner_of, parts, naps):
    """With a pause before each, because it is the database that is slow; nothing is given up."""
    slow = StoreError("plan_jobs_v1", "57014", "too slow", retryable=True, split_batch=True)
    planner, store = planner_of(lambda plans: slow if len(plans) > 60 and len(store.requests) < 6 else None)
    for job_id in range(400):
        planner.add(unplanned(parts, job_id))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(planner.run)
            while len(planner):
                await parts.settled(1)
            tasks.cancel_scope.cancel()
    assert [len(plans) for (plans,) in store.asked("plan")] == [200, 100, 50, 100, 50, 100, 200]
    assert naps == [1.0] * 3


async def test_a_fault_for_an_operator_is_retried_seldom(planner_of, parts, naps):
    """A database that is read-only is not asked each second."""
    planner, _ = planner_of([StoreError("plan_jobs_v1", "25006", "", retryable=True, needs_operator=True), None])
    planner.add(unplanned(parts))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(planner.run)
            while len(planner):
                await parts.settled(1)
            tasks.cancel_scope.cancel()
    assert naps == [10.0]
