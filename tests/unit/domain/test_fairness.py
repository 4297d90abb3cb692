"""Tenants take turns whatever they ask for, and always leave capacity for one another."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.domain.fairness import FAIR_BATCH, FairQueue
from listener.domain.job import Job
from listener.testing import NOON


def a_job(job_id, tenant=None, priority=0, late=0, turn=0, user=None):  # noqa: PLR0913, PLR0917 - what tests vary
    """Make a job that is due for so many seconds."""
    at = NOON - timedelta(seconds=late)
    return Job(job_id, 1, "scheduled", priority, at, at, tenant=tenant, turn=turn, user=user)


def filled(*jobs, share=0.8):
    """Make a queue of these jobs."""
    queue = FairQueue(share)
    for job in jobs:
        queue.add(job)
    return queue


def ids(batch):
    """Give the ids of jobs."""
    return [job.id for job in batch]


def test_a_flood_delays_another_tenant_by_one_job():
    """However early its jobs were due, and however high it puts them."""
    queue = filled(*(a_job(n, "greedy", 32767, late=n) for n in range(1, 1001)), a_job(2000, "modest", -5))
    assert 2000 in ids(queue.take(5000, 1000)[:2])


def test_what_is_taken_at_a_time_is_small_unless_it_is_all_the_services():
    """The next tenant waits for the answer to the claims that were taken before."""
    service = [a_job(n) for n in range(1, 501)]
    assert len(filled(*service).take(5000, 1000)) == 500
    assert len(filled(*service).take(5000, 300)) == 300
    assert len(filled(*service, a_job(900, "somebody")).take(5000, 1000)) == FAIR_BATCH
    assert len(filled(*(a_job(n, "somebody") for n in range(500))).take(5000, 1000)) == FAIR_BATCH


def test_within_a_tenant_priority_then_ones_own_then_the_earlier_goes_first():
    """Those that are another listener's to claim come after all of one's own of the same priority."""
    queue = filled(a_job(1, late=1), a_job(2, late=9, turn=1), a_job(3, late=5), a_job(4, priority=1), a_job(5, late=1))
    assert ids(queue.take(9, 9)) == [4, 3, 1, 5, 2]


def held_by(queue, capacity, tenants):
    """Take all that may be held, and return how much each tenant holds."""
    held = Counter()
    while queue.may_take(capacity - held.total()):
        held.update(job.tenant for job in queue.take(capacity - held.total(), 1000))
    return [held[tenant] for tenant in tenants]


@pytest.mark.parametrize(("tenants", "expected"), [("a", [80]), ("ab", [45, 44]), ("abcd", [24, 24, 24, 23])])
def test_no_number_of_tenants_takes_every_slot(tenants, expected):
    """One takes its share; more of them less each, so that somebody who comes anew finds some."""
    jobs = [a_job(1000 * n + k, tenant) for n, tenant in enumerate(tenants) for k in range(500)]
    queue = filled(*jobs)
    assert held_by(queue, 100, tenants) == expected
    queue.add(a_job(99_999, "new"))
    assert ids(queue.take(100 - sum(expected), 1000)) == [99_999]


def test_workspaces_of_one_user_take_one_users_turns_and_share():
    """Together with the user's private jobs, and nobody else's in those workspaces."""
    greedy = [a_job(n, f"workspace-{n % 20}", user="greedy", priority=9) for n in range(1, 1001)]
    queue = filled(*greedy, *(a_job(2000 + n, "modest", -5, user="modest") for n in range(30)))
    assert Counter(job.user for job in queue.take(100, 60)) == {"greedy": 30, "modest": 30}
    assert queue.may_take(8)
    queue = filled(*greedy)
    assert len(queue.take(100, 100)) == 80
    queue.add(a_job(3000, "workspace-1", user="another"))
    assert ids(queue.take(20, 100)) == [3000]


def test_a_workspace_of_many_users_takes_one_workspaces_turns():
    """However many of them there are."""
    shared = [a_job(n, "shared", user=f"user-{n % 20}") for n in range(1, 201)]
    queue = filled(*shared, *(a_job(2000 + n, "modest") for n in range(30)))
    assert Counter(job.tenant for job in queue.take(100, 60)) == {"shared": 30, "modest": 30}


def test_turns_are_not_saved_up():
    """A tenant that was held back at its share, or came late, does not go before all others afterwards."""
    queue = filled(*(a_job(n, "a") for n in range(100)), share=0.5)
    assert len(queue.take(100, 40)) == 40
    for n in range(100, 200):
        queue.add(a_job(n, "b"))
    assert [job.tenant for job in queue.take(60, 4)] == ["b", "a", "b", "a"]


def test_a_party_with_a_bound_holds_no_more_until_it_is_forgotten():
    """Or until it holds less: another one's run may take the place."""
    queue = filled(*(a_job(n, "a") for n in range(9)), a_job(10, "b"))
    assert len(queue.take(100, 4)) == 4
    queue.holdings.bound("a")
    assert ids(queue.take(100, 9)) == []
    queue.holdings.release(("a",))
    assert len(queue.take(100, 9)) == 1
    assert not queue.may_take(100)
    queue.holdings.unbind()
    assert len(queue.take(100, 9)) == 5


