"""The wiring: five functions build the stages, and pass each stage the parts that it needs.

Takes the shared parts. Gives the stages. Guarantees that nothing runs until the service starts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio

from listener.app.feeds import Feeds, build_feeds
from listener.app.stages import Stages
from listener.domain.messages import NOTIFY
from listener.domain.shares import Shares
from listener.execution.completer import Completer
from listener.execution.dispatcher import Dispatcher
from listener.execution.executor import Executor, Limits
from listener.execution.run_result import OVERLAP
from listener.maintenance.activity import ActivityCounter
from listener.maintenance.alerts import AlertEvaluator
from listener.maintenance.cleaner import Cleaner
from listener.maintenance.lease_keeper import BELIEVED_SHARE, TRUSTED_SHARE, LeaseKeeper
from listener.maintenance.publisher import Publisher
from listener.maintenance.recorder import Recorder
from listener.maintenance.rescuer import Rescuer
from listener.maintenance.watchdog import Watchdog
from listener.scheduling.agenda import Agenda
from listener.scheduling.hint_router import HintRouter
from listener.scheduling.left_to_peers import LeftToPeers
from listener.scheduling.muter import Mute, Muter
from listener.scheduling.peers import Peers
from listener.scheduling.planner import Planner
from listener.scheduling.reconciler import Reconciler
from listener.scheduling.reflector import POLL, Reflector
from listener.scheduling.replanner import Replanner
from listener.scheduling.sources import SourceSync
from listener.scheduling.timekeeper import Timekeeper
from listener.supabase.activity import SupabaseActivity
from listener.supabase.alerts import SupabaseAlerts
from listener.supabase.catalogue import SupabaseCatalogue
from listener.supabase.zone_store import SupabaseZoneStore
from listener.zone_database import installed_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.app.shared import Shared
    from listener.domain.messages import Hint
    from listener.runs.held_runs import HeldRuns


@dataclass(frozen=True, slots=True)
class Core:
    """The parts that keep jobs armed: agenda, planner, replanner, reconciler and peers."""

    agenda: Agenda
    peers: Peers
    planner: Planner
    replanner: Replanner
    reconciler: Reconciler


@dataclass(frozen=True, slots=True)
class Execution:
    """The parts that claim, run and complete jobs."""

    executor: Executor
    completer: Completer
    dispatcher: Dispatcher


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The maintenance agents, which run beside the flow."""

    lease_keeper: LeaseKeeper
    rescuer: Rescuer
    recorder: Recorder
    cleaner: Cleaner
    activity_counter: ActivityCounter
    alert_evaluator: AlertEvaluator
    watchdog: Watchdog
    publisher: Publisher


@dataclass(frozen=True, slots=True)
class Feed:
    """The parts that bring rows and hints."""

    feeds: Feeds
    reflector: Reflector
    sources: SourceSync
    muter: Muter


def build_stages(shared: Shared) -> Stages:
    """Build every stage of one listener; none runs yet."""
    core = build_core(shared)
    execution = build_execution(shared, core)
    maintenance = build_maintenance(shared, core, execution)
    feed = build_feed(shared, core, maintenance)
    watch_metrics(shared, core, execution)
    return Stages(
        feeds=feed.feeds,
        reflector=feed.reflector,
        muter=feed.muter,
        reconciler=core.reconciler,
        planner=core.planner,
        replanner=core.replanner,
        agenda=core.agenda,
        timekeeper=Timekeeper(core.agenda, execution.dispatcher, core.peers, shared.clock),
        dispatcher=execution.dispatcher,
        executor=execution.executor,
        completer=execution.completer,
        lease_keeper=maintenance.lease_keeper,
        rescuer=maintenance.rescuer,
        recorder=maintenance.recorder,
        cleaner=maintenance.cleaner,
        activity_counter=maintenance.activity_counter,
        alert_evaluator=maintenance.alert_evaluator,
        watchdog=maintenance.watchdog,
        publisher=maintenance.publisher,
        sources=feed.sources,
    )


def build_core(shared: Shared) -> Core:
    """Build the agenda and the stages that keep it in line with the rows."""
    settings, clock = shared.settings, shared.clock
    agenda = Agenda(clock, round(settings.claim_ahead_seconds * 1000), Shares(settings.horizon_jobs))
    peers = Peers(shared.listener_id, clock, settings.lease_seconds * BELIEVED_SHARE)
    planner = Planner(shared.store, clock)
    reconciler = Reconciler(agenda, planner, shared.runs, clock, shared.horizon, shared.registry.names)
    planner.sink = reconciler
    zones = SupabaseZoneStore(shared.rpc, shared.listener_id)
    replanner = Replanner(zones, clock, installed_version())
    return Core(agenda, peers, planner, replanner, reconciler)


