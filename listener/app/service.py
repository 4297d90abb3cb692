"""The composition root: builds the adapters and the stages, starts them in order, and drains them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from listener.app.dashboard import BrowserAccess
from listener.app.drain import LONGEST_SECONDS, drain
from listener.app.first_answer import first_answer
from listener.app.http import HttpAccess, application
from listener.app.http_server import serve
from listener.app.monitor import build_pinger
from listener.app.shared import build_shared
from listener.app.supervisor import Supervisor
from listener.app.wiring import build_stages
from listener.errors import StageFailedError
from listener.observability.events import Event
from listener.os_signals import drain_on_signal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from anyio.abc import TaskGroup

    from listener.handler_api.registry import Registry
    from listener.settings import Settings

READY_CHECK_SECONDS = 0.02
JOIN_SECONDS = 10.0
"""Time limit for the first channel; after it, the listener takes its share of the jobs without one."""


class Service:
    """One listener.

    Args:
        settings: the settings from the environment.
        going: called at the start of the drain, with the seconds within which the process will have ended.
        registry: the handlers; by default those of the modules that the settings name.
        serve_http: whether to serve `/readyz` and its like on the settings' address.

    Raises:
        ListenerError: a handler module is not usable.
    """

    def __init__(
        self,
        settings: Settings,
        going: Callable[[float], object] = lambda _: None,
        *,
        registry: Registry | None = None,
        serve_http: bool = True,
    ) -> None:
        self._going, self._serves_http = going, serve_http
        self.shared = build_shared(settings, registry)
        self.stages = build_stages(self.shared)
        self._pinger = build_pinger(self.shared)
        self._log = structlog.get_logger("service").bind(listener_id=self.shared.listener_id)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises:
            StageFailedError: a stage failed again and again.
        """
        async with self.serving():
            drain = partial(self.drain, self.shared.settings.drain_seconds)
            await drain_on_signal(drain, self.shared.runs, self._on_shutdown_signal)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Run the stages while the block runs, and drain at its end.

        Raises:
            StageFailedError: a stage failed again and again; the block is cancelled.
        """
        fault: Exception | None = None
        self._log.info(Event.SERVICE_STARTING, url=self.shared.settings.url, handlers=self.shared.registry.names)
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self.shared.rpc.aclose)
            closing.push_async_callback(self.shared.client_factory.aclose)
            if self.shared.otlp:
                closing.push_async_callback(self.shared.otlp.aclose)
            closing.push_async_callback(self.stages.executor.aclose)
            self.shared.client_factory()  # its library is heavy: imported before the stages run
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._start, tasks)
                try:
                    yield
                except Exception as error:  # noqa: BLE001 - raised below: it is the block's own, not one of a group
                    fault = error
                tasks.cancel_scope.cancel()
        self._log.info(Event.SERVICE_STOPPED)
        if fault:
            raise fault

    async def _start(self, tasks: TaskGroup) -> None:
        """Start the stages from the last to the first of the flow, so that each stage finds the next one running."""
        supervisor = Supervisor(self.shared.clock)
        if self._serves_http:
            tasks.start_soon(self._keep, supervisor, "http", self._serve_http)
        if self._pinger:
            tasks.start_soon(self._keep, supervisor, "pinger", self._pinger.run)
        if self.shared.otlp:
            tasks.start_soon(self._keep, supervisor, "otlp", self.shared.otlp.run)
        await first_answer(self.shared)
        stages = self.stages
        ordered: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("completer", stages.completer.run),
            ("dispatcher", stages.dispatcher.run),
            ("timekeeper", stages.timekeeper.run),
            ("planner", stages.planner.run),
            ("lease_keeper", stages.lease_keeper.run),
            ("rescuer", stages.rescuer.run),
            ("recorder", stages.recorder.run),
            ("reflector", stages.reflector.run),
            ("muter", stages.muter.run),
            ("feed", stages.feeds.realtime.run),
            ("notify_feed", stages.feeds.notify.run),
            ("cleaner", stages.cleaner.run),
            ("activity_counter", stages.activity_counter.run),
            ("alert_evaluator", stages.alert_evaluator.run),
            ("watchdog", stages.watchdog.run),
            ("publisher", stages.publisher.run),
            ("sources", stages.sources.run),
            ("replanner", stages.replanner.run),
        ]
        for name, stage in ordered:
            tasks.start_soon(self._keep, supervisor, name, stage)
        await self._announce_ready()

    async def _keep(self, supervisor: Supervisor, name: str, stage: Callable[[], Awaitable[None]]) -> None:
        """Run a stage; if it ends, the service ends, and other listeners take over its runs at once."""
        try:
            await supervisor.run(name, stage)
        except StageFailedError as failed:
            self._log.error(Event.SERVICE_FAILED, error=str(failed), runs=len(self.shared.runs))
            async with anyio.create_task_group() as last:
                if self._pinger:
                    last.start_soon(self._pinger.report, str(failed))
                await self.drain(0)
            raise

    async def _announce_ready(self) -> None:
        with anyio.move_on_after(JOIN_SECONDS):
            await self.ready()
        self.stages.lease_keeper.join()  # only after the jobs are read: until then the others would wait for its claims
        await self.ready()
        self._log.info(Event.SERVICE_READY, jobs=len(self.stages.agenda))

    async def ready(self) -> None:
        """Wait until the service is ready."""
        while self.shared.health.fault() is not None:  # noqa: ASYNC110 - start-up only
            await anyio.sleep(READY_CHECK_SECONDS)

    def _on_shutdown_signal(self, immediate: bool) -> None:  # noqa: FBT001 - as `drain_on_signal` has it
        """Ensure that the process ends in time even if its loop is blocked and does not learn of the signal."""
        self._going(LONGEST_SECONDS + (0 if immediate else self.shared.settings.drain_seconds))

    async def drain(self, within_seconds: float, immediate_shutdown: anyio.Event | None = None) -> None:
        """Claim nothing more, let runs finish for so long, hand back the rest, write everything, and leave."""
        self._going(within_seconds + LONGEST_SECONDS)
        self.shared.health.drain()
        await drain(self.stages, self.shared.runs, within_seconds, immediate_shutdown)

    async def _serve_http(self) -> None:
        shared, settings = self.shared, self.shared.settings
        host, port = settings.http_address
        describe = self.describe if settings.debug else None
        key = settings.publishable_key
        project = BrowserAccess(settings.browser_url, key, settings.smtp_url is not None) if key else None
        access = HttpAccess((host.strip("[]"), *settings.allowed_hosts), tuple(settings.allowed_origins), project)
        app = application(shared.health, shared.metrics.exposition, describe, shared.clock.now, access)
        await serve(app, host, port)

    def describe(self) -> dict[str, Any]:
        """Describe what the service is doing, for `/debug/scheduler`."""
        return {
            "listener_id": self.shared.listener_id,
            "ready": self.shared.health.fault() or True,
            "leases_held": len(self.shared.runs),
            "channels": self.shared.health.channels,
            **self.stages.describe(),
        }
