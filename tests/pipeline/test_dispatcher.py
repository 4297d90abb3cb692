"""The dispatcher never starts more than its free slots, and loses no job whatever the database answers."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener import handler
from listener.domain.job import Trigger, TriggerType
from listener.domain.messages import Claimed, ClaimRequest
from listener.domain.outcome import Completed, Failed
from listener.errors import StoreError
from listener.execution.run_result import OVERLAP, SHUTDOWN
from listener.testing import NOON

DOWN = StoreError("claim_runs_v1", "ConnectError", "refused", retryable=True)
LOST = StoreError("claim_runs_v1", "ReadTimeout", "", retryable=True, maybe_applied=True)
POISON = StoreError("claim_runs_v1", "22003", "out of range", retryable=False, split_batch=True)
NO_RIGHT = StoreError("claim_runs_v1", "PGRST301", "bad key", retryable=False)


class Gate:
    """A handler that holds its runs until a test lets some go."""

    def __init__(self):
        self.inside, self.most, self.ended = [], 0, []
        self.handler = handler(name="idle_at_gate")(self._hold())

    def _hold(self):
        async def hold(job):
            leave = anyio.Event()
            self.inside.append((job.job_id, leave))
            self.most = max(self.most, len(self.inside))
            await leave.wait()
            self.ended.append(job.job_id)

        return hold

    def release(self, index=0):
        _, leave = self.inside.pop(index)
        leave.set()


def world_of(parts, clock, claim, gate=None, **sizes):
    """Build the stages on a store that answers claims so, and takes every run_result."""
    store = parts.ScriptedStore(claim=claim, finish=parts.taken)
    return parts.stages(store, clock, *([gate.handler] if gate else []), **sizes)


def claimed_ids(world):
    """Give the ids of each batch that was asked for."""
    return [[claim.job_id for claim in claims] for (claims,) in world.store.asked("claim")]


async def run_stages(world, steps):
    """Run dispatcher and completer while `steps` goes on."""
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.dispatcher.run)
            tasks.start_soon(world.completer.run)
            await steps()
            tasks.cancel_scope.cancel()


async def test_a_granted_claim_starts_and_a_refused_one_does_not(parts, clock):
    """The rows that came back are armed again after a rest; nothing comes of what the answer does not know."""
    answer = lambda claims: Claimed([parts.a_run(claims[0])], [parts.a_job(2)])  # noqa: E731
    world, started = world_of(parts, clock, answer), []
    world.dispatcher.add([parts.a_job(each) for each in (1, 2, 3)])
    assert await world.dispatcher.run_once(started.append) == 3
    assert [claimed_run.run.job_id for claimed_run in started] == [1]
    assert len(world.runs) == world.dispatcher.executing == 1
    assert list(world.agenda._jobs) == [2]


async def test_a_run_that_was_claimed_ahead_and_is_replaced_does_not_begin(parts, clock):
    """The answer names it, which may come sooner than the notification does."""
    stopped: list[str] = []
    answer = lambda claims: Claimed([parts.a_run(claims[0])], [], stopped=tuple(stopped))  # noqa: E731
    world, started = world_of(parts, clock, answer), []
    for job in (1, 2):
        world.dispatcher.add([parts.a_job(job)])
        await world.dispatcher.run_once(started.append)
        stopped = [claimed_run.run.execution_id for claimed_run in started]
    assert [claimed_run.cancelled and claimed_run.cancelled.reason for claimed_run in started] == [OVERLAP, None]


async def test_what_follows_a_granted_claim_is_armed(parts, clock):
    """The database has advanced the job to the very instant that the claim named."""
    world = world_of(parts, clock, parts.granted)
    trigger = Trigger(TriggerType.INTERVAL, NOON, {"seconds": 60})
    world.dispatcher.add([parts.a_job(1, trigger=trigger), parts.a_job(2)])
    await world.dispatcher.run_once(lambda _: None)
    assert [(job.id, job.due_at) for job in world.agenda._jobs.values()] == [(1, NOON + timedelta(seconds=60))]


def test_a_job_seen_twice_waits_once_with_its_latest_row(parts, clock):
    """By both channels and a poll."""
    world = world_of(parts, clock, parts.granted)
    for revision in (1, 1, 2):
        world.dispatcher.add([parts.a_job(1, revision=revision)])
    assert world.dispatcher.waiting == 1
    assert [job.revision for job in world.dispatcher._take_batch()] == [2]
    assert world.dispatcher.waiting == 0


@given(
    jobs=st.lists(st.tuples(st.integers(1, 12), st.integers(-2, 2)), min_size=1, max_size=30),
    concurrency=st.integers(1, 6),
)
def test_higher_priority_goes_first_then_the_earlier_one(parts, jobs, concurrency):
    """Of all that waits, whatever a job's place was when it was seen first; each is taken once."""
    world = world_of(parts, parts.VirtualClock(), parts.granted, concurrency=concurrency, batch_size=3)
    rows = {}
    for job_id, priority in jobs:
        rows[job_id] = max(
            parts.a_job(job_id, due_in=-job_id, priority=priority),
            rows.get(job_id, parts.a_job(0, priority=-99)),
            key=lambda job: job.priority,
        )
        world.dispatcher.add([rows[job_id]])
    taken = []
    while world.dispatcher.waiting:
        batch = world.dispatcher._take_batch()
        assert 0 < len(batch) <= min(concurrency, 3)
        taken += batch
        world.dispatcher._claimer._answered(batch)
        world.dispatcher._claimer.in_flight = 0
    assert [job.id for job in taken] == sorted(rows, key=lambda each: (-rows[each].priority, rows[each].due_at))