def test_the_services_own_jobs_may_take_every_slot():
    """Also beside others', with which they take turns."""
    assert held_by(filled(*(a_job(n) for n in range(300))), 100, [None]) == [100]
    both = filled(*(a_job(n) for n in range(300)), *(a_job(n, "a") for n in range(300, 600)))
    service, other = held_by(both, 100, [None, "a"])
    assert service + other == 100
    assert other >= 40


@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_a_tenant_alone_finds_a_slot_however_little_there_is(capacity):
    """A share of one is one."""
    assert sum(held_by(filled(a_job(1, "a"), a_job(2, "a"), share=0.1), capacity, "a")) >= 1


def test_what_is_released_can_be_taken_again():
    """By the tenant that was stopped at its share."""
    queue = filled(*(a_job(n, "a") for n in range(20)), share=0.5)
    assert len(queue.take(10, 100)) == 5
    assert (queue.may_take(5), queue.take(5, 100)) == (False, [])
    queue.holdings.release(("a",))
    assert queue.may_take(6)
    assert len(queue.take(6, 100)) == 1


tenants = st.sampled_from([None, "a", "b", "c"])
additions = st.tuples(st.just("add"), st.integers(1, 15), tenants, st.integers(-1, 1))
takings = st.tuples(st.just("take"), st.integers(0, 6))
run_results = st.tuples(st.just("end"), st.integers(0, 20))
steps = st.lists(additions | takings | run_results, max_size=60)


@given(steps=steps, capacity=st.integers(1, 8), share=st.sampled_from([0.1, 0.5, 0.8]))
def test_every_job_is_taken_once_and_the_queue_never_sticks(steps, capacity, share):
    """After any order of adding, taking and ending it agrees with a plain set of ids."""
    queue, waiting, held = FairQueue(share), {}, []
    for kind, number, *more in steps:
        if kind == "add":
            waiting[number] = a_job(number, *more)
            queue.add(waiting[number])
        elif kind == "take":
            free_slots = capacity - len(held)
            may = queue.may_take(free_slots)
            batch = queue.take(free_slots, number + 1)
            assert bool(batch) == may
            assert len(batch) <= min(free_slots, number + 1)
            held += [waiting.pop(job.id) for job in batch]
        elif held:
            queue.holdings.release(held.pop(number % len(held)).parties)
        assert len(queue) == len(waiting)
    for job in held:
        queue.holdings.release(job.parties)
    taken = []
    while waiting:
        assert queue.may_take(capacity)
        batch = queue.take(capacity, 3)
        assert batch, "nothing is held, and something waits"
        for job in batch:
            taken.append(waiting.pop(job.id))
            queue.holdings.release(job.parties)
    assert (len(queue), queue.may_take(capacity), queue._queues, queue.holdings._held) == (0, False, {}, {})
