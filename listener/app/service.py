"""The composition root: builds the adapters and the stages, starts them in order, and drains them."""

from __future__ import annotations

import os
import random
import socket
import uuid
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from listener.app.drain import LONGEST_SECONDS, drain
from listener.app.http import application, serve
from listener.app.stages import Stages
from listener.app.supervisor import Supervisor
from listener.clock import DatabaseClock
from listener.errors import StageFailedError
from listener.execution.completer import Completer
from listener.execution.dispatcher import Dispatcher
from listener.execution.executor import Executor, Limits
from listener.handler_api.registry import Registry
from listener.maintenance.cleaner import Cleaner
from listener.maintenance.lease_keeper import BELIEVED_SHARE, CALL_SHARE, TRUSTED_SHARE, LeaseKeeper
from listener.maintenance.publisher import Publisher
from listener.maintenance.recorder import Recorder
from listener.maintenance.rescuer import Rescuer
from listener.maintenance.watchdog import Pulse
from listener.masking.redaction import hide_always
from listener.observability.events import Event
from listener.observability.health import Health
from listener.observability.metrics import Metrics
from listener.os_signals import drain_when_told
from listener.runs.held_runs import Runs
from listener.scheduling.agenda import Agenda
from listener.scheduling.peers import Members
from listener.scheduling.planner import Planner
from listener.scheduling.reconciler import Reconciler
from listener.scheduling.reflector import Reflector
from listener.scheduling.sources import Meetings
from listener.scheduling.timekeeper import Timekeeper
from listener.supabase.catalogue import SupabaseCatalogue
from listener.supabase.feed import RealtimeFeed
from listener.supabase.rpc import CALL_SECONDS, Rpc
from listener.supabase.store import SupabaseStore
from listener.supabase.watched_session import Times

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

    from listener.domain.messages import Hint
    from listener.settings import Settings

READY_CHECK_SECONDS = 0.02
JOIN_SECONDS = 10.0
"""How long to wait for a doorbell before taking a share of the jobs without one."""