@settings(max_examples=40)
@given(
    concurrency=st.integers(1, 5),
    batch_size=st.integers(1, 4),
    answers=st.lists(st.sampled_from(["grant", "refuse", "down", "poison", "key"]), max_size=12),
    waves=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    choices=st.lists(st.integers(0, 9), max_size=12),
)
async def test_no_more_than_the_free_slots_and_every_job_in_the_end(  # noqa: PLR0913, PLR0917 - what may vary
    parts, concurrency, batch_size, answers, waves, choices
):
    """It holds for all answers of the database, and for all orders in which runs end."""
    clock, gate, script = parts.VirtualClock(), Gate(), iter(answers)

    def claim(claims):
        kind = next(script, "grant")
        if kind == "grant":
            return parts.granted(claims, handler="idle_at_gate")
        if kind == "refuse":
            return Claimed([], [parts.a_job(each.job_id) for each in claims])
        return {"down": DOWN, "poison": POISON, "key": NO_RIGHT}[kind]

    world = world_of(parts, clock, claim, gate, concurrency=concurrency, batch_size=batch_size)
    order = iter(choices)

    async def steps():
        number = 0
        for wave in waves:
            world.dispatcher.add([parts.a_job(number + each) for each in range(1, wave + 1)])
            number += wave
            await parts.settled(7)
        while len(gate.ended) < number:
            assert world.dispatcher.executing <= concurrency
            clock.advance(1)
            if due := world.agenda.take_due():
                world.dispatcher.add(due)
            if gate.inside:
                gate.release(next(order, 0) % len(gate.inside))
            await parts.settled()
        assert sorted(gate.ended) == list(range(1, number + 1))
        assert (world.dispatcher.is_idle, world.dispatcher.waiting) == (True, 0)
        assert (world.completer.unwritten, len(world.runs)) == (0, 0)

    await run_stages(world, steps)
    assert gate.most <= concurrency


