"""All listeners agree on who comes first for a job, each for as many jobs, and only who leaves loses its own."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.domain.rendezvous import BUCKETS, Order, seed, turn

ids = st.uuids().map(str)
jobs = st.integers(1, 2**63 - 1)


def order_of(job_id, listeners):
    """Give the listeners in the order in which each of them, on its own, computes that it comes."""
    seeds = {each: seed(each) for each in listeners}
    turns = {each: turn(job_id, seeds[each], tuple(seeds[o] for o in listeners if o != each)) for each in listeners}
    assert sorted(turns.values()) == list(range(len(listeners))), "one for each place"
    return sorted(listeners, key=turns.__getitem__)


@given(job_id=jobs, listeners=st.lists(ids, min_size=1, max_size=6, unique=True), leaving=st.integers(0, 5))
def test_who_leaves_changes_nothing_among_the_others(job_id, listeners, leaving):
    """Each listener has a place of its own for each job, and keeps it relative to all that stay."""
    order = order_of(job_id, listeners)
    gone = listeners[leaving % len(listeners)]
    assert order_of(job_id, [each for each in listeners if each != gone]) == [each for each in order if each != gone]


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("step", [1, 8, 1000, 2**32])
def test_each_listener_is_first_for_as_many_jobs(count, step):
    """It holds for any steps between the ids of jobs; of the jobs of one, each other is second for as many."""
    listeners = [str(uuid.UUID(int=n)) for n in range(count)]
    firsts, seconds = Counter(), Counter()
    for n in range(4000):
        first, second, *_ = order_of(1 + n * step, listeners)
        firsts[first] += 1
        seconds[first, second] += 1
    assert max(firsts.values()) < 1.2 * min(firsts.values()) + 40
    assert len(seconds) == count * (count - 1)
    assert max(seconds.values()) < 1.5 * min(seconds.values()) + 40


def test_the_order_is_the_same_in_every_version():
    """Listeners of two versions live together during a deploy, and must agree."""
    a, b, c = (seed(name) for name in "abc")
    assert a == 4681665781835383343
    assert [turn(job_id, a, (b, c)) for job_id in range(10)] == [2, 2, 0, 0, 2, 0, 1, 0, 2, 2]
    assert [turn(BUCKETS + 2, a, (b, c)), turn(-2, a, (b, c))] == [0, 0], "the database computes the bucket too"


@given(job_id=jobs, listeners=st.lists(ids, min_size=1, max_size=4, unique=True))
def test_an_order_has_the_turns_and_marks_the_buckets_of_the_first(job_id, listeners):
    """A bit for each bucket, as PostgreSQL's get_bit counts them."""
    mine, *others = map(seed, listeners)
    order = Order(mine, tuple(others))
    assert order.turn(job_id) == order.turn(job_id) == turn(job_id, mine, tuple(others))
    bits, place = order.first(), job_id % BUCKETS
    assert bits[place // 8] >> place % 8 & 1 == (order.turn(job_id) == 0)
    assert len(bits) * 8 >= BUCKETS
