"""A client's connection to the gateway: requests in their order, each sent on or answered, bodies streamed.

Only heads are looked at; responses and websockets pass as they are. That keeps the gateway's share of a request small
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
class Exchange:
    """One request on its way: what is known of it, and the pieces of its body that wait to be sent on."""

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
        self._exchanges: deque[Exchange] = deque()
        self._incoming = Exchange()
        self._pipe: Pipe | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_full = False

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, received: bytes) -> None:
        """Read requests, or pass on what a websocket says."""
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
        """Drop what the client no longer waits for."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._pipe is not None:
            self._pipe.close()
        for exchange in self._exchanges:
            if exchange.upstream is not None:
                exchange.upstream.abandon()
        self._exchanges.clear()

    def pause_writing(self) -> None:
        """Slow the service down: the client reads slowly."""
        self._is_full = True
        source = self._source()
        if source is not None:
            source.pause_reading()

    def resume_writing(self) -> None:
        """Let the service go on."""
        self._is_full = False
        source = self._source()
        if source is not None:
            source.resume_reading()

    # httptools calls these

    def on_message_begin(self) -> None:
        """Begin another request."""
        self._incoming = Exchange()
        self._exchanges.append(self._incoming)

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._incoming.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._incoming.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Decide what becomes of the request."""
        exchange = self._incoming
        exchange.request = Request(self._parser.get_method(), exchange.url, tuple(exchange.headers))
        exchange.routing = route(exchange.request, self._jwt_by_apikey)
        exchange.version = self._parser.get_http_version()
        exchange.keep_alive = self._parser.should_keep_alive()
        exchange.chunked = exchange.request.header(b"transfer-encoding") is not None
        if exchange.request.header(b"expect") is not None:
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
        self._exchanges[0].responding = True
        self._transport.write(received)

    def response_complete(self) -> None:
        """Give the connection back and turn to the next request."""
        exchange = self._exchanges[0]
        upstream, exchange.upstream, exchange.answered = exchange.upstream, None, True
        if upstream is not None and isinstance(exchange.routing, Forward):
            if exchange.received:
                upstream.transport.resume_reading()  # the end itself may have been more than the client would take
                self._pool.release(exchange.routing.service, upstream)
            else:  # it answered before it had read the body: the rest of that must not reach it as a request
                upstream.abandon()
        self._advance()

    def upstream_lost(self) -> None:
        """Say so, if the response has not begun; else break off too."""
        exchange = self._exchanges[0]
        exchange.upstream = None
        if exchange.responding:  # its end may be what ends the response
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
        """Do what can be done now for the request at the front, and for those behind it once it is through."""
        while self._exchanges and self._exchanges[0].routing is not None:
            exchange = self._exchanges[0]
            if not exchange.started:
                exchange.started = True
                self._start(exchange)
            self._send_body(exchange)
            if not (exchange.answered and exchange.received):
                return
            self._exchanges.popleft()
            if not exchange.keep_alive:
                self._transport.close()
                return

    def _start(self, exchange: Exchange) -> None:
        if isinstance(exchange.routing, Answer):
            self._transport.write(exchange.routing.response)
            exchange.answered = True
        elif exchange.routing is not None:
            upstream = self._pool.idle(exchange.routing.service)
            if upstream is not None:
                self._attach(exchange, upstream)
            else:
                self._connecting = asyncio.get_running_loop().create_task(self._connect(exchange, exchange.routing))

    async def _connect(self, exchange: Exchange, forward: Forward) -> None:
        try:
            upstream = await self._pool.connect(forward.service)
        except OSError:
            self._fail(HTTPStatus.SERVICE_UNAVAILABLE, _away(forward))
        else:
            self._attach(exchange, upstream)
            self._advance()

    def _attach(self, exchange: Exchange, upstream: Upstream) -> None:
        """Send the head, joined to the body that is here already: one write, one wake-up of the service."""
        request, forward = cast("Request", exchange.request), cast("Forward", exchange.routing)
        exchange.upstream = upstream
        if self._is_full:
            upstream.transport.pause_reading()
        exchange.pieces.insert(0, head_for_service(request, forward, exchange.version))
        upstream.begin(self, bodyless=request.method == b"HEAD")

    def _send_body(self, exchange: Exchange) -> None:
        if exchange.upstream is not None and exchange.pieces:
            exchange.upstream.transport.write(b"".join(exchange.pieces))
            exchange.pieces.clear()
        elif exchange.answered:
            exchange.pieces.clear()

    def _fail(self, status: HTTPStatus, message: str) -> None:
        self._exchanges[0].answered = True
        self._transport.write(refusal(status, message))
        self._advance()

    # websockets

    def _start_pipe(self, early: bytes) -> None:
        exchange = self._exchanges[0]
        upgrade = cast("Request", exchange.request).header(b"upgrade") or b""
        if len(self._exchanges) > 1 or not isinstance(exchange.routing, Forward) or upgrade.lower() != b"websocket":
            self._refuse_upgrade(exchange)
            return
        self._pipe = Pipe(self._transport)
        self._pipe.send(head_for_upgrade(cast("Request", exchange.request), exchange.routing) + early)
        self._connecting = asyncio.get_running_loop().create_task(self._connect_pipe(self._pipe, exchange.routing))

    def _refuse_upgrade(self, exchange: Exchange) -> None:
        routing = exchange.routing
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
        upstream = self._exchanges[0].upstream if self._exchanges else None
        return upstream.transport if upstream is not None else None


def _away(forward: Forward) -> str:
    return f"The {forward.service} service does not answer yet"
