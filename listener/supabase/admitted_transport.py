"""An httpx transport that admits as many requests to its pool as the pool has connections, and replaces a stuck pool.

Measured with httpcore 1.0.9: its pool takes time in proportion to the square of the requests that wait in it, and a
request that is cancelled just after it was given a new connection leaves that connection behind: 400 such
cancellations, and every further request is a `PoolTimeout`. No request that is admitted here waits in the pool.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio
import httpx
import structlog

from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

STUCK_AFTER = 3
"""Requests in a row that get no connection from the pool, and none meanwhile that does."""


class AdmittedTransport(httpx.AsyncBaseTransport):
    """Requests wait here, first come, first served, not in the pool.

    Args:
        connections: how many requests go on at a time, each until its response is closed.
        make: opens a pool of at least as many connections.
    """

    def __init__(self, connections: int, make: Callable[[], httpx.AsyncBaseTransport]) -> None:
        self._slots, self._make = anyio.Semaphore(connections), make
        self._pool, self._timeouts = make(), 0
        self._log = structlog.get_logger("http")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Wait for a slot, within the request's time limit for the pool, and send.

        Raises:
            httpx.PoolTimeout: neither a slot nor a connection was free in time.
            httpx.TransportError: as the pool.
        """
        async with AsyncExitStack() as closing:
            seconds = request.extensions.get("timeout", {}).get("pool")
            with anyio.move_on_after(seconds) as waiting:
                await self._slots.acquire()
                closing.callback(self._slots.release)
            if waiting.cancelled_caught:
                message = f"{seconds:g} s passed while others had every connection"
                raise httpx.PoolTimeout(message, request=request)
            response = await self._send(request)
            response.stream = _Admitted(response.stream, closing.pop_all())
        return response

    async def _send(self, request: httpx.Request) -> httpx.Response:
        pool = self._pool
        try:
            response = await pool.handle_async_request(request)
        except httpx.PoolTimeout:
            self._timeouts += 1
            if self._timeouts >= STUCK_AFTER and pool is self._pool:
                await self._replace()
            raise
        self._timeouts = 0
        return response

    async def _replace(self) -> None:
        """Open a pool in place of one that gives no connection, though it has as many as there are slots."""
        self._log.warning(Event.CONNECTIONS_REPLACED, requests_refused=self._timeouts)
        stuck, self._pool, self._timeouts = self._pool, self._make(), 0
        with anyio.CancelScope(shield=True):
            await stuck.aclose()

    async def aclose(self) -> None:
        """Close the pool."""
        await self._pool.aclose()


class _Admitted(httpx.AsyncByteStream):
    """The body of a response, which keeps its slot until it is closed."""

    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, closing: AsyncExitStack) -> None:
        self._stream, self._closing = stream, closing

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._stream, httpx.AsyncByteStream)  # noqa: S101 - what an asynchronous transport gives
        async for chunk in self._stream:
            yield chunk

    async def aclose(self) -> None:
        """Close the body, and free the slot."""
        async with self._closing:
            assert isinstance(self._stream, httpx.AsyncByteStream)  # noqa: S101 - as above
            await self._stream.aclose()
