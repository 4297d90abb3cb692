"""A claim is extended in time, and no handler goes on when it cannot be."""

from __future__ import annotations

import anyio
import pytest
from patience import PATIENCE_SECONDS

from listener.app.service import Service
from listener.domain.messages import ClaimRequest, Extended
from listener.errors import StoreError
from listener.handler_api.registry import Registry
from listener.maintenance.alerts import AlertEvaluator
from listener.maintenance.lease_keeper import LeaseKeeper
from listener.settings import Settings
from listener.testing import NOON

DOWN = StoreError("extend_leases_v1", "ConnectError", "refused", retryable=True)
KEPT = Extended([], {"me": 1, "another": 1})


@pytest.fixture
def keeper_of(clock, parts):
    """Make a keeper of leases of 30 s whose store answers so; `hold` claims a run."""

    def make(extend):
        store = parts.ScriptedStore(extend=extend)
        world = parts.stages(store, clock)

        def hold():
            claimed_run = world.executor.prepare(parts.a_run(ClaimRequest(1, NOON)))
            claimed_run.trusted_since = clock.monotonic()
            world.runs.add(claimed_run)
            return claimed_run

        alerts = AlertEvaluator(store, world.metrics, lambda: 0.5)
        world.notified = False
        receives = lambda: world.notified  # noqa: E731
        return LeaseKeeper(store, world.runs, clock, world.metrics, world.peers, alerts, 30, receives), hold, world

    return make


def stopped(claimed_run):
    """Whether the run was stopped because of its lease."""
    return claimed_run.cancelled is not None and claimed_run.cancelled.reason == "lease_lost"


async def test_what_is_held_is_extended_and_what_is_lost_is_stopped(keeper_of):
    """Also the other listeners are learnt."""
    keeper, hold, world = keeper_of(lambda held, **_: Extended([held[0], ("ended meanwhile", 1)], {"me": 1, "you": 1}))
    lost, kept = hold(), hold()
    await keeper.run_once()
    assert world.store.asked("extend") == [[[(lost.run.execution_id, 1), (kept.run.execution_id, 1)]]]
    assert (stopped(lost), stopped(kept), keeper.listeners) == (True, False, ["me", "you"])
    assert len(world.peers.others) == 1
    assert b"listener_leases_lost_total 1.0" in world.metrics.exposition()


async def test_a_run_stops_before_its_lease_can_pass_to_another(keeper_of, clock):
    """Whether it was extended once, or claimed since: its trust began when that was asked for."""
    keeper, hold, _ = keeper_of([KEPT, DOWN, DOWN, DOWN])
    extended = hold()
    await keeper.run_once()
    clock.advance(10)
    claimed = hold()
    for _ in range(2):
        with pytest.raises(StoreError):
            await keeper.run_once()
        keeper.stop_untrusted()
        assert (stopped(extended), stopped(claimed)) == (False, False)
        clock.advance(7)
    clock.advance(0.5)
    keeper.stop_untrusted()
    assert (stopped(extended), stopped(claimed)) == (True, False)
    clock.advance(10)
    keeper.stop_untrusted()
    assert stopped(claimed)


async def test_trust_begins_when_an_extension_is_asked_for_not_when_it_is_answered(keeper_of, clock):
    """The database may have granted it long before the answer arrived."""
    keeper, hold, _ = keeper_of(lambda _, **__: clock.advance(9) or KEPT)
    claimed = hold()
    await keeper.run_once()
    clock.advance(15)
    keeper.stop_untrusted()
    assert not stopped(claimed)
    clock.advance(0.5)
    keeper.stop_untrusted()
    assert stopped(claimed)


async def test_what_was_confirmed_longest_ago_is_extended_first(keeper_of, clock, monkeypatch):
    """A database that answers one part of them in time, again and again, keeps all alive, not the same ones."""
    monkeypatch.setattr("listener.maintenance.lease_keeper.BATCH", 1)
    answers = [KEPT, DOWN, KEPT, DOWN]
    keeper, hold, _ = keeper_of(lambda *_, **__: answers.pop(0))
    runs = [hold(), hold()]
    for _ in range(2):
        clock.advance(20)
        with pytest.raises(StoreError):
            await keeper.run_once()
    keeper.stop_untrusted()
    assert [clock.monotonic() - each.trusted_since for each in runs] == [20, 0]
    assert not any(map(stopped, runs))


async def test_extensions_that_hang_are_reported_by_readiness(monkeypatch):
    """The keeper turns to a new connection after a while; the call has failed before, and says so itself."""
    monkeypatch.setattr("listener.observability.health.PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(Registry, "load", lambda _: Registry([]))
    project = {"SUPABASE_URL": "http://project", "SUPABASE_SECRET_KEY": "sb_secret_x"}
    service = Service(Settings(_env_file=None, channels="none", lease_seconds=1, **project))
    service.shared.rpc._post = hang
    service.shared.health.poll_succeeded()
    service.shared.health.came("catalogue")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.stages.lease_keeper.run)
        with anyio.fail_after(PATIENCE_SECONDS):
            while "extend_leases_v1" not in (service.shared.health.fault() or ""):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    await service.shared.rpc.aclose()


async def hang(*_):
    """Answer never."""
    await anyio.sleep_forever()