class Service:
    """One listener.

    Args:
        settings: what the environment says.
        going: told when the service begins to go, with the seconds within which it will have gone.

    Raises:
        ListenerError: a handler module is not usable.
    """

    def __init__(self, settings: Settings, going: Callable[[float], object] = lambda _: None) -> None:
        self._settings, self._going = settings, going
        self.listener_id = str(uuid.uuid4())
        self.clock = DatabaseClock()
        self.metrics = Metrics()
        self.runs = Runs()
        slowest = max(settings.poll_seconds, settings.deaf_poll_seconds)
        self.health = Health(self.clock, tuple(settings.doorbells), slowest)
        self._jitter = random.Random(self.listener_id).random  # noqa: S311 - spreads load, hides nothing
        self._key = settings.secret_key.get_secret_value()
        hide_always([self._key])
        within_seconds = {"extend_leases_v1": min(CALL_SECONDS, settings.lease_seconds * CALL_SHARE)}
        self.rpc = Rpc(settings.url, self._key, self.clock, self.health.answered, within_seconds)
        self.store = SupabaseStore(
            self.rpc,
            listener_id=self.listener_id,
            name=f"{socket.gethostname()}/{os.getpid()}",
            lease_seconds=settings.lease_seconds,
            claim_ahead_seconds=settings.claim_ahead_seconds,
            key_concurrency=settings.key_concurrency,
        )
        self._client: Any = None
        self._registry = Registry.load(settings.handlers)
        self.stages = self._build(self._registry)
        self._log = structlog.get_logger("service").bind(listener_id=self.listener_id)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises:
            StageFailedError: a stage failed again and again.
        """
        self._log.info(Event.SERVICE_STARTING, url=self._settings.url, handlers=self._registry.names)
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self.rpc.aclose)
            closing.push_async_callback(self.stages.executor.aclose)
            self._client = await self._make_client()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stop_when_told, tasks.cancel_scope)
                self._start(tasks)
        self._log.info(Event.SERVICE_STOPPED)

    def _build(self, registry: Registry) -> Stages:
        settings, clock, store = self._settings, self.clock, self.store
        agenda = Agenda(clock, round(settings.claim_ahead_seconds * 1000))
        members = Members(self.listener_id, clock, settings.lease_seconds * BELIEVED_SHARE)
        # The planner arms through the reconciler, which hands it what to plan.
        planner = Planner(store, clock, lambda job: reconciler.arm(job))  # noqa: PLW0108 - it is made next
        reconciler = Reconciler(agenda, planner, self.runs, clock, timedelta(seconds=settings.horizon_seconds))
        limits = Limits(settings.thread_concurrency, settings.process_concurrency)
        options = {"webhook_allow_private": settings.webhook_allow_private}
        executor = Executor(registry, clock, lambda: self._client, self.metrics, limits, options=options)
        completer = Completer(
            store,
            self.runs,
            reconciler,
            self._jitter,
            settings.batch_size,
            written=lambda: dispatcher.look_again(),  # noqa: PLW0108 - it is made next
        )
        dispatcher = Dispatcher(
            store=store,
            executor=executor,
            runs=self.runs,
            agenda=agenda,
            reconciler=reconciler,
            clock=clock,
            metrics=self.metrics,
            members=members,
            report=completer.add,
            unwritten=lambda: completer.unwritten,
            concurrency=settings.concurrency,
            batch_size=settings.batch_size,
            tenant_share=settings.tenant_share,
            trusted_seconds=settings.lease_seconds * TRUSTED_SHARE,
        )
        lease_keeper = LeaseKeeper(store, self.runs, clock, self.metrics, members, settings.lease_seconds)
        reflector = Reflector(
            store=store,
            reconciler=reconciler,
            clock=clock,
            health=self.health,
            metrics=self.metrics,
            horizon=timedelta(seconds=settings.horizon_seconds),
            horizon_jobs=settings.horizon_jobs,
            poll_seconds=settings.poll_seconds,
            deaf_poll_seconds=settings.deaf_poll_seconds,
            relist_seconds=settings.relist_seconds,
            tell=lambda hint: ears[hint.table](hint) if hint.table in ears else None,
        )
        meetings = (
            Meetings(store, self.health, reflector.look_again, settings.poll_seconds, settings.deaf_poll_seconds)
            if settings.meetings
            else None
        )
        ears: dict[str, Callable[[Hint], None]] = {
            "scheduled_jobs": reflector.hear,
            "stopped_runs": self._stop_replaced,
            "cancelled_runs": self._stop_cancelled,
            "job_listeners": lambda _: lease_keeper.look_again(),
        }
        if meetings:
            ears["meetings"] = meetings.hear
        feed = RealtimeFeed(
            url=settings.url,
            key=self._key,
            doorbells=tuple(settings.doorbells),
            tables=tuple(ears),
            hear=lambda hint: ears[hint.table](hint) if hint.table in ears else None,
            ring=store.ring_canary,
            times=Times(canary_seconds=settings.canary_seconds),
            health=self.health,
            metrics=self.metrics,
            clock=clock,
            jitter=self._jitter,
        )
        catalogue = SupabaseCatalogue(self.rpc, self.listener_id)
        self.metrics.watch_wheel(lambda: len(agenda))
        self.metrics.watch_leases(lambda: len(self.runs))
        self.metrics.watch_unwritten(lambda: completer.unwritten)
        self.metrics.watch_tasks(lambda: len(anyio.get_running_tasks()))
        return Stages(
            feed=feed,
            reflector=reflector,
            reconciler=reconciler,
            planner=planner,
            agenda=agenda,
            timekeeper=Timekeeper(agenda, dispatcher.add, members, clock),
            dispatcher=dispatcher,
            executor=executor,
            completer=completer,
            lease_keeper=lease_keeper,
            rescuer=Rescuer(store, reconciler, self.metrics, settings.rescue_seconds, self._jitter),
            recorder=Recorder(store, self.runs),
            cleaner=Cleaner(store, settings.cleanup_after_days, self._jitter),
            pulse=Pulse(clock, self.health, self.metrics, agenda, dispatcher),
            publisher=Publisher(catalogue, registry.catalogue(), self.health, self._jitter),
            meetings=meetings,
        )

    def _start(self, tasks: TaskGroup) -> None:
        """Start the stages from the end of the flow to its beginning: each finds the next one waiting."""
        supervisor = Supervisor(self.clock)
        stages = self.stages
        ordered: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("http", self._serve_http),
            ("completer", stages.completer.run),
            ("dispatcher", stages.dispatcher.run),
            ("timekeeper", stages.timekeeper.run),
            ("planner", stages.planner.run),
            ("lease_keeper", stages.lease_keeper.run),
            ("rescuer", stages.rescuer.run),
            ("recorder", stages.recorder.run),
            ("reflector", stages.reflector.run),
            ("feed", stages.feed.run),
            ("cleaner", stages.cleaner.run),
            ("pulse", stages.pulse.run),
            ("publisher", stages.publisher.run),
        ]
        if stages.meetings:
            ordered.append(("meetings", stages.meetings.run))
        for name, stage in ordered:
            tasks.start_soon(self._keep, supervisor, name, stage)
        tasks.start_soon(self._announce_ready)

    async def _keep(self, supervisor: Supervisor, name: str, stage: Callable[[], Awaitable[None]]) -> None:
        """Run a stage; without it the service ends, and what it holds goes to the others at once."""
        try:
            await supervisor.run(name, stage)
        except StageFailedError as failed:
            self._log.error(Event.SERVICE_FAILED, error=str(failed), runs=len(self.runs))
            await self.drain(0)
            raise

    async def _announce_ready(self) -> None:
        with anyio.move_on_after(JOIN_SECONDS):
            await self._become_ready()
        self.stages.lease_keeper.join()  # not before it knows the jobs: the others would wait for it in vain
        await self._become_ready()
        self._log.info(Event.SERVICE_READY, jobs=len(self.stages.agenda))

    async def _become_ready(self) -> None:
        while self.health.fault() is not None:  # noqa: ASYNC110 - start-up only
            await anyio.sleep(READY_CHECK_SECONDS)

    async def _stop_when_told(self, scope: anyio.CancelScope) -> None:
        await drain_when_told(partial(self.drain, self._settings.drain_seconds), self.runs)
        scope.cancel()

    def _stop_replaced(self, hint: Hint) -> None:
        """Stop runs that a claim with `overlap` `replace` has ended in the ledger already."""
        self.runs.cancel(hint.ids, "overlap")

    def _stop_cancelled(self, hint: Hint) -> None:
        """Stop the runs of a job that was cancelled, also if it has been scheduled again already."""
        self.runs.cancel(hint.ids, "cancelled")

    async def drain(self, within_seconds: float, haste: anyio.Event | None = None) -> None:
        """Claim nothing more, let runs finish for so long, hand back the rest, write everything, and leave."""
        self._going(within_seconds + LONGEST_SECONDS)
        self.health.drain()
        await drain(self.stages, self.runs, within_seconds, haste)

    async def _make_client(self) -> Any:  # noqa: ANN401 - supabase.AsyncClient, which only listener.supabase may name
        from listener.supabase.client import make_client  # noqa: PLC0415 - heavy; not needed before the stages

        return await make_client(self._settings.url, self._key)

    async def _serve_http(self) -> None:
        host, port = self._settings.http_address
        describe = self.describe if self._settings.debug else None
        await serve(application(self.health, self.metrics.exposition, describe, self.clock.now), host, port)

    def describe(self) -> dict[str, Any]:
        """Describe what the service is doing, for `/debug/scheduler`."""
        return {
            "listener_id": self.listener_id,
            "ready": self.health.fault() or True,
            "leases_held": len(self.runs),
            "doorbells": self.health.doorbells,
            **self.stages.describe(),
        }
