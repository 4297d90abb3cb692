"""Jobs that polls leave to other listeners are read unless these run them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from listener.domain.messages import Listing, Page
from listener.domain.rendezvous import BUCKETS, bucket
from listener.errors import StoreError
from listener.scheduling.left_to_peers import CHECK_SECONDS, MOST_DUE, PAUSE_SECONDS, SAMPLE, LeftToPeers
from listener.scheduling.peers import MANY, Peers
from listener.testing import NOON

NAMES = ["me", "b", "c"]
DUE = range(1, 301)
HELD = 1000
"""Jobs in memory."""


@pytest.fixture
def shared(clock, parts):
    """A listener beside two others, on a database in which many jobs are due; whatever it is asked for, it answers."""
    store = parts.ScriptedStore(
        due=lambda _, most: Listing(list(DUE)[:most], 100, world.complete_until),
        read=lambda ids: Page([parts.a_job(each) for each in ids[:60]], 100, 60 if len(ids) > 60 else None),
    )
    world = parts.stages(store, clock)
    world.complete_until = world.reconciler.armed_until
    world.names = {"me": world.peers, **{name: Peers(name, clock, 15) for name in NAMES[1:]}}
    for each in world.names.values():
        each.received(dict.fromkeys(NAMES, 1))
    world.left_out = LeftToPeers(store, world.reconciler, world.peers, clock, HELD)
    return world


def has(share, job_id):
    """Whether a share has a job, as the database finds out."""
    return share[bucket(job_id) // 8] >> bucket(job_id) % 8 & 1 == 1


def turn_is(world, turn, jobs=DUE):
    """Name the jobs of which this listener has such a turn."""
    return [job_id for job_id in jobs if world.peers.turn(job_id) == turn]


def busy(world, seconds=PAUSE_SECONDS):
    """Let this listener claim many of its own jobs just now."""
    world.peers.claims([SimpleNamespace(turn=0)] * MANY, seconds)


def test_the_shares_of_all_have_each_job_once_where_its_turn_is_first(shared, clock):
    """So no job waits because all have left it out, and none is read twice."""
    shares = {
        name: LeftToPeers(shared.store, shared.reconciler, peers, clock, HELD).share()
        for name, peers in shared.names.items()
    }
    for job_id in (*range(-BUCKETS, 2 * BUCKETS), 2**63 - 1):
        (first,) = [name for name, share in shares.items() if has(share, job_id)]
        assert shared.names[first].turn(job_id) == 0


def test_a_listener_shares_only_with_those_that_have_the_same_handlers(shared):
    """A job of a handler that another one lacks would wait for it."""
    shared.peers.received(dict.fromkeys(NAMES, 2), {"b": ["others"]})
    share, alone = shared.left_out.share(), Peers("me", shared.clock, 15)
    alone.received({"me": 1, "c": 1})
    assert [has(share, n) for n in DUE] == [alone.turn(n) == 0 for n in DUE]
    shared.peers.received(dict.fromkeys(NAMES, 3), {"b": ["others"], "c": ["others"]})
    assert (shared.left_out.share(), shared.left_out.first_page) == (None, None)


async def test_nothing_is_read_while_nothing_was_left_out(shared, clock):
    """The others may go, and any time pass."""
    shared.peers.received({"me": 2})
    clock.advance(99)
    await shared.left_out.run_once()
    assert shared.store.requests == []
    assert shared.left_out.pause_seconds > 99


@pytest.mark.parametrize("how", ["leaves", "sleeps", "heartbeats end", "does not know this one"])
async def test_what_was_left_to_a_listener_that_is_gone_is_read_at_once(shared, clock, how):
    """Not after the pause, and however busy all are; what is this listener's own was read before."""
    left = turn_is(shared, 1) + turn_is(shared, 2)
    shared.left_out.share()
    await shared.left_out.run_once()
    assert shared.store.requests == []
    assert shared.left_out.pause_seconds == CHECK_SECONDS
    if how == "leaves":
        shared.peers.received({"me": 2, "b": 2})
    elif how == "sleeps":
        job_id = next(n for n in DUE if [each.turn(n) for each in shared.names.values()] == [1, 2, 0])
        shared.peers.judge([(job_id, None)], [])
    elif how == "heartbeats end":
        clock.advance(15)
    else:
        shared.peers.received({"b": 2, "c": 2})
    busy(shared)
    await shared.left_out.run_once()
    assert set(shared.agenda._jobs) == set(left)
    asked = len(shared.store.requests)
    await shared.left_out.run_once()
    assert len(shared.store.requests) == asked


async def test_all_of_it_is_read_after_a_pause_unless_all_are_busy(shared, clock):
    """Further pages put nothing off. Of those that are busy a sample is read: jobs that no third listener tries."""
    shared.left_out.share()
    clock.advance(PAUSE_SECONDS - 0.1)
    shared.left_out.share()
    await shared.left_out.run_once()
    assert shared.store.requests == []
    busy(shared)
    clock.advance(0.1)
    for _ in range(2):
        await shared.left_out.run_once()
    assert set(shared.agenda._jobs) == set(turn_is(shared, 1)[:SAMPLE])
    assert [most for _, most in shared.store.asked("due")] == [MOST_DUE]
    clock.advance(PAUSE_SECONDS)
    for _ in range(2):
        await shared.left_out.run_once()
    assert set(shared.agenda._jobs) == set(DUE) - set(turn_is(shared, 0))
    assert [most for _, most in shared.store.asked("due")] == [MOST_DUE, HELD]


async def test_of_two_shares_what_either_left_out_is_read(shared, clock):
    """A listener that leaves has jobs that were never left to the one that stays."""
    shared.left_out.share()
    left = set(DUE) - set(turn_is(shared, 0))
    shared.peers.received(dict.fromkeys([*NAMES, "d"], 2))
    shared.left_out.share()
    left |= set(DUE) - set(turn_is(shared, 0))
    shared.peers.received({"me": 3, "d": 3})
    await shared.left_out.run_once()
    assert set(shared.agenda._jobs) == left


async def test_a_failure_leaves_it_to_be_read_next_time(shared, clock):
    """Nothing is forgotten before it is read."""
    shared.left_out.share()
    clock.advance(PAUSE_SECONDS)
    answer, down = shared.store._scripts["read"], StoreError("jobs_v1", "ConnectError", "refused", retryable=True)
    shared.store._scripts["read"] = lambda _: down
    with pytest.raises(StoreError):
        await shared.left_out.run_once()
    shared.store._scripts["read"] = answer
    await shared.left_out.run_once()
    assert set(shared.agenda._jobs) == set(turn_is(shared, 1) + turn_is(shared, 2))


async def test_more_than_memory_holds_is_left_to_the_lists(shared, clock):
    """A list that was cut says up to when it is whole."""
    shared.left_out.share()
    clock.advance(PAUSE_SECONDS)
    shared.complete_until = NOON
    await shared.left_out.run_once()
    assert shared.reconciler.complete_until == NOON
