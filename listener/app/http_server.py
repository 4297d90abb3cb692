"""The service's own port: few connections, each for a short time, whatever its client does."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from listener.execution.forks import kept_from_children

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

MAX_CONNECTIONS = 64
LIFETIME_SECONDS = 10.0
"""After this time a connection ends once its request is answered; after twice as long it ends at once."""
MAX_HEADER_BYTES = 16 * 1024


class _Server(uvicorn.Server):
    """Leaves OS signals to the service, which drains first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


class _Connection(H11Protocol):
    """A connection with a time limit; if there are too many, the oldest one is closed."""

    _timers: tuple[Any, ...] = ()
    _opened = 0.0

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's
        """Set the time limit, and close the oldest connection if there are too many."""
        super().connection_made(transport)
        self._opened = self.loop.time()
        self._timers = (
            self.loop.call_later(LIFETIME_SECONDS, self._expire),
            self.loop.call_later(2 * LIFETIME_SECONDS, transport.abort),
        )
        if len(self.connections) > MAX_CONNECTIONS:
            oldest: Any = min(self.connections, key=lambda each: getattr(each, "_opened", 0.0))
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limit."""
        for timer in self._timers:
            timer.cancel()
        super().connection_lost(exc)

    def _expire(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False


async def serve(app: ASGIApp, host: str, port: int) -> None:
    """Serve until cancelled.

    Raises:
        OSError: the address cannot be bound; uvicorn itself would end the process without a message.
    """
    with listening_at(host, port) as listening, kept_from_children(listening.fileno()):
        await _serve(app, listening)


def listening_at(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        OSError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), port), family=family)


async def _serve(app: ASGIApp, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        backlog=MAX_CONNECTIONS,
    )
    server = _Server(config)
    try:
        await server.serve(sockets=[listening])
    finally:
        if server.started:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await server.shutdown()
