"""Every run_result is written or refused exactly once, whatever becomes of its neighbours."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.domain.messages import ClaimRequest, Finished, RunResult
from listener.domain.outcome import Completed, Report
from listener.errors import StoreError
from listener.testing import NOON


def fault(code, *, retryable, split_batch):
    """Make a fault of the database."""
    return StoreError("finish_runs_v1", code, "", retryable=retryable, split_batch=split_batch)


POISON = fault("22P05", retryable=False, split_batch=True)
SLOW = fault("57014", retryable=True, split_batch=True)
DOWN = fault("ConnectError", retryable=True, split_batch=False)
NO_RIGHT = fault("PGRST301", retryable=False, split_batch=False)


def world_of(parts, clock, finish, count=0, **sizes):
    """Build the stages on a store that answers run_results so, with so many runs held and ended."""
    world = parts.stages(parts.ScriptedStore(finish=finish), clock, **sizes)
    for _ in range(count):
        run = parts.a_run(ClaimRequest(1, NOON))
        world.runs.add(world.executor.prepare(run))
        world.completer.add(run, Report(run.execution_id, Completed(), NOON, NOON))
    return world


async def written_by(parts, world):
    """Run the completer until nothing waits."""
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.completer.run)
            while world.completer.unwritten:
                await parts.settled(1)
            tasks.cancel_scope.cancel()


async def test_endings_go_together_and_are_let_go(parts, clock):
    """As many as a batch takes in one request."""
    world = world_of(parts, clock, parts.taken, 25)
    assert [await world.completer.run_once() for _ in range(3)] == [10, 10, 5]
    assert (world.completer.unwritten, len(world.runs)) == (0, 0)
    assert len(world.store.requests) == 3


@settings(max_examples=60)
@given(
    kinds=st.lists(st.sampled_from(["good", "good", "good", "poison", "hopeless", "locked"]), max_size=25),
    downs=st.integers(0, 4),
    batch_size=st.integers(1, 12),
)
async def test_every_ending_is_written_or_refused_exactly_once(parts, kinds, downs, batch_size):
    """Poisoned ones are written as failed, hopeless ones are given up, locked ones wait; the others do not notice."""
    clock, written, tries = parts.VirtualClock(), Counter(), Counter()
    kind_of, left = {}, [DOWN] * downs

    def finish(run_results):
        if left:
            return left.pop()
        for each in run_results:
            kind = kind_of[each.execution_id]
            tries[each.execution_id] += 1
            if kind == "hopeless" or (kind == "poison" and each.reason != "unwritable"):
                return POISON
            if kind == "locked" and tries[each.execution_id] < 9:
                return SLOW
        written.update((each.execution_id, each.status) for each in run_results)
        return parts.taken(run_results)

    world = world_of(parts, clock, finish, batch_size=batch_size)
    for number, kind in enumerate(kinds):
        kind_of[str(number)] = kind
        world.completer.put(RunResult(str(number), "completed", NOON))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anyio, "sleep", lambda _: anyio.lowlevel.checkpoint())
        await written_by(parts, world)
    expected = {
        (str(number), "failed" if kind == "poison" else "completed"): 1
        for number, kind in enumerate(kinds)
        if kind != "hopeless"
    }
    assert written == expected


async def test_locked_rows_hold_up_neither_their_batches_nor_the_stage(parts, clock):
    """Their statements run into the time limit until somebody ends a transaction; all else is written meanwhile."""
    world = world_of(
        parts,
        clock,
        lambda run_results: SLOW if locked & {*map(id, run_results)} else parts.taken(run_results),
        31,
        batch_size=8,
    )
    waiting = world.completer._waiting
    locked = {id(waiting[number]) for number in (0, 9, 18, 27)}
    theirs = [each.execution_id for each in waiting if id(each) in locked]
    with anyio.fail_after(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.completer.run)
            await anyio.sleep(0.05)
            for _ in range(3):
                run = parts.a_run(ClaimRequest(1, NOON))
                world.runs.add(world.executor.prepare(run))
                world.completer.add(run, Report(run.execution_id, Completed(), NOON, NOON))
                await parts.settled()
            assert sorted(world.runs.execution_ids) == sorted(theirs)
            assert world.completer.unwritten == 4
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("failure", [DOWN, NO_RIGHT])
async def test_a_fault_that_no_ending_causes_is_waited_out(parts, clock, naps, failure):
    """The result of hours of work is not given up because a key was rotated; the pauses grow."""
    world = world_of(parts, clock, [failure] * 9 + [parts.taken], 3)
    world.store._scripts["finish"] = lambda run_results: (
        failure if len(world.store.requests) < 9 else parts.taken(run_results)
    )
    await written_by(parts, world)
    assert {len(batch) for (batch,) in world.store.asked("finish")} == {3}
    assert naps == sorted(naps)
    assert naps[-1] == 10
    assert len(world.runs) == 0


async def test_a_refused_ending_is_let_go(parts, clock):
    """Another listener ended the run; the lease is not extended any more."""
    world = world_of(parts, clock, lambda _: Finished(frozenset(), []), 2)
    await world.completer.run_once()
    assert (world.completer.unwritten, len(world.runs)) == (0, 0)


async def test_jobs_that_have_to_run_again_are_armed(parts, clock):
    """The answer says when."""
    retry = replace(parts.a_job(1, due_in=5), due_at=None)
    world = world_of(parts, clock, lambda run_results: replace(parts.taken(run_results), jobs=[retry]), 1)
    await world.completer.run_once()
    clock.advance(5)
    assert world.agenda.take_due() == [retry]


async def test_endings_collect_while_two_batches_are_written(parts, clock):
    """More requests at a time would only compete for the same rows."""
    may_write = anyio.Event()

    async def finish(run_results):
        await may_write.wait()
        return parts.taken(run_results)

    world = world_of(parts, clock, finish)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.completer.run)
            for number in range(9):
                world.completer.put(RunResult(str(number), "completed", NOON))
                await parts.settled()
            assert [len(batch) for (batch,) in world.store.asked("finish")] == [1, 1]
            may_write.set()
            await parts.settled()
            tasks.cancel_scope.cancel()
    assert [len(batch) for (batch,) in world.store.asked("finish")] == [1, 1, 7]
    assert world.completer.unwritten == 0


async def test_a_stage_that_fails_writes_at_its_next_start_what_it_had_not(parts, clock):
    """Both the batch that made it fail, and the one whose answer it never saw."""
    answers = iter(["hang", ZeroDivisionError("a fault of our own")])

    async def finish(run_results):
        answer = next(answers, None)
        if answer == "hang":
            await anyio.sleep_forever()
        return answer or parts.taken(run_results)

    world = world_of(parts, clock, finish, 12, batch_size=5)
    with pytest.raises(ExceptionGroup):
        await world.completer.run()
    assert world.completer.unwritten == len(world.runs) == 12
    await written_by(parts, world)
    assert len(world.runs) == 0
    assert world.completer._in_flight == 0


async def test_a_waiter_for_free_slots_is_notified_of_each_batch(parts, clock):
    """Claims wait while too many reports are unwritten."""
    world, reported = world_of(parts, clock, parts.taken, 12), []
    world.completer.upstream = SimpleNamespace(wake=lambda: reported.append(world.completer.unwritten))
    await written_by(parts, world)
    assert reported == [2, 0]
    assert clock.now() == NOON + timedelta(0)


async def test_the_end_of_a_claim_does_not_let_go_of_a_later_claim(parts, clock):
    """The run was handed back, and claimed again by this very listener before the answer came."""
    world = world_of(parts, clock, lambda _: Finished(frozenset(), []), 1)
    (execution_id,) = world.runs.execution_ids
    later = world.executor.prepare(parts.a_run(ClaimRequest(1, NOON), execution_id=execution_id, fence=2))
    world.runs.add(later)
    await world.completer.run_once()
    assert world.runs.held == [(execution_id, 2)]
    assert world.completer.unwritten == 0


async def test_a_fault_for_an_operator_is_retried_seldom(parts, clock, naps):
    """A read-only database is not asked ten times a second, nor are results given up."""
    read_only = StoreError("finish_runs_v1", "25006", "", retryable=True, needs_operator=True)
    answers = [read_only, read_only]
    world = world_of(parts, clock, lambda run_results: answers.pop() if answers else parts.taken(run_results), 2)
    await written_by(parts, world)
    assert (naps, len(world.runs)) == ([10.0, 10.0], 0)


def of_jobs(parts, clock, finish, *jobs):
    """Build the stages on a store that answers so, with one ended run of each of these jobs; and its execution ids."""
    world, ids = parts.stages(parts.ScriptedStore(finish=finish), clock), {}
    for job in jobs:
        run = parts.a_run(ClaimRequest(job, NOON))
        ids[job] = run.execution_id
        world.runs.add(world.executor.prepare(run))
        world.completer.add(run, Report(run.execution_id, Completed(), NOON, NOON))
    return world, ids


def by_trigger(code="42703"):
    """Make the fault of somebody's trigger."""
    return StoreError("finish_runs_v1", code, "", retryable=False, split_batch=True, needs_operator=True)


