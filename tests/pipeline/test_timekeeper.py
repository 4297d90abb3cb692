"""The timekeeper passes on what is due, and nothing before."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from types import SimpleNamespace

import anyio
import pytest

from listener.clock import DatabaseClock
from listener.scheduling.agenda import Agenda
from listener.scheduling.peers import Peers
from listener.scheduling.timekeeper import Timekeeper
from listener.testing import NOON


def test_it_gives_what_is_due_and_is_silent_otherwise(clock, parts):
    """Earliest first, together."""
    agenda, given = Agenda(clock, 0), []
    keeper = Timekeeper(agenda, SimpleNamespace(add=given.append), Peers("me", clock, 15), clock)
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
    give = lambda jobs: given.extend((job.id, clock.now() - begun) for job in jobs)  # noqa: E731
    keeper = Timekeeper(agenda, SimpleNamespace(add=give), Peers("me", clock, 15), clock)
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


@pytest.fixture
def shared(parts):
    """Three listeners that have received of one another: a clock, and of each its timekeeper, agenda and jobs given."""
    clock, names = parts.VirtualClock(), ["a", "b", "c"]
    listeners = []
    for name in names:
        agenda, peers, given = Agenda(clock, 250), Peers(name, clock, 15), []
        peers.received(dict.fromkeys(names, 1))
        keeper = Timekeeper(agenda, SimpleNamespace(add=given.extend), peers, clock)
        listeners.append(SimpleNamespace(name=name, keeper=keeper, agenda=agenda, peers=peers, given=given))
    return SimpleNamespace(clock=clock, listeners=listeners)


def let_time_pass(shared, until, *, among=None):
    """Give who claimed which job after how many seconds, to a hundredth of a second."""
    seen = []
    while (now := (shared.clock.now() - NOON).total_seconds()) < until:
        for each in among or shared.listeners:
            each.keeper.run_once()
            seen += [(job.id, round(now, 2), each.name) for job in each.given]
            each.given.clear()
        shared.clock.advance(0.01)
    return seen


def test_each_job_is_claimed_by_one_at_a_time(shared, parts):
    """The first ahead of its time, the second and third a moment and two after it; each listener is first for some."""
    for each in shared.listeners:
        for job_id in range(1, 61):
            each.agenda.arm(parts.a_job(job_id, due_in=5), NOON + timedelta(seconds=5))
    claims = {}
    for job_id, seconds, name in let_time_pass(shared, 6):
        claims.setdefault(job_id, []).append((seconds, name))
    assert all([seconds for seconds, _ in tries] == [4.75, 5.26, 5.51] for tries in claims.values())
    assert all(len({name for _, name in tries}) == 3 for tries in claims.values())
    firsts = Counter(tries[0][1] for tries in claims.values())
    assert len(claims) == 60
    assert min(firsts[each.name] for each in shared.listeners) >= 8


def test_a_row_that_is_read_again_and_again_waits_no_longer_for_it(shared, parts):
    """The job of a dead listener: each poll arms it anew, at a time that has passed."""
    alive = shared.listeners[:2]
    job_id = next(n for n in range(1, 99) if [each.peers.turn(n) for each in alive] == [1, 2])
    seen = []
    while not seen:
        for each in alive:
            each.agenda.arm(parts.a_job(job_id), NOON)
        seen = let_time_pass(shared, (shared.clock.now() - NOON).total_seconds() + 0.01, among=alive)
    assert [(each, name) for each, _, name in seen] == [(job_id, "a")]
    assert 0.25 <= seen[0][1] <= 0.26


def test_who_has_heard_of_nobody_for_long_waits_for_nobody(shared, parts):
    """The others may be gone; and who is not known to them claims everything too."""
    one = shared.listeners[0]
    for change in (lambda: shared.clock.advance(15), lambda: one.peers.received({"b": 1, "c": 1})):
        one.peers.received({"a": 1, "b": 1, "c": 1})
        job_id = next(n for n in range(1, 99) if one.peers.turn(n))
        change()
        due_in = (shared.clock.now() - NOON).total_seconds()
        one.agenda.arm(parts.a_job(job_id, due_in=due_in), shared.clock.now())
        assert one.keeper.run_once() == 1


def test_a_listener_that_left_its_job_to_others_is_waited_for_no_more_until_it_beats_again(shared):
    """It is dead, or behind: its next jobs are claimed by who comes next, without a pause."""
    one = shared.listeners[0].peers
    first = {n: [each.name for each in shared.listeners if each.peers.turn(n) == 0] for n in range(1, 99)}
    of_b = [n for n, names in first.items() if names == ["b"] and one.turn(n) == 1]
    one.judge([(of_b[0], None)], [(of_b[1], None)])
    assert [one.turn(n) for n in of_b] == [1] * len(of_b), "it has claimed another one: it is only slow"
    one.judge([(of_b[0], None)], [])
    assert [one.turn(n) for n in of_b] == [0] * len(of_b)
    assert len(one.others) == 1
    one.received(dict.fromkeys("abc", 1))
    assert len(one.others) == 1, "that was the same heartbeat"
    one.received(dict.fromkeys("abc", 2))
    assert [one.turn(n) for n in of_b] == [1] * len(of_b)


def test_a_job_is_shared_only_with_the_listeners_that_have_its_handler(shared):
    """Others take none of its turns, and are not suspected for leaving it."""
    one = shared.listeners[0].peers
    one.received(dict.fromkeys("abc", 1), {"b": ["theirs", "common"], "c": ["theirs"]})
    assert {one.turn(n, "mine") for n in range(1, 99)} == {0}
    assert {one.turn(n, "common") for n in range(1, 99)} == {0, 1}
    assert {one.turn(n, "theirs") for n in range(1, 99)} == {0, 1, 2}
    last = next(n for n in range(1, 99) if one.turn(n, "theirs") == 2)
    one.judge([(last, "common")], [])
    assert {one.turn(n, "common") for n in range(1, 99)} == {0}
    assert {one.turn(n, "theirs") for n in range(1, 99)} == {0, 1}
    one.received(dict.fromkeys("abc", 1))
    assert len({one.turn(n, "mine") for n in range(1, 99)}) > 1, "one without an entry has what this one has"


def test_jobs_of_others_wait_while_all_are_busy(shared, parts):
    """Listeners that claim hundreds at a time are late for all of theirs, and a claim of theirs would meet theirs."""
    one = shared.listeners[0]
    mine = [n for n in range(1, 1999) if one.peers.turn(n) == 0]
    theirs = [n for n in range(1, 1999) if one.peers.turn(n)][:300]
    seen = []
    for second in range(7):
        for n in mine[second * 100 : (second + 1) * 100]:
            one.agenda.arm(parts.a_job(n, due_in=second), NOON + timedelta(seconds=second))
        for n in theirs if second == 0 else ():
            one.agenda.arm(parts.a_job(n), NOON)
        seen += [each for each in let_time_pass(shared, second + 1, among=[one]) if each[0] in theirs]
    tried = Counter(int(at) for _, at, _ in seen)
    assert sorted(n for n, _, _ in seen) == sorted(theirs)
    assert tried[2] == 100, "some, to learn who sleeps"
    assert set(tried) <= {2, 4, 5, 6}


def test_jobs_of_others_that_are_found_late_are_not_tried_at_once_while_all_are_busy(shared, parts):
    """However long nothing was set aside: a thousand jobs of one statement are late when it commits."""
    one = shared.listeners[0]
    one.keeper.run_once()
    shared.clock.advance(10)
    late = range(1, 999)
    for n in late:
        one.agenda.arm(parts.a_job(n), NOON)
    one.keeper.run_once()
    assert {job.id for job in one.given} == {n for n in late if one.peers.turn(n) == 0}
    assert one.agenda.aside == sum(one.peers.turn(n) > 0 for n in late)


def test_a_listener_found_asleep_is_waited_for_no_more_at_once(shared, parts):
    """Its jobs, some of which were put off or set aside, are due."""
    one = shared.listeners[0]
    theirs = [n for n in range(1, 999) if one.peers.turn(n)][:250]
    for n in theirs:
        one.agenda.arm(parts.a_job(n), NOON)
    one.keeper.run_once()
    assert one.given == []
    one.peers.judge([(n, None) for n in theirs], [])
    one.keeper.run_once()
    assert sorted(job.id for job in one.given) == theirs


def test_jobs_set_aside_can_be_disarmed_and_armed_anew(shared, parts):
    """They are armed like all others."""
    one = shared.listeners[0]
    first, second, third = [n for n in range(1, 99) if one.peers.turn(n) == 1][:3]
    for n in (first, second, third):
        one.agenda.set_aside(parts.a_job(n))
    one.agenda.disarm(first)
    one.agenda.arm(parts.a_job(second, due_in=60), NOON + timedelta(seconds=60))
    assert (len(one.agenda), one.agenda.aside, one.agenda.shares.total) == (2, 1, 2)
    assert [job.id for job in one.agenda.take_aside(5, 0)] == [third]
    assert (len(one.agenda), one.agenda.aside, one.agenda.shares.total) == (1, 0, 1)
