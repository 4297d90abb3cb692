"""Notifications stay within the listener's allowance: beyond it the database is asked to mute them for a while."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.domain.messages import Hint, Page
from listener.errors import StoreError
from listener.observability.metrics import Metrics
from listener.scheduling.muter import BURST, GRACE_SECONDS, LONGEST_MUTE_SECONDS, NOTIFY_BURST, Allowance, Mute, Muter

CHANNELS = ("broadcast", "postgres_changes")
DOWN = StoreError("mute_v1", "ConnectError", "refused", retryable=True)
A_CHANGE = Hint("broadcast", "scheduled_jobs", xid=7)


@pytest.fixture
def muter_of(clock, parts):
    """Make a muter whose store answers so; it counts six notifications a minute."""

    def make(*answers, per_minute=6, channels=CHANNELS, notify=()):
        store = parts.ScriptedStore(mute=list(answers), mute_notify=list(notify))
        passed, polls = [], []
        mute = Mute(clock)
        muter = Muter(
            store=store,
            sink=SimpleNamespace(deliver=passed.append),
            poller=SimpleNamespace(poll_now=lambda: polls.append(clock.monotonic())),
            mute=mute,
            clock=clock,
            metrics=Metrics(),
            channels=channels,
            per_minute=per_minute,
        )
        return muter, SimpleNamespace(store=store, passed=passed, polls=polls, mute=mute)

    return make


def notify(muter, count, hint=A_CHANGE):
    """Deliver so many hints."""
    for _ in range(count):
        muter.deliver(hint)


async def test_a_notification_by_notify_counts_while_realtime_is_sent_it_too(muter_of, clock):
    """A listener may receive nothing else. A mute silences Realtime alone, and what NOTIFY brings is free then."""
    muter, world = muter_of(clock.now() + timedelta(seconds=20), channels=("notify",))
    by_notify = replace(A_CHANGE, source="notify")
    notify(muter, BURST + 2, by_notify)
    await muter.run_once()
    assert len(world.store.asked("mute")) == 1
    notify(muter, 2 * BURST, by_notify)
    clock.advance(21)
    await muter.run_once()
    assert (len(world.store.asked("mute")), len(world.passed)) == (1, 3 * BURST + 2)


async def test_while_realtime_is_spared_notify_is_free_and_afterwards_nothing_is_owed(muter_of, clock):
    """Nothing was sent that would cost: a listener that joins without NOTIFY finds the whole allowance."""
    muter, world = muter_of(channels=("notify", "broadcast"))
    until = clock.now() + timedelta(seconds=20)
    world.mute.polled(Page([], 100, None, muted_until=until, spared_until=until))
    notify(muter, 2 * BURST, replace(A_CHANGE, source="notify"))
    await muter.run_once()
    assert world.mute.is_on
    until = clock.now()
    world.mute.polled(Page([], 100, None, muted_until=until, spared_until=until))
    clock.advance(1)
    assert not world.mute.is_on
    notify(muter, BURST)
    await muter.run_once()
    assert world.store.requests == []


async def test_a_mute_that_outlasts_the_sparing_is_a_mute(muter_of, clock):
    """Then the allowance is empty at its end, as ever."""
    muter, world = muter_of(None)
    spared, muted = (clock.now() + timedelta(seconds=each) for each in (5, 10))
    world.mute.polled(Page([], 100, None, muted_until=muted, spared_until=spared))
    clock.advance(9)
    assert world.mute.is_on
    clock.advance(1)
    notify(muter, 1)
    await muter.run_once()
    assert len(world.store.asked("mute")) == 1


async def test_more_than_commits_can_bear_is_muted_too(muter_of, clock):
    """Those that send a NOTIFY wait for one another; the database is asked once, and again when that is over."""
    until = clock.now() + timedelta(seconds=30)
    muter, world = muter_of(until, channels=("notify",), notify=[clock.now() + timedelta(seconds=2), None])
    by_notify = replace(A_CHANGE, source="notify")
    notify(muter, NOTIFY_BURST + 100, by_notify)
    for _ in range(2):
        await muter.run_once()
    assert world.store.asked("mute_notify") == [[pytest.approx(2)]]
    assert (world.mute.is_on_notify, world.mute.is_on) == (True, True)
    clock.advance(2)
    notify(muter, 1, by_notify)
    await muter.run_once()
    assert len(world.store.asked("mute_notify")) == 2, "nothing was saved up while another listener may have spent it"


async def test_lone_jobs_are_never_muted(muter_of, clock):
    """One in ten seconds may come for ever, and many at once from time to time; every hint is passed on."""
    muter, world = muter_of()
    for _ in range(100):
        notify(muter, 1)
        clock.advance(10)
        await muter.run_once()
    notify(muter, BURST)
    await muter.run_once()
    assert (world.store.requests, len(world.passed)) == ([], 100 + BURST)


async def test_more_than_the_allowance_is_muted_until_the_debt_is_paid(muter_of, clock):
    """And the reflector polls at once, for what was not announced since."""
    until = clock.now() + timedelta(seconds=20)
    muter, world = muter_of(until)
    notify(muter, BURST + 2)
    await muter.run_once()
    assert world.store.asked("mute") == [[pytest.approx(20)]]
    assert (world.mute.is_on, len(world.polls)) == (True, 1)
    notify(muter, 5)  # they were under way
    await muter.run_once()
    assert len(world.store.requests) == 1
    clock.advance(20)
    assert not world.mute.is_on


async def test_a_mute_that_another_listener_asked_for_empties_the_allowance(muter_of, clock):
    """A listener that began later asks at the next notification, too, and so knows of each mute at once."""
    muter, world = muter_of(clock.now() + timedelta(seconds=30))
    world.mute.learned(clock.now() + timedelta(seconds=10))
    clock.advance(15)
    notify(muter, 1)
    await muter.run_once()
    assert world.store.asked("mute") == [[pytest.approx(5)]]
    assert world.mute.is_on


async def test_both_channels_bring_one_notification(muter_of):
    """Each is counted for itself: two messages of one statement are not two notifications."""
    muter, world = muter_of()
    for channel in CHANNELS:
        notify(muter, BURST, Hint(channel, "scheduled_jobs", xid=7))
    notify(muter, 10, Hint("feed", "scheduled_jobs"))  # nobody sent that
    await muter.run_once()
    assert world.store.requests == []


@pytest.mark.parametrize("answer", [None, DOWN], ids=["refused", "no answer"])
async def test_what_is_not_granted_mutes_nothing(muter_of, answer):
    """The database has sent less than came: somebody forges notifications, which cause a request and nothing else."""
    muter, world = muter_of(answer)
    notify(muter, 10 * BURST)
    await muter.run_once()
    assert (world.mute.is_on, world.polls) == (False, [])
    assert world.store.asked("mute") == [[LONGEST_MUTE_SECONDS]]


async def test_without_an_allowance_nothing_is_counted(muter_of):
    """On a server of one's own messages cost nothing."""
    muter, world = muter_of(per_minute=0)
    notify(muter, 10 * BURST)
    await muter.run_once()
    assert world.store.requests == []


def test_a_mute_covers_what_was_written_shortly_before_its_end(clock):
    """Also one that another listener asked for, and that is over: what was polled since may have come silently."""
    mute, began = Mute(clock), clock.monotonic()
    assert not mute.covers(began)
    mute.learned(clock.now() + timedelta(seconds=5))
    mute.learned(clock.now() - timedelta(seconds=5))
    mute.learned(None)
    clock.advance(30)
    assert not mute.is_on
    assert mute.covers(began)
    assert not mute.covers(began + 5 + GRACE_SECONDS)


@given(st.lists(st.floats(0, 30), max_size=600), st.floats(1, 600))
def test_notifications_between_mutes_stay_within_the_allowance(pauses, per_minute):
    """However they are spread: those of so many seconds are at most the burst, the rate, and one for each mute."""
    now, heard = 0.0, 0
    allowance = Allowance(per_minute, now)
    muted_until = 0.0
    for pause in pauses:
        now += pause
        if now < muted_until:
            continue
        allowance.spend(now)
        heard += 1
        muted_until = now + allowance.debt_seconds(now)
    assert heard <= BURST + now * per_minute / 60 + 1.001
