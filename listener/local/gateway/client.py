"""A client's connection to the gateway: forwards or answers its requests in order, and streams bodies.

Only heads are parsed; responses and websockets pass unchanged. That keeps the gateway's share of a request small
(a fraction of PostgREST's), which matters to a scheduler that makes round trips of a few milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools

from listener.local.gateway.heads import head_for_service, head_for_upgrade
from listener.local.gateway.pipe import Pipe
from listener.local.gateway.routing import Answer, Forward, Request, refusal, route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from listener.local.gateway.upstream import Pool, Upstream

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(slots=True)
class PendingRequest:
    """One request in progress: its parsed head, and the pieces of its body that wait to be forwarded."""

    url: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    request: Request | None = None
    routing: Forward | Answer | None = None
    version: str = "1.1"
    keep_alive: bool = True
    chunked: bool = False
    pieces: list[bytes] = field(default_factory=list)
    received: bool = False
    started: bool = False
    responding: bool = False
    answered: bool = False
    upstream: Upstream | None = None


class Client(asyncio.Protocol):
    """One connection. Pipelined requests wait their turn."""

    def __init__(self, pool: Pool, jwt_by_apikey: Mapping[bytes, bytes]) -> None:
        self._pool = pool
        self._jwt_by_apikey = jwt_by_apikey
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._pending: deque[PendingRequest] = deque()
        self._incoming = PendingRequest()
        self._pipe: Pipe | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_full = False

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, received: bytes) -> None:
        """Read requests, or pass a websocket's bytes on."""
        if self._pipe is not None:
            self._pipe.send(received)
            return
        try:
            self._parser.feed_data(received)
        except httptools.HttpParserUpgrade as upgrade:
            self._start_pipe(received[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._transport.write(refusal(HTTPStatus.BAD_REQUEST, "The request is not HTTP"))
            self._transport.close()
        else:
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Drop the requests that the client no longer waits for."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._pipe is not None:
            self._pipe.close()
        for pending in self._pending:
            if pending.upstream is not None:
                pending.upstream.abandon()
        self._pending.clear()

    def pause_writing(self) -> None:
        """Slow the service down: the client reads slowly."""
        self._is_full = True
        source = self._source()
        if source is not None:
            source.pause_reading()

    def resume_writing(self) -> None:
        """Let the service continue."""
        self._is_full = False
        source = self._source()
        if source is not None:
            source.resume_reading()

    # httptools calls these

    def on_message_begin(self) -> None:
        """Begin another request."""
        self._incoming = PendingRequest()
        self._pending.append(self._incoming)

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._incoming.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._incoming.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Decide how to handle the request."""
        pending = self._incoming
        pending.request = Request(self._parser.get_method(), pending.url, tuple(pending.headers))
        pending.routing = route(pending.request, self._jwt_by_apikey)
        pending.version = self._parser.get_http_version()
        pending.keep_alive = self._parser.should_keep_alive()
        pending.chunked = pending.request.header(b"transfer-encoding") is not None
        if pending.request.header(b"expect") is not None:
            self._transport.write(CONTINUE)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._incoming.pieces.append(b"%x\r\n%s\r\n" % (len(body), body) if self._incoming.chunked else body)

    def on_message_complete(self) -> None:
        """End the body."""
        if self._incoming.chunked:
            self._incoming.pieces.append(b"0\r\n\r\n")
        self._incoming.received = True

    # the service's connection calls these

    def response_bytes(self, received: bytes) -> None:
        """Pass a piece of the response on."""
        self._pending[0].responding = True
        self._transport.write(received)

    def response_complete(self) -> None:
        """Return the connection to the pool and turn to the next request."""
        pending = self._pending[0]
        upstream, pending.upstream, pending.answered = pending.upstream, None, True
        if upstream is not None and isinstance(pending.routing, Forward):
            if pending.received:
                upstream.transport.resume_reading()  # the end itself may have filled the client's buffer
                self._pool.release(pending.routing.service, upstream)
            else:  # the service answered before it had read the body, whose rest must not reach it as a request
                upstream.abandon()
        self._advance()

    def upstream_lost(self) -> None:
        """Answer with an error, if the response has not begun; else close the connection."""
        pending = self._pending[0]
        pending.upstream = None
        if pending.responding:  # the end of the connection may be the end of the response
            self._transport.close()
            return
        self._fail(HTTPStatus.BAD_GATEWAY, "An invalid response was received from the upstream server")

    def upstream_writable(self, *, writable: bool) -> None:
        """Slow the client down: the service reads slowly."""
        if writable:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # the order of events

    def _advance(self) -> None:
        """Do what is possible now for the first request, and for those behind it once it is complete."""
        while self._pending and self._pending[0].routing is not None:
            pending = self._pending[0]
            if not pending.started:
                pending.started = True
                self._start(pending)
            self._send_body(pending)
            if not (pending.answered and pending.received):
                return
            self._pending.popleft()
            if not pending.keep_alive:
                self._transport.close()
                return

    def _start(self, pending: PendingRequest) -> None:
        if isinstance(pending.routing, Answer):
            self._transport.write(pending.routing.response)
            pending.answered = True
        elif pending.routing is not None:
            upstream = self._pool.idle(pending.routing.service)
            if upstream is not None:
                self._attach(pending, upstream)
            else:
                self._connecting = asyncio.get_running_loop().create_task(self._connect(pending, pending.routing))

    async def _connect(self, pending: PendingRequest, forward: Forward) -> None:
        try:
            upstream = await self._pool.connect(forward.service)
        except OSError:
            self._fail(HTTPStatus.SERVICE_UNAVAILABLE, _away(forward))
        else:
            self._attach(pending, upstream)
            self._advance()

    def _attach(self, pending: PendingRequest, upstream: Upstream) -> None:
        """Send the head together with the body received so far: one write, one wake-up of the service."""
        request, forward = cast("Request", pending.request), cast("Forward", pending.routing)
        pending.upstream = upstream
        if self._is_full:
            upstream.transport.pause_reading()
        pending.pieces.insert(0, head_for_service(request, forward, pending.version))
        upstream.begin(self, bodyless=request.method == b"HEAD")

    def _send_body(self, pending: PendingRequest) -> None:
        if pending.upstream is not None and pending.pieces:
            pending.upstream.transport.write(b"".join(pending.pieces))
            pending.pieces.clear()
        elif pending.answered:
            pending.pieces.clear()

    def _fail(self, status: HTTPStatus, message: str) -> None:
        self._pending[0].answered = True
        self._transport.write(refusal(status, message))
        self._advance()

    # websockets

    def _start_pipe(self, early: bytes) -> None:
        pending = self._pending[0]
        upgrade = cast("Request", pending.request).header(b"upgrade") or b""
        if len(self._pending) > 1 or not isinstance(pending.routing, Forward) or upgrade.lower() != b"websocket":
            self._refuse_upgrade(pending)
            return
        self._pipe = Pipe(self._transport)
        self._pipe.send(head_for_upgrade(cast("Request", pending.request), pending.routing) + early)
        self._connecting = asyncio.get_running_loop().create_task(self._connect_pipe(self._pipe, pending.routing))

    def _refuse_upgrade(self, pending: PendingRequest) -> None:
        routing = pending.routing
        refused = refusal(HTTPStatus.NOT_IMPLEMENTED, "Only websockets can be upgraded to")
        self._transport.write(routing.response if isinstance(routing, Answer) else refused)
        self._transport.close()

    async def _connect_pipe(self, pipe: Pipe, forward: Forward) -> None:
        try:
            await self._pool.pipe(forward.service, pipe)
        except OSError:
            self._transport.write(refusal(HTTPStatus.BAD_GATEWAY, _away(forward)))  # as a plain proxy does
            self._transport.close()

    def _source(self) -> asyncio.Transport | None:
        """Return the transport whose bytes go to the client at present."""
        if self._pipe is not None:
            return self._pipe.transport
        upstream = self._pending[0].upstream if self._pending else None
        return upstream.transport if upstream is not None else None


def _away(forward: Forward) -> str:
    return f"The {forward.service} service does not answer yet"