async def test_claims_wait_while_the_database_is_behind_and_go_on_when_it_is_not(parts, clock, monkeypatch):
    """Nothing else may wake the dispatcher then: no job comes, and no run ends."""
    monkeypatch.setattr("listener.execution.dispatcher.MAX_UNWRITTEN", 1)
    may_write = anyio.Event()

    async def finish(run_results):
        await may_write.wait()
        return parts.taken(run_results)

    world = parts.stages(parts.ScriptedStore(claim=parts.granted, finish=finish), clock)

    async def steps():
        world.dispatcher.add([parts.a_job(1), parts.a_job(2)])
        await parts.settled()
        assert world.completer.unwritten == 2
        world.dispatcher.add([parts.a_job(3)])
        await parts.settled()
        assert claimed_ids(world) == [[1, 2]]
        may_write.set()
        await parts.settled()
        assert claimed_ids(world) == [[1, 2], [3]]

    await run_stages(world, steps)


async def test_an_unreachable_database_loses_no_job(parts, clock):
    """It is tried again a second later, unless a newer row says otherwise."""
    world = world_of(parts, clock, [DOWN])
    world.dispatcher.add([parts.a_job(1), parts.a_job(2)])
    world.agenda.arm(parts.a_job(2, due_in=90, revision=2), NOON + timedelta(seconds=90))
    await world.dispatcher.run_once(lambda _: None)
    assert world.dispatcher.is_idle
    clock.advance(0.999)
    assert world.agenda.take_due() == []
    clock.advance(0.001)
    assert [job.id for job in world.agenda.take_due()] == [1]


@pytest.mark.parametrize("guilty", [1, 4, 8])
async def test_a_job_whose_claim_fails_does_not_hold_up_the_others(parts, clock, guilty):
    """It is found by halving, and rests."""
    answer = lambda claims: POISON if guilty in [each.job_id for each in claims] else parts.granted(claims)  # noqa: E731
    world, started = world_of(parts, clock, answer), []
    world.dispatcher.add([parts.a_job(each) for each in range(1, 9)])
    await world.dispatcher.run_once(started.append)
    assert sorted(each.run.job_id for each in started) == [each for each in range(1, 9) if each != guilty]
    assert list(world.agenda._jobs) == [guilty]
    assert (world.dispatcher._claimer.in_flight, world.dispatcher._claimer._claiming) == (0, set())
    assert [job for job, _ in world.store.asked("explain")] == [guilty]
    clock.advance(30)
    assert world.agenda.take_due() == []


async def test_jobs_whose_claims_all_fail_alike_are_not_to_blame(parts, clock):
    """An operator has to act: nothing is said in their rows, and they are claimed again soon."""
    missing = StoreError("claim_runs_v1", "42883", "", retryable=False, split_batch=True, needs_operator=True)
    world = world_of(parts, clock, lambda _: missing)
    world.dispatcher.add([parts.a_job(each) for each in range(1, 5)])
    await world.dispatcher.run_once(lambda _: None)
    assert world.store.asked("explain") == []
    clock.advance(10)
    assert len(world.agenda.take_due()) == 4


async def test_a_fault_that_no_job_causes_is_not_searched_for(parts, clock):
    """A bad key fails for each of them: one request is enough to know."""
    world = world_of(parts, clock, [NO_RIGHT])
    world.dispatcher.add([parts.a_job(each) for each in range(1, 9)])
    await world.dispatcher.run_once(lambda _: None)
    assert len(world.store.requests) == 1
    assert len(world.agenda) == 8


async def test_an_invalid_job_does_not_delay_the_others(parts, clock):
    """Its later instants cannot be computed, so it is not claimed; that is reported where the job is looked up."""
    world, started = world_of(parts, clock, parts.granted), []
    malformed = Trigger(TriggerType.INTERVAL, NOON, {"seconds": "many"})
    world.dispatcher.add([parts.a_job(1, trigger=malformed), parts.a_job(2)])
    await world.dispatcher.run_once(started.append)
    assert claimed_ids(world) == [[2]]
    assert (world.dispatcher._claimer.in_flight, world.dispatcher._claimer._claiming, len(started)) == (0, set(), 1)
    assert len(world.dispatcher._claimer._reconciler._planner) == 1