@pytest.mark.parametrize("jobs", [[1], [1, 2], [2, 1, 3, 4]])
async def test_a_run_whose_end_is_refused_is_parked_and_the_others_are_written(parts, clock, jobs):
    """Not even that it failed can be written; its job must not run it again."""
    answer = lambda results: by_trigger() if guilty in [each.execution_id for each in results] else parts.taken(results)  # noqa: E731
    world, ids = of_jobs(parts, clock, answer, *jobs)
    guilty = ids[1]
    await written_by(parts, world)
    assert [run for run, _ in world.store.asked("park")] == [(guilty, 1)]
    assert "42703" in world.store.asked("park")[0][1]
    assert len(world.runs) == 0


async def test_what_refuses_the_runs_of_several_jobs_alike_is_waited_out(parts, clock, naps):
    """An operator has to act; the results are kept as they were."""
    written = []

    def finish(results):
        if len(naps) < 3:
            return by_trigger("42883")
        written.extend((each.execution_id, each.status) for each in results)
        return parts.taken(results)

    world, ids = of_jobs(parts, clock, finish, 1, 2, 3)
    await written_by(parts, world)
    assert sorted(written) == sorted((each, "completed") for each in ids.values())
    assert world.store.asked("park") == []


async def test_two_jobs_that_are_refused_are_to_blame_once_another_is_written(parts, clock, naps):
    """They wait for nothing longer than that."""
    guilty = set()
    answer = lambda results: by_trigger() if guilty & {each.execution_id for each in results} else parts.taken(results)  # noqa: E731
    world, ids = of_jobs(parts, clock, answer, 1, 2)
    guilty.update(ids.values())
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.completer.run)
            while not naps:
                await parts.settled(1)
            assert world.store.asked("park") == []
            run = parts.a_run(ClaimRequest(3, NOON))
            world.runs.add(world.executor.prepare(run))
            world.completer.add(run, Report(run.execution_id, Completed(), NOON, NOON))
            while world.completer.unwritten:
                await parts.settled(1)
            tasks.cancel_scope.cancel()
    assert {run for (run, _), _ in world.store.asked("park")} == guilty