async def test_a_claim_whose_row_is_locked_is_neither_lost_nor_extended(keeper_of, clock):
    """Somebody else's transaction holds it: the lease runs on as it was granted."""
    keeper, hold, _ = keeper_of(lambda held, **_: Extended([], {}, [held[0]]))
    locked, free = hold(), hold()
    clock.advance(20)
    await keeper.run_once()
    clock.advance(5)
    keeper.stop_untrusted()
    assert (stopped(locked), stopped(free)) == (True, False)


async def test_a_claim_that_cannot_be_extended_does_not_cost_the_others_theirs(keeper_of, clock):
    """The guilty one is found by halving; the others are extended, before the fault is raised."""
    poison = StoreError("extend_leases_v1", "P0001", "a trigger of somebody's", retryable=False, split_batch=True)
    keeper, hold, world = keeper_of(lambda held, **_: poison if guilty in held else KEPT)
    runs = [hold() for _ in range(9)]
    guilty = (runs[3].run.execution_id, 1)
    clock.advance(20)
    with pytest.raises(StoreError, match="P0001"):
        await keeper.run_once()
    clock.advance(5)
    keeper.stop_untrusted()
    assert [stopped(each) for each in runs] == [number == 3 for number in range(9)]
    assert len(world.store.requests) < 9


async def test_a_loss_that_is_reported_late_does_not_stop_a_later_claim(keeper_of, parts):
    """The run was handed back and claimed anew, by this very listener, while the answer was under way."""
    keeper, hold, world = keeper_of(lambda held, **_: later.append(renew()) or Extended(held, {}))
    later = []

    def renew():
        world.runs.remove(first.run.execution_id)
        again = world.executor.prepare(parts.a_run(ClaimRequest(1, NOON), execution_id=first.run.execution_id, fence=2))
        world.runs.add(again)
        return again

    first = hold()
    await keeper.run_once()
    assert not stopped(later[0])
    assert world.runs.held == [(first.run.execution_id, 2)]


async def test_a_run_requested_to_stop_is_counted_once(keeper_of, clock):
    """However long its handler takes to stop."""
    keeper, hold, world = keeper_of([DOWN, DOWN])
    hold()
    for _ in range(2):
        with pytest.raises(StoreError):
            await keeper.run_once()
        clock.advance(100)
        keeper.stop_untrusted()
        keeper.stop_untrusted()
    assert b"listener_leases_lost_total 1.0" in world.metrics.exposition()


async def test_a_request_that_hangs_does_not_keep_runs_from_being_stopped(parts, clock, monkeypatch):
    """Trust is looked at while it hangs, and the request is begun anew."""
    store = parts.ScriptedStore(extend=lambda _, **__: anyio.sleep_forever())
    world = parts.stages(store, clock)
    claimed_run = world.executor.prepare(parts.a_run(ClaimRequest(1, NOON)))
    claimed_run.trusted_since = anyio.current_time()
    world.runs.add(claimed_run)
    monkeypatch.setattr(clock, "monotonic", anyio.current_time)
    alerts = AlertEvaluator(store, world.metrics, lambda: 0.5)
    keeper = LeaseKeeper(store, world.runs, clock, world.metrics, world.peers, alerts, 0.3)
    with anyio.move_on_after(0.29):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            while not stopped(claimed_run):  # noqa: ASYNC110 - real time is the point
                await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
    assert stopped(claimed_run)
    assert len(store.requests) > 1


async def test_a_failed_extension_is_tried_again_sooner(keeper_of, monkeypatch):
    """Three tries to a lease are few when the first fails."""
    keeper, *_ = keeper_of([KEPT, DOWN, DOWN, KEPT])
    naps = []

    async def rest(seconds):
        naps.append(seconds)

    monkeypatch.setattr(keeper, "_rest", rest)
    monkeypatch.setattr(keeper, "_stop_in_time", anyio.sleep_forever)
    with pytest.raises(ExceptionGroup):  # the script's end
        await keeper.run()
    assert naps == [10, 2, 2, 10]


async def test_who_joins_and_who_is_called_beats_at_once(keeper_of):
    """Not only when an extension is due, and once for any number of calls; before it joins, without a heartbeat."""
    shares, sent = [], anyio.Event()

    def extend(_, **named):
        shares.append(named["shares"])
        sent.set()
        return KEPT

    keeper, *_ = keeper_of(extend)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        for act in (lambda: None, keeper.join, lambda: [keeper.heartbeat_now() for _ in range(100)]):
            act()
            with anyio.fail_after(5):
                await sent.wait()
            sent = anyio.Event()
        tasks.cancel_scope.cancel()
    assert shares == [False, True, True]


async def test_a_heartbeat_says_whether_notify_is_received_just_now(keeper_of):
    """The database spares Realtime while every listener says so."""
    said = []
    keeper, _, world = keeper_of(lambda _, **named: said.append(named["receives_notify"]) or KEPT)
    for world.notified in (False, True, False):
        await keeper.run_once()
    assert said == [False, True, False]


async def test_who_leaves_beats_no_more(keeper_of, parts):
    """Else the others would wait for it again, while its last runs end."""
    shares = []
    keeper, *_, world = keeper_of(lambda _, **named: shares.append(named["shares"]) or KEPT)
    world.store._scripts["leave"] = lambda: None
    keeper.join()
    await keeper.run_once()
    await keeper.leave()
    await keeper.run_once()
    assert shares == [True, False]
    assert world.store.asked("leave") == [[]]