@pytest.mark.parametrize("answer", ["granted", "refused", "down"])
async def test_an_edit_that_overtakes_the_claims_answer_is_not_lost(parts, clock, answer):
    """The job was moved to now while its claim for then was under way."""
    edited = parts.a_job(1, revision=2)

    def claim(claims):
        world.dispatcher.add([edited])
        refused = Claimed([], [replace(edited, next_run_at=edited.due_at)])
        return {"granted": parts.granted(claims), "refused": refused, "down": DOWN}[answer]

    world = world_of(parts, clock, claim)
    world.dispatcher.add([parts.a_job(1, due_in=-5)])
    await world.dispatcher.run_once(lambda _: None)
    assert [job.revision for job in world.agenda._jobs.values()] == [2]
    assert world.dispatcher._claimer._seen_meanwhile == {}


async def test_an_echo_while_a_claim_is_under_way_is_no_edit(parts, clock):
    """It would be claimed again for nothing."""

    def claim(claims):
        world.dispatcher.add([parts.a_job(1)])
        return parts.granted(claims)

    world = world_of(parts, clock, claim)
    world.dispatcher.add([parts.a_job(1)])
    await world.dispatcher.run_once(lambda _: None)
    assert (len(world.agenda), world.dispatcher.waiting, world.dispatcher._claimer._seen_meanwhile) == (0, 0, {})


async def test_a_run_claimed_ahead_starts_at_its_time(parts, clock):
    """And one that is withdrawn before it ends at once."""
    world = world_of(parts, clock, parts.granted)

    async def steps():
        world.dispatcher.add([parts.a_job(1, due_in=0.2), parts.a_job(2, due_in=0.2)])
        await parts.settled()
        assert world.dispatcher.executing == 2
        world.runs.cancel_job(2, "edited")
        await parts.settled()
        assert world.dispatcher.executing == 1
        clock.advance(0.2)
        await parts.settled()
        assert world.dispatcher.is_idle

    await run_stages(world, steps)
    run_results = [run_result for (batch,) in world.store.asked("finish") for run_result in batch]
    assert [(run_result.status, run_result.started_at) for run_result in run_results] == [
        ("cancelled", None),
        ("completed", NOON + timedelta(seconds=0.2)),
    ]


async def test_a_draining_dispatcher_claims_nothing_and_hands_back_what_is_granted_late(parts, clock):
    """Another listener is to have it at once, not when the lease has run out."""

    def claim(claims):
        assert not world.dispatcher.is_idle, "or the drain would not wait for the answer"
        world.dispatcher.drain()
        return parts.granted(claims)

    world = world_of(parts, clock, claim)

    async def steps():
        world.dispatcher.add([parts.a_job(1)])
        await parts.settled()
        world.dispatcher.add([parts.a_job(2)])
        await parts.settled()
        assert world.dispatcher.is_idle

    await run_stages(world, steps)
    assert claimed_ids(world) == [[1]]
    run_results = [run_result for (batch,) in world.store.asked("finish") for run_result in batch]
    assert [(run_result.status, run_result.retry_at) for run_result in run_results] == [("queued", NOON)]


async def test_a_stage_that_fails_leaves_its_runs_alone(parts, clock):
    """They go on, keep their places, and are reported at their ends: a fault of ours is none of theirs."""
    gate, answers = Gate(), iter([None, ZeroDivisionError("a fault of our own"), None, None])

    def claim(claims):
        fault = next(answers)
        return fault or parts.granted(claims, handler="idle_at_gate")

    world = world_of(parts, clock, claim, gate, concurrency=3, batch_size=1)
    world.dispatcher.add([parts.a_job(1)])

    async def fail():
        await parts.settled()
        assert world.dispatcher.executing == 1
        world.dispatcher.add([parts.a_job(2)])
        await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup):
        await run_stages(world, fail)
    assert (len(world.runs), world.dispatcher.executing) == (1, 1)

    async def steps():
        world.dispatcher.add([parts.a_job(3), parts.a_job(4)])
        await parts.settled()
        assert gate.most == 3, "the one that went on, and two more"
        for _ in range(3):
            gate.release()
        await parts.settled()

    await run_stages(world, steps)
    written = [run_result.status for (batch,) in world.store.asked("finish") for run_result in batch]
    assert (written, world.dispatcher.executing) == (["completed"] * 3, 0)