def build_execution(shared: Shared, core: Core) -> Execution:
    """Build the stages of a due job: dispatcher, executor, completer."""
    settings, store = shared.settings, shared.store
    limits = Limits(settings.thread_concurrency, settings.process_concurrency, settings.tenant_share)
    options = settings.handler_options
    make: Callable[..., Executor] = Executor
    if shared.otlp:
        from listener.execution.traced_executor import TracedExecutor  # noqa: PLC0415 - only where traces are sent

        make = partial(TracedExecutor, shared.otlp.tracer)
    executor = make(shared.registry, shared.clock, shared.client_factory, shared.metrics, limits, options=options)
    completer = Completer(
        store,
        shared.runs,
        core.reconciler,
        shared.jitter,
        settings.batch_size,
    )
    dispatcher = Dispatcher(
        store=store,
        executor=executor,
        runs=shared.runs,
        agenda=core.agenda,
        reconciler=core.reconciler,
        clock=shared.clock,
        metrics=shared.metrics,
        peers=core.peers,
        sink=completer,
        concurrency=settings.concurrency,
        batch_size=settings.batch_size,
        tenant_share=settings.tenant_share,
        trusted_seconds=settings.lease_seconds * TRUSTED_SHARE,
    )
    completer.upstream = dispatcher
    return Execution(executor, completer, dispatcher)


def build_maintenance(shared: Shared, core: Core, execution: Execution) -> Maintenance:
    """Build the agents that keep claims alive, delete expired rows and report state."""
    settings, store, jitter = shared.settings, shared.store, shared.jitter
    clock, metrics, health = shared.clock, shared.metrics, shared.health
    catalogue = SupabaseCatalogue(shared.rpc, shared.listener_id)
    alerts = AlertEvaluator(SupabaseAlerts(shared.rpc), metrics, jitter)
    return Maintenance(
        lease_keeper=LeaseKeeper(
            store,
            shared.runs,
            clock,
            metrics,
            core.peers,
            alerts,
            settings.lease_seconds,
            partial(health.receives, NOTIFY),
        ),
        rescuer=Rescuer(store, core.reconciler, clock, metrics, settings.rescue_seconds, jitter),
        recorder=Recorder(store, shared.runs),
        cleaner=Cleaner(store, settings.cleanup_after_days, jitter),
        activity_counter=ActivityCounter(SupabaseActivity(shared.rpc), jitter),
        alert_evaluator=alerts,
        watchdog=Watchdog(clock, health, metrics, core.agenda, execution.dispatcher),
        publisher=Publisher(catalogue, shared.registry.catalogue(), health, jitter),
    )


def build_feed(shared: Shared, core: Core, maintenance: Maintenance) -> Feed:
    """Build the parts that bring rows and hints, and route each hint to the stage that follows its table."""
    settings, store, health = shared.settings, shared.store, shared.health
    router, mute = HintRouter(), Mute(shared.clock)
    reflector = Reflector(
        store=store,
        reconciler=core.reconciler,
        left_out=LeftToPeers(store, core.reconciler, core.peers, shared.clock, settings.horizon_jobs),
        clock=shared.clock,
        health=health,
        metrics=shared.metrics,
        horizon=shared.horizon,
        horizon_jobs=settings.horizon_jobs,
        poll_seconds=settings.poll_seconds,
        stale_poll_seconds=settings.stale_poll_seconds,
        relist_seconds=settings.relist_seconds,
        sink=router,
        mute=mute,
        muted_poll_seconds=settings.muted_poll_seconds,
    )
    router.register("scheduled_jobs", reflector.take_hint)
    # A claim with `overlap` `replace` has ended these runs in the ledger already.
    router.register("stopped_runs", _stopper(shared.runs, reflector, OVERLAP))
    # The job was cancelled; it may have been scheduled again since.
    router.register("cancelled_runs", _stopper(shared.runs, reflector, "cancelled"))
    router.register("job_listeners", lambda _: maintenance.lease_keeper.heartbeat_now())
    sources = SourceSync(
        store, health, reflector, settings.poll_seconds, settings.stale_poll_seconds, meetings=settings.meetings
    )
    router.register("sources", sources.take_hint)
    muter = Muter(
        store=store,
        sink=router,
        poller=reflector,
        mute=mute,
        clock=shared.clock,
        metrics=shared.metrics,
        channels=settings.channels,
        per_minute=settings.notifications_per_minute,
    )
    feeds = build_feeds(shared, router.tables, muter.deliver, lambda: len(core.peers.others))
    reflector.doubter = feeds
    return Feed(feeds, reflector, sources, muter)


def _stopper(runs: HeldRuns, reflector: Reflector, reason: str) -> Callable[[Hint], object]:
    """Stop what a poll names; what a channel names is looked up first, for anybody may have sent it."""
    return lambda hint: runs.cancel(hint.ids, reason) if hint.source == POLL else reflector.look_up(hint)


def watch_metrics(shared: Shared, core: Core, execution: Execution) -> None:
    """Let the gauges read the stages at every scrape."""
    metrics = shared.metrics
    metrics.watch_wheel(lambda: len(core.agenda))
    metrics.watch_leases(lambda: len(shared.runs))
    metrics.watch_unwritten(lambda: execution.completer.unwritten)
    metrics.watch_tasks(lambda: len(anyio.get_running_tasks()))
