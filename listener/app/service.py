"""The composition root: builds the adapters and the stages, starts them in order, and drains them."""

from __future__ import annotations

import os
import random
import socket
import uuid
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from listener.app.drain import LONGEST_SECONDS, drain
from listener.app.http import application, serve
from listener.app.supervisor import Supervisor
from listener.app.wiring import Shared, build_stages
from listener.clock import DatabaseClock
from listener.errors import StageFailedError
from listener.handler_api.registry import Registry
from listener.maintenance.lease_keeper import CALL_SHARE
from listener.masking.redaction import hide_always
from listener.observability.events import Event
from listener.observability.health import Health
from listener.observability.metrics import Metrics
from listener.os_signals import drain_on_signal
from listener.runs.held_runs import HeldRuns
from listener.supabase.rpc import CALL_SECONDS, Rpc
from listener.supabase.store import SupabaseStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

    from listener.settings import Settings

READY_CHECK_SECONDS = 0.02
JOIN_SECONDS = 10.0
"""How long to wait for a channel before taking a share of the jobs without one."""


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
        self.runs = HeldRuns()
        slowest = max(settings.poll_seconds, settings.stale_poll_seconds)
        self.health = Health(self.clock, tuple(settings.channels), slowest)
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
        self.stages = build_stages(
            Shared(
                settings=settings,
                listener_id=self.listener_id,
                key=self._key,
                clock=self.clock,
                metrics=self.metrics,
                health=self.health,
                runs=self.runs,
                rpc=self.rpc,
                store=self.store,
                registry=self._registry,
                client_factory=lambda: self._client,
                jitter=self._jitter,
            )
        )
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
                tasks.start_soon(self._stop_on_signal, tasks.cancel_scope)
                self._start(tasks)
        self._log.info(Event.SERVICE_STOPPED)

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
            ("watchdog", stages.watchdog.run),
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

    async def _stop_on_signal(self, scope: anyio.CancelScope) -> None:
        await drain_on_signal(partial(self.drain, self._settings.drain_seconds), self.runs, self._ordered)
        scope.cancel()

    def _ordered(self, immediately: bool) -> None:  # noqa: FBT001 - as `drain_on_signal` has it
        """See that the process is gone in time also if its loop is held up, and does not learn of the order."""
        self._going(LONGEST_SECONDS + (0 if immediately else self._settings.drain_seconds))

    async def drain(self, within_seconds: float, immediate_shutdown: anyio.Event | None = None) -> None:
        """Claim nothing more, let runs finish for so long, hand back the rest, write everything, and leave."""
        self._going(within_seconds + LONGEST_SECONDS)
        self.health.drain()
        await drain(self.stages, self.runs, within_seconds, immediate_shutdown)

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
            "channels": self.health.channels,
            **self.stages.describe(),
        }