async def test_a_report_that_cannot_be_worked_on_is_its_runs_fault_alone(parts, clock):
    """The run ends as failed with that fault; if even this cannot be said, its lease runs out."""
    world = parts.stages(parts.ScriptedStore(claim=parts.granted, finish=parts.taken), clock, concurrency=3)
    reported = []

    class Refusing:
        unwritten = 0

        @staticmethod
        def add(run, report):
            reported.append((run.job_id, report.outcome))
            if run.job_id == 1 or (run.job_id == 2 and not isinstance(report.outcome, Failed)):
                raise ZeroDivisionError

    world.dispatcher._sink = Refusing()
    world.dispatcher.add([parts.a_job(1), parts.a_job(2), parts.a_job(3)])

    async def steps():
        await parts.settled()

    await run_stages(world, steps)
    assert world.dispatcher.is_idle
    assert [each for each in reported if each[0] == 3] == [(3, Completed())]
    assert [(type(outcome), job) for job, outcome in reported if job == 2] == [(Completed, 2), (Failed, 2)]
    assert {claimed_run.run.job_id for _, claimed_run in world.runs.items()} == {2, 3}, "let go of by the completer"


@pytest.mark.parametrize("reason", [None, "cancelled", SHUTDOWN])
async def test_a_handler_that_does_not_stop_is_abandoned_but_keeps_its_place(parts, clock, reason):
    """Its run is reported; at shutdown it is not, since nobody else may start it while it goes on here."""
    may_end = anyio.Event()

    @handler(timeout=0.01)
    async def cling(job):
        while not may_end.is_set():
            with contextlib.suppress(BaseException):
                await may_end.wait()

    def claim(claims):
        return parts.granted(claims, handler="cling")

    world = parts.stages(parts.ScriptedStore(claim=claim, finish=parts.taken), clock, cling, concurrency=1)
    world.dispatcher.add([parts.a_job(1)])

    async def steps():
        await parts.settled()
        if reason:
            world.runs.cancel(world.runs.execution_ids, reason)
        await anyio.sleep(0.03)
        world.dispatcher.abandon_stuck()
        clock.advance(4)
        world.dispatcher.abandon_stuck()
        await parts.settled()
        assert world.store.asked("finish") == []
        clock.advance(2)
        world.dispatcher.abandon_stuck()
        world.dispatcher.abandon_stuck()
        await parts.settled()
        assert (world.dispatcher.executing, world.dispatcher.is_idle) == (1, reason != SHUTDOWN)
        may_end.set()
        await parts.settled()
        assert world.dispatcher.executing == 0

    await run_stages(world, steps)
    ends = [(each.status, each.reason, each.error) for (batch,) in world.store.asked("finish") for each in batch]
    assert [(status, why) for status, why, _ in ends] == [
        {None: ("failed", "timeout"), "cancelled": ("cancelled", "cancelled"), SHUTDOWN: ("failed", SHUTDOWN)}[reason]
    ]
    if reason is None:
        assert ends[0][2] == "the handler did not end within 0.01 s, and goes on although it was cancelled"


async def test_a_claim_that_was_anothers_and_is_granted_shows_that_it_sleeps(parts, clock):
    """Its next jobs are not waited for; one that is refused shows nothing: it has been claimed."""
    world = world_of(parts, clock, lambda claims: Claimed([parts.a_run(claims[0])], []))
    names = {"me": 1, "you": 1}
    world.peers.received(names)
    first, second = [n for n in range(1, 99) if world.peers.turn(n)][:2]
    world.dispatcher.add([parts.a_job(first), parts.a_job(second, turn=1)])
    await world.dispatcher.run_once(lambda _: None)
    assert world.peers.turn(second) == 1
    world.dispatcher.add([parts.a_job(second, turn=1)])
    await world.dispatcher.run_once(lambda _: None)
    assert world.peers.turn(second) == 0


