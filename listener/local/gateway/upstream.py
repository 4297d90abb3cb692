"""Connections to the services behind the gateway, kept open between requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from listener.local.gateway.routing import CORS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[tuple[asyncio.BaseTransport, asyncio.Protocol]]]

IDLE_SECONDS = 20.0  # PostgREST closes an idle connection after 30 s: never race with that
HEAD_END = b"\r\n\r\n"


class Receiver(Protocol):
    """Receives a response."""

    def response_bytes(self, received: bytes) -> None:
        """Take the next piece, ready to be sent on."""

    def response_complete(self) -> None:
        """Note that the response has ended; the connection is free for another request."""

    def upstream_lost(self) -> None:
        """Note that the connection ended before the response did."""

    def upstream_writable(self, *, writable: bool) -> None:
        """Pause the request's body, or continue it."""


class Upstream(asyncio.Protocol):
    """One connection: carries one request at a time, adds CORS headers to the response, and detects its end."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.idle_since = 0.0
        self._receiver: Receiver | None = None
        self._parser: httptools.HttpResponseParser
        self._head = b""
        self._in_body = self._bodyless = self._complete = self._reusable = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it."""
        return not self.transport.is_closing()

    def begin(self, receiver: Receiver, *, bodyless: bool) -> None:
        """Expect the response of a request for `receiver`; it has no body if `bodyless` (the answer to HEAD)."""
        self._receiver = receiver
        self._parser = httptools.HttpResponseParser(self)
        self._head = b""
        self._in_body, self._bodyless, self._complete = False, bodyless, False

    def abandon(self) -> None:
        """Close the connection in the middle of a response that nobody waits for any more."""
        self._receiver = None
        self.transport.abort()

    def on_headers_complete(self) -> None:
        """Note whether the connection outlives the response (called by the parser, which forgets it at the end)."""
        self._reusable = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """Note the response's end (called by the parser)."""
        self._complete = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, received: bytes) -> None:
        """Send the response on, its head with the CORS headers."""
        receiver = self._receiver
        if receiver is None:  # no request is open
            self.transport.abort()
            return
        if not self._in_body:
            self._head = received = self._head + received
            if HEAD_END not in received:
                return
            self._in_body = True
            receiver.response_bytes(_with_cors(received))
        else:
            receiver.response_bytes(received)
        self._look_for_end(receiver, received)

    def _look_for_end(self, receiver: Receiver, received: bytes) -> None:
        try:
            self._parser.feed_data(received)
        except httptools.HttpParserError:
            self.transport.abort()
            return
        if self._complete or self._bodyless:
            self._receiver = None
            if not self._reusable:
                self.transport.close()
            receiver.response_complete()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Notify the receiver."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.upstream_lost()

    def pause_writing(self) -> None:
        """Pause the request's body."""
        if self._receiver is not None:
            self._receiver.upstream_writable(writable=False)

    def resume_writing(self) -> None:
        """Continue the request's body."""
        if self._receiver is not None:
            self._receiver.upstream_writable(writable=True)


class Pool:
    """Idle connections by service, the most recently used first; a new one if none is idle."""

    def __init__(self, services: Mapping[str, Connect], now: Callable[[], float]) -> None:
        self._services = services
        self._now = now
        self._idle: dict[str, list[Upstream]] = {service: [] for service in services}

    def idle(self, service: str) -> Upstream | None:
        """Return an open idle connection, None when there is none."""
        idle = self._idle[service]
        while idle:
            upstream = idle.pop()
            if upstream.usable and self._now() - upstream.idle_since < IDLE_SECONDS:
                return upstream
            upstream.transport.close()
        return None

    async def connect(self, service: str) -> Upstream:
        """Return a new connection.

        Raises:
            OSError: The service does not listen.
        """
        _, upstream = await self._services[service](Upstream)
        return cast("Upstream", upstream)

    async def pipe(self, service: str, end: asyncio.Protocol) -> None:
        """Connect `end` to the service.

        Raises:
            OSError: The service does not listen.
        """
        await self._services[service](lambda: end)

    def release(self, service: str, upstream: Upstream) -> None:
        """Take a connection back after its response is complete."""
        if upstream.usable:
            upstream.idle_since = self._now()
            self._idle[service].append(upstream)


def _with_cors(response: bytes) -> bytes:
    end = response.index(HEAD_END)
    if b"access-control-allow-origin" in response[:end].lower():
        return response
    first = response.index(b"\r\n") + 2
    return response[:first] + CORS + response[first:]
