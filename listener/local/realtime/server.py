"""The server: one replication stream, one delivery, any number of sockets."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import structlog
from aiohttp import WSCloseCode, web

from listener.local.realtime.channel import World
from listener.local.realtime.database import Database, apply_schema
from listener.local.realtime.delivery import Delivery
from listener.local.realtime.facts import FactsCache
from listener.local.realtime.http_broadcast import HttpBroadcasts
from listener.local.realtime.intake import Intake, Message
from listener.local.realtime.published import PublishedTables
from listener.local.realtime.rate import TICK_SECONDS, RateLimit
from listener.local.realtime.replication import StreamEndedError, open_stream
from listener.local.realtime.row_reader import RowReader
from listener.local.realtime.sockets import Socket
from listener.local.realtime.subscribed_tables import SubscribedTables
from listener.local.realtime.subscriptions import Registry
from listener.local.realtime.tokens import ExpiredTokenError, TokenError, Verifier
from listener.local.realtime.topics import Topics
from listener.local.realtime.usage import Usage
from listener.local.realtime.wire import UserBroadcast, codec_for, compact

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from listener.local.realtime.pgoutput import Change

log = structlog.get_logger()

FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.1, 2.0
LARGEST_FRAME_BYTES = 4 * 1024 * 1024
FIRST_STREAM_SECONDS = 10.0
CLOSE_SECONDS = 0.5  # a client's time to answer a close
CLEAN_UP_SECONDS = 3600.0
CHECK_SECONDS = 1.0
_CLEAN_UP = "delete from realtime.messages where inserted_at < (now() at time zone 'utc') - interval '3 days'"


@dataclass(frozen=True, slots=True)
class Options:
    """The server's options. `dsn` is libpq's, of a superuser; `events_per_second` None means no limit.

    By default nothing is slow and nothing is dropped; `AS_HOSTED` has what Supabase sets.
    """

    dsn: str
    jwt_secret: str
    host: str = "127.0.0.1"
    port: int = 4000
    idle_seconds: float = 65.0
    events_per_second: float | None = None
    limit_tick_seconds: float = TICK_SECONDS
    refused_join_seconds: float = 0.0  # a socket does nothing else for so long
    refused_connection_seconds: float = 0.0
    remembered_seconds: float = 30.0  # how long the real server knows a project without reading its database
    tables_check_seconds: float = 60.0  # how often the real server checks what is published


AS_HOSTED = {"events_per_second": 100.0, "refused_join_seconds": 5.0, "refused_connection_seconds": 2.0}


class Server:
    """All parts of one server process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._registry = Registry()
        self._for_sockets, self._for_delivery = Database(options.dsn), Database(options.dsn)
        verifier = Verifier(options.jwt_secret)
        self._usage = Usage()
        topics = Topics(self._usage)
        stopped, refused_join_seconds = asyncio.Event(), options.refused_join_seconds
        self._tables = SubscribedTables(options.dsn, self._for_sockets)
        self._world = World(
            self._for_sockets,
            self._registry,
            self._tables,
            topics,
            verifier,
            stopped,
            refused_join_seconds,
            self._usage,
        )
        self._limit = RateLimit(options.events_per_second, options.limit_tick_seconds)
        self._sockets: set[Socket] = set()
        self._websockets: set[web.WebSocketResponse] = set()
        self._away_since: float | None = None  # monotonic time at which PostgreSQL was first missed

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then close every socket as a server that restarts does (1012).

        Raises:
            OSError: The port is taken.
        """
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        try:
            async with asyncio.TaskGroup() as tasks:
                works = (
                    self._stream_for_ever(),
                    self._watch_tables_for_ever(),
                    self._clean_up_for_ever(),
                    self._listen(runner),  # it may wait for the database, which `stop` need not
                )
                workers = [tasks.create_task(work) for work in works]
                await stop.wait()
                for worker in workers:
                    worker.cancel()
        finally:
            await self._close_sockets()
            await runner.cleanup()
            await self._for_sockets.close()
            await self._for_delivery.close()

    async def _listen(self, runner: web.AppRunner) -> None:
        with contextlib.suppress(TimeoutError):  # programs wait for the port: when it is open, changes must flow
            await asyncio.wait_for(self._world.streaming.wait(), FIRST_STREAM_SECONDS)
        await web.TCPSite(runner, self._options.host, self._options.port).start()
        log.info("realtime_listening", host=self._options.host, port=self._options.port)

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=LARGEST_FRAME_BYTES)
        application.router.add_get("/realtime/v1/websocket", self._serve_websocket)
        application.router.add_get("/socket/websocket", self._serve_websocket)
        broadcasts = HttpBroadcasts(self._world)
        application.router.add_post("/realtime/v1/api/broadcast", broadcasts.serve)
        application.router.add_post("/api/broadcast", broadcasts.serve)
        application.router.add_get("/health", self._serve_health)
        application.router.add_get("/api/tenants/{tenant}/health", self._serve_health)
        return application

    async def _serve_health(self, _: web.Request) -> web.Response:
        healthy = self._world.streaming.is_set()
        body = {
            "healthy": healthy,
            "connected_clients": len(self._sockets),
            "subscriptions": len(self._registry),
            "messages": asdict(self._usage),
        }
        return web.json_response(body, status=200 if healthy else 503)

    async def _serve_websocket(self, request: web.Request) -> web.StreamResponse:
        if self._is_forgotten():
            return web.Response(status=500, text="Internal Server Error")
        token = request.query.get("apikey") or request.headers.get("x-api-key") or ""
        refusal = self._refusal(token)
        if refusal is not None:
            await asyncio.sleep(self._options.refused_connection_seconds)
            return web.json_response({"error": refusal}, status=401, dumps=compact)
        codec = codec_for(request.query.get("vsn", "1.0.0"))
        if codec is None:
            return web.Response(status=403)
        websocket = web.WebSocketResponse(
            autoping=False, autoclose=False, compress=False, max_msg_size=LARGEST_FRAME_BYTES, timeout=CLOSE_SECONDS
        )
        await websocket.prepare(request)
        socket = Socket(websocket, codec, self._world, token)
        self._sockets.add(socket)
        self._websockets.add(websocket)
        try:
            await socket.serve(self._options.idle_seconds)
        finally:
            self._sockets.discard(socket)
            self._websockets.discard(websocket)
        return websocket

    def _is_forgotten(self) -> bool:
        """Return whether the database has been away for so long that the real server knows no project any more."""
        away_since = self._away_since
        return away_since is not None and time.monotonic() - away_since > self._options.remembered_seconds

    def _refusal(self, token: str) -> str | None:
        if not token:
            return "API key is missing"
        try:
            self._world.verifier.verify(token)
        except ExpiredTokenError:
            return "Token has expired"
        except TokenError as fault:
            return fault.reason
        return None

    async def _stream_for_ever(self) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            try:
                await self._stream()
            except (psycopg.Error, StreamEndedError, OSError) as fault:
                log.warning("replication_lost", reason=str(fault).strip(), retry_in_seconds=backoff)
                if isinstance(fault, psycopg.OperationalError):
                    self._away_since = self._away_since or time.monotonic()
            if self._world.streaming.is_set():
                backoff = FIRST_BACKOFF_SECONDS
            self._world.streaming.clear()
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LONGEST_BACKOFF_SECONDS)

    async def _stream(self) -> None:
        await apply_schema(self._options.dsn)
        facts = FactsCache(self._for_delivery)
        intake = Intake(self._registry, facts)
        delivery = Delivery(intake.gate, facts, RowReader(self._for_delivery), self._limit)
        slot = f"realtime_{secrets.token_hex(6)}"
        await self._tables.follow(slot)
        async with open_stream(self._options.dsn, slot, intake.accept) as stream:
            self._away_since = None
            self._world.streaming.set()  # without a frame to subscribers, like the real server after its restart
            log.info("replication_running")
            await _first_of(stream.run(intake.ready_for_more), self._deliver(intake, delivery))

    async def _deliver(self, intake: Intake, delivery: Delivery) -> None:
        while True:
            changes: list[Change] = []
            for item in await intake.next_batch():
                if isinstance(item, Message):
                    meta = {"id": item.id}
                    self._world.topics.broadcast(
                        (item.topic, item.private), UserBroadcast(item.event, item.payload, meta)
                    )
                else:
                    changes.append(item)
            if changes:
                await delivery.deliver(changes)

    async def _watch_tables_for_ever(self) -> None:
        tables = PublishedTables(self._for_sockets)
        while True:
            await self._world.streaming.wait()
            try:
                if await tables.have_changed():
                    self._subscribe_all_again()
                await self._tables.refresh(self._registry.names())
            except psycopg.Error as fault:  # a table that is dropped at this moment is enough
                log.info("published_tables_unknown", reason=str(fault))
                await asyncio.sleep(min(CHECK_SECONDS, self._options.tables_check_seconds))
            else:
                await asyncio.sleep(self._options.tables_check_seconds)

    def _subscribe_all_again(self) -> None:
        for socket in self._sockets:
            for channel in socket.channels.values():
                channel.subscribe_again()

    async def _clean_up_for_ever(self) -> None:
        while True:
            await self._world.streaming.wait()
            try:
                await self._for_sockets.rows(_CLEAN_UP)
            except psycopg.Error as fault:
                log.warning("clean_up_failed", reason=str(fault))
            await asyncio.sleep(CLEAN_UP_SECONDS)

    async def _close_sockets(self) -> None:
        closings = [websocket.close(code=WSCloseCode.SERVICE_RESTART) for websocket in self._websockets]
        await asyncio.gather(*closings, return_exceptions=True)


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, then raise or return as it did."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