@pytest.mark.parametrize("run_result", ["completes", "is refused", "fails to be claimed"])
async def test_fair_limiter_that_a_tenant_had_is_its_again(parts, clock, run_result):
    """However that ends for which it was given."""
    gate = Gate()
    refused = [Claimed([], []), DOWN]
    script = {"completes": [], "is refused": refused[:1], "fails to be claimed": refused[1:]}[run_result]

    def claim(claims):
        return script.pop() if script else parts.granted(claims, handler="idle_at_gate", tenant="a")

    world = world_of(parts, clock, claim, gate, concurrency=4, tenant_share=0.5)

    async def steps():
        world.dispatcher.add([parts.a_job(n, tenant="a") for n in range(1, 9)])
        await parts.settled()
        assert len(gate.inside) == 2, "half of the slots"
        while gate.inside:
            gate.release()
            await parts.settled()
        assert world.dispatcher._ready.holdings._held == {}
        assert len(gate.ended) == {"completes": 8}.get(run_result, 6)

    await run_stages(world, steps)
    assert gate.most == 2


def repeated_claims(world):
    """Give for each request the ids that were asked for, and those asked for again."""
    return [
        ([claim.job_id for claim in claims], [claim.job_id for claim in claims if claim.again])
        for (claims,) in world.store.asked("claim")
    ]


async def test_a_claim_whose_answer_was_lost_is_asked_again_until_there_is_one(parts, clock, naps):
    """Any number of faults may come in between; other jobs are not claimed again, and no row is armed meanwhile."""
    answers = [LOST, DOWN, LOST, NO_RIGHT]
    world, started = world_of(parts, clock, lambda claims: answers.pop(0) if answers else parts.granted(claims)), []
    world.dispatcher.add([parts.a_job(1), parts.a_job(2)])
    await world.dispatcher.run_once(started.append)
    assert repeated_claims(world) == [([1, 2], [])] + [([1, 2], [1, 2])] * 4
    assert [claimed_run.run.job_id for claimed_run in started] == [1, 2]
    assert (len(world.agenda), naps) == (0, [0.1, 0.2, 0.4, 0.8])
    world.dispatcher.add([parts.a_job(3)])
    await world.dispatcher.run_once(started.append)
    assert repeated_claims(world)[-1] == ([3], [])


async def test_what_a_repeated_claim_answers_twice_is_run_once(parts, clock, naps):
    """Another run of the same job is known; it comes back with the one whose grant was lost."""
    known = parts.a_run(ClaimRequest(1, NOON))
    lost = parts.a_run(ClaimRequest(1, NOON))
    answers = [Claimed([known], []), LOST, Claimed([known, lost], [])]
    world, started = world_of(parts, clock, lambda _: answers.pop(0)), []
    for _ in range(2):
        world.dispatcher.add([parts.a_job(1)])
        await world.dispatcher.run_once(started.append)
    assert [claimed_run.run.execution_id for claimed_run in started] == [known.execution_id, lost.execution_id]
    assert world.dispatcher.executing == len(world.runs) == 2


async def test_a_lost_answer_to_a_batch_with_a_poisoned_row_is_found_all_the_same(parts, clock, naps):
    """The parts of the batch are still asked for again."""
    answers = [LOST, POISON, Claimed([], []), POISON]
    world = world_of(parts, clock, lambda _: answers.pop(0))
    world.dispatcher.add([parts.a_job(1), parts.a_job(2)])
    await world.dispatcher.run_once(lambda _: None)
    assert repeated_claims(world) == [([1, 2], []), ([1, 2], [1, 2]), ([1], [1]), ([2], [2])]
    assert set(world.agenda._jobs) == {2}


