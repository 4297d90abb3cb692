"""The reflector sees every change at its next look at the latest, and looks no more often than it has to."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace

import anyio
import pytest
from structlog.testing import capture_logs

from listener.domain.messages import ClaimRequest, Hint, Listing, Page
from listener.domain.snapshot import Snapshot
from listener.errors import StoreError
from listener.observability.health import Health
from listener.scheduling.left_to_peers import FIRST_PAGE, LeftToPeers
from listener.scheduling.reflector import LEAST_POLL_SECONDS, MOST_ANNOUNCED, Reflector
from listener.testing import NOON

DOWN = StoreError("poll_jobs_v1", "ConnectError", "refused", retryable=True)
MISSED = "listener_feed_changes_missed_total"
EMPTY = Page([], 100, None)


def listing(*ids, cursor=100, complete_in=300.0, left_out=0):
    """A page that the database chose; it left nothing out that is due before so many seconds are over."""
    return Listing(list(ids), cursor, NOON + timedelta(seconds=complete_in), left_out)


@pytest.fixture
def reported():
    """The hints of polls."""
    return []


@pytest.fixture
def reflector_of(clock, parts, reported):
    """Make a reflector on a store that answers so; `world` has its neighbours."""

    def make(**scripts):
        usual = {"unplanned": lambda *_: EMPTY, "due": lambda *_: listing(), "read": lambda *_: EMPTY}
        store = parts.ScriptedStore(**{**usual, **scripts})
        world = parts.stages(store, clock, horizon_jobs=3)
        health = Health(clock, ("broadcast", "notify"))
        reflector = Reflector(
            store=store,
            reconciler=world.reconciler,
            left_out=LeftToPeers(store, world.reconciler, world.peers, clock, 3),
            clock=clock,
            health=health,
            metrics=world.metrics,
            horizon=timedelta(seconds=300),
            horizon_jobs=3,
            poll_seconds=5,
            stale_poll_seconds=1,
            relist_seconds=60,
            sink=SimpleNamespace(deliver=reported.append),
            muted_poll_seconds=0.06,
        )
        return reflector, world, health

    return make


def missed_by(metrics):
    """Read how many changes were missed."""
    (line,) = [line for line in metrics.exposition().decode().splitlines() if line.startswith(MISSED)]
    return float(line.split()[1])


def methods(world):
    """Name the requests so far."""
    return [name for name, *_ in world.store.requests]


async def test_it_lists_first_page_by_page_and_polls_from_the_first_pages_cursor(reflector_of, parts):
    """Rows committed while it listed lie behind that cursor; a page may be shorter than its limit."""
    pages = [Page([parts.a_job(1)], 60, 1), Page([parts.a_job(2)], 70, None)]
    more = [Page([replace(parts.a_job(3), next_run_at=None)], 70, 3), Page([], 80, None)]
    reflector, world, _ = reflector_of(due=[listing(1, 2, cursor=50)], read=pages, unplanned=more, poll=[EMPTY])
    await reflector.run_once()
    assert methods(world) == ["due", "read", "read", "unplanned", "unplanned"]
    assert world.store.asked("read") == [[[1, 2]], [[2]]]
    assert set(world.agenda._jobs) == {1, 2}
    reflector.poll_now()
    await reflector.run_once()
    assert world.store.asked("poll") == [[Snapshot.before(50), world.reconciler.armed_until, None, None]]


async def test_of_many_changes_it_reads_the_first_and_its_share_of_the_rest(reflector_of, parts, clock):
    """While other listeners share; what it left to one of them is read when that one is gone."""
    pages = [Page([parts.a_job(each)], 110, after) for each, after in ((1, "a"), (2, "b"), (3, None))]
    reflector, world, _ = reflector_of(
        poll=[*pages, *pages],
        due=[listing(), listing(1, 2, 3, 4)],
        read=lambda ids: Page([parts.a_job(each) for each in ids], 110, None),
    )
    await reflector.run_once()
    await reflector.poll()
    assert [asked[3:] for asked in world.store.asked("poll")] == [[None], [None, None], [None, None]]
    world.peers.received({"me": 1, "b": 1})
    await reflector.poll()
    share = world.peers.share(world.peers.alike)
    assert [asked[3:] for asked in world.store.asked("poll")[3:]] == [[FIRST_PAGE], [None, share], [None, share]]
    theirs = [each for each in range(1, 5) if world.peers.turn(each)]
    world.peers.received({"me": 2})
    await reflector.run_once()
    assert world.store.asked("read") == [[theirs]]


async def test_a_list_reads_what_was_left_to_others(reflector_of, parts, clock):
    """Nothing is left to be read after it."""
    reflector, world, _ = reflector_of(poll=[Page([], 110, "a"), EMPTY, EMPTY])
    await reflector.run_once()
    world.peers.received({"me": 1, "b": 1})
    await reflector.poll()
    await reflector.relist()
    clock.advance(10)
    await reflector.run_once()
    assert len(world.store.asked("due")) == 2


async def test_the_cursor_moves_only_when_every_page_was_read(reflector_of, parts):
    """A poll that broke off is begun anew."""
    reflector, world, _ = reflector_of(
        poll=[Page([], 110, "a"), DOWN, Page([], 120, "a"), Page([parts.a_job(1)], 130, None), EMPTY]
    )
    await reflector.run_once()
    with pytest.raises(StoreError):
        await reflector.poll()
    await reflector.poll()
    await reflector.poll()
    assert [seen.end for seen, *_ in world.store.asked("poll")] == [100, 100, 100, 100, 120]
    assert 1 in world.agenda


async def test_a_change_that_no_hint_reported_is_counted_once_and_not_before_the_next_poll(reflector_of, parts, clock):
    """A hint may be slower than a poll; what no poll could have announced counts for nobody."""
    before, reported, late, lost = (parts.a_job(each, revision=100 + each) for each in (1, 2, 3, 4))
    pages = [Page([before], 101, None), *[Page([before, reported, late, lost], 101, None)] * 3]
    reflector, world, health = reflector_of(poll=pages)
    missed = lambda: missed_by(world.metrics)  # noqa: E731 - asked four times
    await reflector.run_once()
    health.received("broadcast")
    await reflector.poll()
    reflector.take_hint(Hint("broadcast", "scheduled_jobs", xid=102))
    reflector.take_hint(Hint("poll", "scheduled_jobs", gone=(9,), xid=104))
    await reflector.poll()
    reflector.take_hint(Hint("broadcast", "scheduled_jobs", xid=103))
    assert missed() == 0
    for _ in range(2):
        clock.advance(3)
        await reflector.poll()
        assert missed() == 1
    world.store._scripts["poll"].append(EMPTY)
    await reflector.poll()
    assert missed() == 1


@pytest.mark.parametrize("found", [True, False], ids=["a change without a hint", "a hint without rows"])
async def test_it_polls_more_often_for_a_while_after_what_realtime_may_not_survive(reflector_of, parts, clock, found):
    """Thousands of rows in one transaction make Realtime drop what follows, and nothing says so."""
    answers = [EMPTY, Page([parts.a_job(1, revision=200)] if found else [], 201, None)]
    reflector, world, health = reflector_of(poll=lambda *_: answers.pop(0) if answers else Page([], 201, None))
    health.received("broadcast")
    await reflector.run_once()
    await reflector.poll()
    if not found:
        reflector.take_hint(Hint("broadcast", "scheduled_jobs", xid=200))
    reflector.poll_now()
    await reflector.run_once()
    times = []
    for _ in range(20):
        clock.advance(1)
        polls = len(world.store.asked("poll"))
        await reflector.run_once()
        times += [clock.monotonic()] if len(world.store.asked("poll")) > polls else []
    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert (pauses[:8], pauses[-1]) == ([1] * 8, 5)


async def test_a_change_that_no_channel_brought_makes_it_doubt_them(reflector_of, parts):
    """A poll that finds it is proof enough; one that a channel announced, or that was there before, is no reason."""
    before, announced, silent = (parts.a_job(each, revision=100 + each) for each in (1, 2, 3))
    pages = [[before], [before, announced], [before, announced, silent], [before, announced, silent]]
    reflector, _, health = reflector_of(poll=[Page(page, 101, None) for page in pages])
    doubts = []
    reflector.doubter = SimpleNamespace(doubt=lambda: doubts.append(len(doubts)))
    await reflector.run_once()
    health.received("broadcast")
    counted = []
    for number in range(len(pages)):
        await reflector.poll()
        counted.append(len(doubts))
        if number == 0:
            reflector.take_hint(Hint("broadcast", "scheduled_jobs", xid=102))
    assert counted == [0, 0, 1, 2]


async def test_while_notifications_are_muted_it_polls_at_short_intervals_and_doubts_nothing(reflector_of, parts, clock):
    """No channel was to bring the changes that polls find then; a second after the end all is as before."""
    muted_until = clock.now() + timedelta(seconds=1)
    found = iter(range(200, 10_000))
    answer = lambda *_: Page([parts.a_job(9, revision=next(found))], 101, None, muted_until=muted_until)  # noqa: E731
    reflector, world, health = reflector_of(poll=answer)
    doubts, times = [], []
    reflector.doubter = SimpleNamespace(doubt=lambda: doubts.append(clock.monotonic()))
    health.received("broadcast")
    await reflector.run_once()
    reflector.poll_now()
    began = clock.monotonic()
    for _ in range(1000):
        polls = len(world.store.asked("poll"))
        await reflector.run_once()
        times += [clock.monotonic() - began] if len(world.store.asked("poll")) > polls else []
        clock.advance(0.01)
    short = [later - sooner for sooner, later in pairwise(times) if later < 2]
    assert 0.05 < min(short) <= max(short) < 0.08
    assert next(later - sooner for sooner, later in pairwise(times) if sooner > 2) > 0.9
    assert doubts
    assert min(doubts) > began + 2


@pytest.mark.parametrize("seconds", [0, 10])
async def test_a_mute_of_realtime_does_not_concern_a_listener_that_receives_notify(reflector_of, clock, seconds):
    """It is notified all the same, so it polls as ever; unless NOTIFY is muted too."""
    muted_until, notify_until = (clock.now() + timedelta(seconds=each) for each in (10, seconds))
    answer = Page([], 101, None, muted_until=muted_until, notify_muted_until=notify_until if seconds else None)
    reflector, world, health = reflector_of(poll=lambda *_: answer)
    health.received("notify")
    await reflector.run_once()
    reflector.poll_now()
    for _ in range(900):
        await reflector.run_once()
        clock.advance(0.01)
    assert (len(world.store.asked("poll")) > 50) is (seconds > 0)


@pytest.fixture
def spared(reflector_of, parts, clock):
    """A reflector whose polls find changes, and say that Realtime is spared, and until when NOTIFY is muted."""

    def make(spared_until=lambda now: now + timedelta(seconds=10), notify_muted_until=None):
        found = iter(range(200, 10_000))

        def answer(*_):
            until = spared_until(clock.now())
            jobs = [parts.a_job(9, revision=next(found))]
            muted = {"muted_until": until, "spared_until": until, "notify_muted_until": notify_muted_until}
            return Page(jobs, 101, None, **muted)

        reflector, world, health = reflector_of(poll=answer)
        doubts = []
        reflector.doubter = SimpleNamespace(doubt=lambda: doubts.append(clock.monotonic()))
        health.received("broadcast")

        async def polls(seconds):
            before = len(world.store.asked("poll"))
            for _ in range(round(seconds / 0.02)):
                await reflector.run_once()
                clock.advance(0.02)
            return len(world.store.asked("poll")) - before

        async def begun():
            await reflector.run_once()
            reflector.poll_now()
            await reflector.run_once()

        return SimpleNamespace(reflector=reflector, health=health, doubts=doubts, polls=polls, begun=begun)

    return make


async def test_where_realtime_is_spared_a_dead_notify_is_doubted(spared, clock):
    """It is the only channel then: what it did not bring counts, from the second poll on that it is received at."""
    world = spared()
    await world.begun()
    await world.polls(1)
    world.health.received("notify")
    for doubts in ([], [clock.monotonic()]):
        world.reflector.poll_now()
        await world.reflector.run_once()
        assert world.doubts == doubts


async def test_where_realtime_is_spared_a_listener_that_lost_notify_polls_at_short_intervals(spared):
    """Until it is notified again, and without doubt about the channels that are sent nothing."""
    world = spared()
    world.health.received("notify")
    await world.begun()
    assert await world.polls(20) < 25
    world.doubts.clear()
    world.health.stale("it died", "notify")
    world.reflector.poll_now()
    assert await world.polls(20) > 200
    assert world.doubts == []
    world.health.received("notify")
    world.reflector.poll_now()
    assert await world.polls(20) < 25


async def test_that_realtime_is_spared_may_end_sooner_than_was_said(spared, clock):
    """A listener that cannot receive NOTIFY joins, and is notified from then on."""
    ends_at = clock.now() + timedelta(seconds=5)
    world = spared(lambda now: now + timedelta(seconds=30) if now < ends_at else ends_at)
    await world.begun()
    assert await world.polls(5) > 50
    assert world.doubts == []
    assert await world.polls(7) < 30
    assert world.doubts


async def test_where_realtime_is_spared_and_notify_muted_nothing_is_doubted(spared, clock):
    """Nobody is notified of anything then, and everybody polls."""
    world = spared(notify_muted_until=clock.now() + timedelta(seconds=8))
    world.health.received("notify")
    await world.begun()
    assert await world.polls(8) > 100
    assert world.doubts == []


async def test_slow_polls_take_half_of_the_time_at_most_while_notifications_are_muted(reflector_of, clock):
    """A transaction that stays open makes each of them read everything since."""
    times = []

    def slow(*_):
        times.append(clock.monotonic())
        clock.advance(0.2)
        return Page([], 101, None, muted_until=clock.now() + timedelta(seconds=10))

    reflector, _, health = reflector_of(poll=slow)
    health.received("broadcast")
    await reflector.run_once()
    reflector.poll_now()
    for _ in range(300):
        await reflector.run_once()
        clock.advance(0.01)
    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert len(pauses) > 5
    assert 0.39 < min(pauses) <= max(pauses) < 0.43


@pytest.mark.parametrize(("receives", "seconds"), [(True, 5), (False, 1)])
async def test_it_polls_more_often_while_it_is_stale(reflector_of, clock, receives, seconds):
    """And not before its time."""
    reflector, world, health = reflector_of(poll=lambda *_: EMPTY)
    if receives:
        health.received("broadcast")
    await reflector.run_once()
    clock.advance(seconds - 0.01)
    await reflector.run_once()
    assert "poll" not in methods(world)
    clock.advance(0.01)
    await reflector.run_once()
    assert methods(world).count("poll") == 1


async def test_hints_ask_for_a_poll_unless_they_are_old_or_named_jobs_are_claimed_at_once(reflector_of, parts):
    """One poll, however many there were."""
    reflector, world, _ = reflector_of(poll=lambda *_: EMPTY)
    await reflector.run_once()
    for hint in (
        Hint("broadcast", "scheduled_jobs", xid=99),
        Hint("broadcast", "scheduled_jobs", jobs=(parts.a_job(1), parts.a_job(2)), xid=101),
        Hint("poll", "scheduled_jobs", gone=(7,), xid=101),
    ):
        reflector.take_hint(hint)
        await reflector.run_once()
        assert "poll" not in methods(world)
    assert set(world.agenda._jobs) == {1, 2}
    for xid in (100, 101, None):
        reflector.take_hint(Hint("broadcast", "scheduled_jobs", xid=xid))
    await reflector.run_once()
    await reflector.run_once()
    assert methods(world).count("poll") == 1


async def test_a_transaction_that_a_poll_did_not_show_yet_is_looked_for_once_more(reflector_of, parts):
    """A channel reports a commit shortly before it shows; one that never shows costs no third poll."""
    reflector, world, _ = reflector_of(poll=lambda *_: Page([], 110, None))
    await reflector.run_once()
    for xid, polls in ((109, 1), (110, 3)):
        reflector.take_hint(Hint("broadcast", "scheduled_jobs", jobs=(parts.a_job(1, due_in=100),), xid=xid))
        for _ in range(4):
            await reflector.run_once()
        assert methods(world).count("poll") == polls


@pytest.mark.parametrize(
    "forged",
    [
        {"gone": (1,)},
        {"gone": (1,), "xid": 10**18},
        {"jobs": ("later",), "xid": 101},
        {"jobs": ("revision",), "xid": 101},
        {"jobs": ("unknown later",), "xid": 101},
        {"ids": ("execution",), "xid": 101},
    ],
    ids=str,
)
async def test_a_forged_hint_causes_a_poll_and_nothing_else(reflector_of, parts, clock, forged):
    """No run stops, no job is disarmed, moved or believed to be newer; nothing is counted as missed."""
    kinds = {
        "later": parts.a_job(1, due_in=200, revision=10**9),
        "revision": parts.a_job(2, due_in=120, revision=10**9),
        "unknown later": parts.a_job(9, due_in=100),
    }
    forged = {**forged, "jobs": tuple(kinds[kind] for kind in forged.get("jobs", ()))}
    rows = [parts.a_job(1, due_in=100), parts.a_job(2, due_in=100)]
    reflector, world, _ = reflector_of(due=[listing(1, 2)], read=[Page(rows, 100, None)], poll=lambda *_: EMPTY)
    await reflector.run_once()
    run = world.executor.prepare(parts.a_run(ClaimRequest(1, NOON)))
    world.runs.add(run)
    before = dict(world.agenda._jobs)
    reflector.take_hint(Hint("broadcast", "scheduled_jobs", **forged))
    assert dict(world.agenda._jobs) == before
    assert run.cancelled is None
    await reflector.run_once()
    assert methods(world).count("poll") == 1
    world.reconciler.apply([parts.a_job(2, due_in=150, revision=2)])
    assert world.agenda._jobs[2].revision == 2, "what the table says counts"
    assert world.reconciler._revisions == {1: 1, 2: 2}
    assert missed_by(world.metrics) == 0


async def test_what_is_claimed_without_a_look_is_bounded(reflector_of, parts, clock, monkeypatch):
    """A flood of named jobs is looked up from then on; a second later the limit allows it again."""
    reflector, world, _ = reflector_of(poll=lambda *_: EMPTY)
    await reflector.run_once()
    announced = []
    monkeypatch.setattr(world.reconciler, "announce", lambda job: announced.append(job.id) or True)
    for job_id in range(1, 2 * MOST_ANNOUNCED):
        reflector.take_hint(Hint("broadcast", "scheduled_jobs", jobs=(parts.a_job(job_id),), xid=101))
    assert len(announced) == MOST_ANNOUNCED
    await reflector.run_once()
    assert methods(world).count("poll") == 1
    clock.advance(1)
    reflector.take_hint(Hint("broadcast", "scheduled_jobs", jobs=(parts.a_job(10**6),), xid=101))
    assert announced[MOST_ANNOUNCED:] == [10**6]


async def test_any_number_of_hints_costs_few_polls(reflector_of, parts, naps):
    """One after another, at a distance."""

    def poll(*_):
        for _ in range(100):
            reflector.take_hint(Hint("broadcast", "scheduled_jobs", xid=101))
        if len(world.store.asked("poll")) == 5:
            tasks.cancel_scope.cancel()
        return EMPTY

    reflector, world, _ = reflector_of(poll=poll)
    await reflector.run_once()
    reflector.take_hint(Hint("broadcast", "scheduled_jobs", xid=101))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await reflector.run()
    assert naps[:4] == pytest.approx([LEAST_POLL_SECONDS] * 4)


async def test_a_hint_heard_while_it_polls_makes_it_poll_again(reflector_of):
    """The page may have been read before the change."""

    def poll(*_):
        if len(world.store.asked("poll")) == 1:
            reflector.take_hint(Hint("broadcast", "scheduled_jobs", xid=101))
        return Page([], 110, None)

    reflector, world, _ = reflector_of(poll=poll)
    await reflector.run_once()
    reflector.poll_now()
    for _ in range(4):
        await reflector.run_once()
    assert methods(world).count("poll") == 2


async def test_a_hint_before_a_list_is_not_forgotten_by_it(reflector_of, clock):
    """A list does not show the cancelled job that was meant."""
    reflector, world, _ = reflector_of(poll=lambda *_: EMPTY)
    await reflector.run_once()
    clock.advance(61)
    reflector.take_hint(Hint("broadcast", "scheduled_jobs", xid=101))
    await reflector.run_once()
    await reflector.run_once()
    assert methods(world) == ["due", "unplanned", "due", "unplanned", "poll"]


async def test_a_list_does_not_move_the_cursor_past_what_no_list_shows(reflector_of, clock):
    """Cancelled and paused jobs are seen by the poll alone."""
    lists = iter([listing(), listing(cursor=500)])
    reflector, world, _ = reflector_of(due=lambda *_: next(lists), poll=lambda *_: EMPTY)
    await reflector.run_once()
    clock.advance(61)
    await reflector.run_once()
    await reflector.poll()
    assert [seen.end for seen, *_ in world.store.asked("poll")] == [100]


async def test_what_was_left_out_is_listed_again_before_it_is_due(reflector_of, parts):
    """Whether the list left it out, or memory was full when a poll brought it."""
    lists = [listing(1, 2, 3, complete_in=80), listing(1, 2, 3, complete_in=80)]
    pages = [Page([parts.a_job(each, due_in=10 * each) for each in (1, 2, 3)], 100, None)] * 2
    reflector, world, _ = reflector_of(due=lists, read=pages)
    await reflector.run_once()
    assert set(world.agenda._jobs) == {1, 2, 3}
    reflector._relist_at = math.inf
    with anyio.move_on_after(0.01):
        await reflector._wait()
    assert reflector._relist_at == world.clock.monotonic() + 40
    world.reconciler.apply([parts.a_job(9, due_in=31)])
    assert 9 not in world.agenda
    with anyio.move_on_after(0.01):
        await reflector._wait()
    assert reflector._relist_at == world.clock.monotonic() + 15.5


async def test_a_flood_of_one_tenant_leaves_memory_to_every_other(reflector_of, parts):
    """Jobs that a poll brings are armed while their tenant is within its share, whatever else is due."""
    flood = [parts.a_job(each, due_in=-600, tenant="w", user="greedy") for each in (1, 2, 3)]
    reflector, world, _ = reflector_of(
        due=[listing(1, 2, 3, complete_in=-600, left_out=5)], read=[Page(flood, 100, None)]
    )
    await reflector.run_once()
    assert 'listener_due_not_armed{reason="memory"} 5.0' in world.metrics.exposition().decode()
    hinted = [
        *(parts.a_job(each, due_in=200, tenant=f"w{each}", user="greedy") for each in range(4, 20)),
        parts.a_job(20, due_in=2, tenant="modest", user="modest"),
        parts.a_job(21, due_in=200, tenant="w", user="colleague"),
    ]
    for each in hinted:
        world.reconciler.apply([each])
    assert set(world.agenda._jobs) == {1, 2, 3, 20, 21}


async def test_beyond_its_share_a_tenant_keeps_what_is_urgent_and_never_more_than_twice_the_memory(reflector_of, parts):
    """A priority, or a time that is near."""
    flood = [parts.a_job(each, due_in=-600) for each in (1, 2, 3)]
    reflector, world, _ = reflector_of(due=[listing(1, 2, 3, complete_in=-600)], read=[Page(flood, 100, None)])
    await reflector.run_once()
    for each in (
        parts.a_job(4, due_in=60),
        parts.a_job(5, due_in=60, priority=1),
        parts.a_job(6, due_in=9),
        parts.a_job(7, due_in=400, priority=1),
        *(parts.a_job(each, priority=9) for each in range(8, 20)),
    ):
        world.reconciler.apply([each])
    assert set(world.agenda._jobs) == {1, 2, 3, 5, 6, 8}
    world.agenda.disarm(8)
    assert len(world.dispatcher._ready) == 0
    world.dispatcher.add([parts.a_job(8)])
    reflector.take_hint(Hint("broadcast", "scheduled_jobs", jobs=(parts.a_job(30, priority=9),), xid=101))
    assert 30 not in world.agenda, "a job that waits for a slot is in memory too"


async def test_polls_bring_what_the_channels_may_not_have_reported(reflector_of, reported):
    """Of every page."""
    stops = [Hint("poll", "cancelled_runs", ids=(each,), xid=100) for each in ("a", "b")]
    pages = [Page([], 100, "more", (stops[0],)), Page([], 100, None, (stops[1],))]
    reflector, *_ = reflector_of(poll=pages)
    await reflector.run_once()
    await reflector.poll()
    assert reported == stops


async def test_lists_that_follow_closely_do_not_take_the_place_of_polls(reflector_of, clock, parts):
    """No list shows a job that was cancelled while it runs."""
    reflector, world, _ = reflector_of(
        due=lambda *_: listing(1, complete_in=-60),
        read=lambda *_: Page([parts.a_job(1, due_in=-60)], 100, None),
        poll=lambda *_: EMPTY,
    )
    for _ in range(20):
        await reflector.run_once()
        with anyio.move_on_after(0.001):
            await reflector._wait()
        clock.advance(max(0.1, min(reflector._relist_at, reflector._poll_at) - clock.monotonic()))
    assert len(world.store.asked("due")) >= 10
    assert len(world.store.asked("poll")) >= 3


async def test_lists_that_memory_cuts_short_do_not_follow_without_a_pause(reflector_of, clock):
    """A backlog longer than memory must not turn into a loop of lists."""

    def due(*_):
        clock.advance(0.5)  # what a list of so many takes
        return listing(complete_in=-60)

    reflector, *_ = reflector_of(due=due)
    await reflector.run_once()
    with anyio.move_on_after(0.01):
        await reflector._wait()
    assert reflector._relist_at == pytest.approx(clock.monotonic() + 2)


async def test_an_unreachable_database_is_asked_again_and_reported(reflector_of, naps):
    """At growing intervals, which a hint ends; then it polls, because it knows nothing of the meantime."""
    reflector, world, health = reflector_of(poll=[DOWN, DOWN, DOWN, EMPTY])
    await reflector.run_once()
    health.received("broadcast")
    reflector.poll_now()
    seen = []
    with capture_logs() as lines, anyio.move_on_after(0.2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reflector.run)
            while len(world.store.asked("poll")) < 4:
                seen.append(health.fault())
                await anyio.lowlevel.checkpoint()
                reflector.take_hint(Hint("feed", "scheduled_jobs"))
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert [line["retry_in_seconds"] for line in lines if line["event"] == "poll.failed"] == [0.25, 0.5, 1]
    assert naps[:3] == [0.25] * 3, "hints do not make it ask without a pause"
    assert "database: poll_jobs_v1: ConnectError refused" in seen
    assert health.fault() is None


async def test_a_hint_ends_its_wait(reflector_of, parts, clock):
    """While it waits, and if it came just before."""
    reflector, world, health = reflector_of(poll=lambda *_: EMPTY)
    health.received("broadcast")
    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reflector.run)
            for count in (1, 2, 3):
                await parts.settled()
                clock.advance(LEAST_POLL_SECONDS)
                reflector.take_hint(Hint("broadcast", "scheduled_jobs"))
                await parts.settled()
                assert methods(world).count("poll") == count
            tasks.cancel_scope.cancel()
