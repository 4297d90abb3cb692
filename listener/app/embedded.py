"""The service inside an application: in its process, on its loop, for as long as a block runs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from listener.app.service import Service
    from listener.settings import Settings


@asynccontextmanager
async def running(
    settings: Settings | None = None,
    *,
    handlers: Iterable[Callable[..., Any] | str] | None = None,
    wait_until_ready: bool = True,
    serve_http: bool = False,
) -> AsyncIterator[Service]:
    """Run the listener beside an application's own tasks; leaving the block drains it as SIGTERM drains `listener run`.

    It takes no OS signals and leaves the application's logging alone. It needs an asyncio loop. Example::

        @contextlib.asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with listener.running(handlers=[send_report]):
                yield

    Args:
        settings: by default read as `listener run` reads them.
        handlers: functions marked with `@handler`, and names of modules that have some; by default those of the
            settings.
        wait_until_ready: enter the block when jobs run on time; False enters it at once, also while Supabase is away.
        serve_http: serve `/readyz`, `/metrics` and the others on `LISTENER_HTTP_BIND` too.

    Yields:
        The service: `await service.ready()` waits until it is ready, `service.shared.health.fault()` says why it is
        not, `service.describe()` is what `/debug/scheduler` shows.

    Raises:
        SettingsError: one line for each missing or malformed setting.
        ListenerError: a handler is not usable.
        ExceptionGroup: a stage failed again and again (StageFailedError); the block is cancelled.
    """
    from listener.app.service import Service  # noqa: PLC0415 - whoever only declares handlers needs none of it
    from listener.handler_api.registry import Registry  # noqa: PLC0415
    from listener.settings import read_settings  # noqa: PLC0415

    settings = settings or read_settings()
    registry = None if handlers is None else Registry.of(handlers)
    service = Service(settings, registry=registry, serve_http=serve_http)
    async with service.serving():
        try:
            if wait_until_ready:
                await service.ready()
            yield service
        finally:
            with anyio.CancelScope(shield=True):
                await service.drain(settings.drain_seconds)