async def test_a_run_is_trusted_from_the_moment_its_claim_was_asked_for(parts, clock):
    """The database may have granted it right then, and the answer may have taken long."""

    def slow(claims):
        clock.advance(9)
        return parts.granted(claims)

    world, started = world_of(parts, clock, slow), []
    requested_at = clock.monotonic()
    world.dispatcher.add([parts.a_job(1)])
    await world.dispatcher.run_once(started.append)
    assert started[0].trusted_since == requested_at
    assert world.runs.trusted_before(requested_at + 1) == [(started[0].run.execution_id, 1)]


@pytest.mark.parametrize(("answered_after", "runs"), [(23.0, [1]), (25.0, [])])
async def test_a_claim_whose_answer_comes_too_late_to_rely_on_starts_nothing(parts, clock, answered_after, runs):
    """The machine slept meanwhile, say, and another listener may run it by now; if none does, it is handed back."""
    begun = []

    @handler("idle_at_gate")
    async def begin(job):
        begun.append(job.job_id)

    async def claim(claims):
        clock.advance(answered_after)
        return parts.granted(claims, handler="idle_at_gate")

    world = parts.stages(parts.ScriptedStore(claim=claim, finish=parts.taken), clock, begin)
    world.dispatcher.add([parts.a_job()])

    async def steps():
        await parts.settled()

    await run_stages(world, steps)
    assert begun == runs
    (ended,) = [run_result for (run_results,) in world.store.asked("finish") for run_result in run_results]
    assert (ended.status, ended.reason) == ("completed" if runs else "queued", None)


async def test_a_tenant_at_its_quota_of_runs_is_claimed_for_again_as_a_run_of_it_ends_or_after_a_second(parts, clock):
    """Not before: what it has waiting would be refused again and again."""
    gate, running = Gate(), []

    def claim(claims):
        granted = claims[: max(0, 2 - len(gate.inside))]
        rows = [parts.a_job(each.job_id, revision=2, tenant="a") for each in claims[len(granted) :]]
        runs = parts.granted(granted, handler="idle_at_gate", tenant="a").runs
        running.extend(run.job_id for run in runs)
        return Claimed(runs, rows, bounded=("a",) if rows else ())

    world = world_of(parts, clock, claim, gate, concurrency=100)

    async def steps():
        waiting = [parts.a_job(n, tenant="a") for n in range(1, 6)]
        world.dispatcher.add(waiting)
        await parts.settled()
        world.dispatcher.add(waiting[2:])
        await parts.settled()
        assert (claimed_ids(world), running) == ([[1, 2, 3, 4, 5]], [1, 2])
        clock.advance(6)
        assert world.dispatcher.delayed(5) == ({"slots": 0, "quota": 3}, 0.0)
        clock.advance(-6)
        gate.release()
        await parts.settled()
        assert (claimed_ids(world)[1:], running) == ([[3]], [1, 2, 3])
        clock.advance(1.01)
        world.dispatcher.wake()
        await parts.settled()
        assert claimed_ids(world)[2:] == [[4, 5]]

    await run_stages(world, steps)


async def test_who_was_given_no_slot_for_long_is_counted_and_reported_if_it_has_none(parts, clock):
    """A tenant that waits for more than it has is only counted."""
    gate = Gate()
    claim = lambda claims: Claimed(  # noqa: E731
        [parts.a_run(each, "idle_at_gate", tenant="a" if each.job_id < 10 else None) for each in claims], []
    )
    world = world_of(parts, clock, claim, gate, concurrency=5)

    async def steps():
        world.dispatcher.add([parts.a_job(n, tenant="a") for n in range(1, 8)])
        await parts.settled()
        assert len(gate.inside) == 4
        clock.advance(5.5)
        assert world.dispatcher.delayed(5) == ({"slots": 3, "quota": 0}, 0.0)
        world.dispatcher.add([parts.a_job(n) for n in (10, 11)])
        await parts.settled()
        world.dispatcher.add([parts.a_job(20, tenant="b")])
        clock.advance(4)
        assert world.dispatcher.delayed(5) == ({"slots": 3, "quota": 0}, 0.0)
        clock.advance(2)
        assert world.dispatcher.delayed(5) == ({"slots": 5, "quota": 0}, 6.0)

    await run_stages(world, steps)
