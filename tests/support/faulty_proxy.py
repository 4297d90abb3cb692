"""A TCP or Unix-socket road that stands between two programs and can be broken in the ways in which networks break.

Example::

    async with running_proxy(TcpRoad(to_port=54321)) as proxy:
        proxy.mode = Mode.HALF_OPEN
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - anyio's Unix sockets fail when a cancellation meets a readable socket
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter  # noqa: TID251 - see above
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from anyio.streams.memory import MemoryObjectReceiveStream

CHUNK = 65536
PIECES_UNDER_WAY = 1000
GONE = (OSError, RuntimeError, anyio.BrokenResourceError)
"""Exceptions of the two ends once they are closed; uvloop's transports raise RuntimeError."""
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Mode(StrEnum):
    """The proxy's treatment of bytes."""

    PASS = "pass"  # noqa: S105 - no password
    REFUSE = "refuse"
    """Nothing listens; what was connected is closed."""
    RESET = "reset"
    """Connections are accepted and reset, those that there are too."""
    HALF_OPEN = "half_open"
    """Everything is swallowed and no error is raised. A connected client stays stale after the mode is left."""
    ANSWER = "answer"
    """Requests are answered with `status`; what was connected is reset."""


@dataclass(frozen=True)
class TcpRoad:
    """From a port of loopback to another one; 0 takes any free port."""

    to_port: int
    port: int = 0


@dataclass(frozen=True)
class SocketRoad:
    """From one Unix socket to another."""

    to_path: Path
    path: Path


@dataclass(eq=False)
class _Connection:
    reader: StreamReader
    writer: StreamWriter
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    is_swallowed: bool = False
    is_reset: bool = False


class FaultyProxy:
    """A road with a mode that may be changed at any time; a new mode counts for what is connected too.

    `delay_up` and `delay_down` are seconds that each piece waits on its way to the far end and back; they count in
    mode `PASS`, and a piece that waits is delivered even if whoever sent it is gone.
    """

    def __init__(self, road: TcpRoad | SocketRoad) -> None:
        self.road = road
        self.port = road.port if isinstance(road, TcpRoad) else 0
        self.status = 503
        self.delay_up = self.delay_down = 0.0
        self.accepted = 0
        self._mode = Mode.PASS
        self._changed = anyio.Event()
        self._connections: set[_Connection] = set()

    @property
    def mode(self) -> Mode:
        """The present treatment of bytes."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode is self._mode:
            return
        self._mode = mode
        self._changed.set()
        self._changed = anyio.Event()
        if mode is Mode.HALF_OPEN:
            for connection in self._connections:
                connection.is_swallowed = True
        elif mode is not Mode.PASS:
            self.cut(is_reset=mode is not Mode.REFUSE)

    def cut(self, *, is_reset: bool = False) -> None:
        """End every connection, by a reset or by an orderly end."""
        for connection in list(self._connections):
            connection.is_reset = is_reset
            connection.scope.cancel()

    async def run(self, *, started: anyio.Event | None = None) -> None:
        """Carry until cancelled; `started` is set once the road is open."""
        async with anyio.create_task_group() as tasks:

            def admit(reader: StreamReader, writer: StreamWriter) -> None:
                tasks.start_soon(self._carry, _Connection(reader, writer))

            while True:
                if self._mode is not Mode.REFUSE:
                    server = await self._listen(admit)
                    if started:
                        started.set()
                    try:
                        await self._until(is_refusing=True)
                    finally:
                        server.close()
                await self._until(is_refusing=False)

    async def _until(self, *, is_refusing: bool) -> None:
        while (self._mode is Mode.REFUSE) is not is_refusing:
            await self._changed.wait()

    async def _listen(self, admit: Callable[[StreamReader, StreamWriter], None]) -> asyncio.Server:
        if isinstance(self.road, SocketRoad):
            self.road.path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(admit, self.road.path)
            self.road.path.chmod(0o777)
            return server
        server = await asyncio.start_server(admit, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connect(self) -> tuple[StreamReader, StreamWriter]:
        if isinstance(self.road, SocketRoad):
            return await asyncio.open_unix_connection(self.road.to_path)
        return await asyncio.open_connection("127.0.0.1", self.road.to_port)

    async def _carry(self, connection: _Connection) -> None:
        self.accepted += 1
        connection.is_swallowed = self._mode is Mode.HALF_OPEN
        self._connections.add(connection)
        try:
            with connection.scope, contextlib.suppress(EOFError, *GONE):
                await self._treat(connection)
        finally:
            self._connections.discard(connection)
            _close(connection.writer, is_reset=connection.is_reset)

    async def _treat(self, connection: _Connection) -> None:
        if self._mode is Mode.RESET:
            connection.is_reset = True
        elif self._mode is Mode.ANSWER:
            await self._answer(connection)
        elif connection.is_swallowed:
            await _swallow(connection.reader)
        else:
            reader, writer = await self._connect()
            try:
                async with anyio.create_task_group() as both:
                    both.start_soon(self._pump_up, connection, writer)
                    both.start_soon(self._pump_down, connection, reader)
            finally:
                _close(writer, is_reset=connection.is_reset)

    async def _answer(self, connection: _Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        body = b'{"message":"out of order"}'
        connection.writer.write(
            b"HTTP/1.1 %d Out Of Order\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s" % (self.status, len(body), body)
        )
        await connection.writer.drain()
        with anyio.move_on_after(1):
            await _swallow(connection.reader)  # what was sent and not read would turn the end into a reset

    async def _pump_up(self, connection: _Connection, sink: StreamWriter) -> None:
        await self._pump(connection, connection.reader, sink, lambda: self.delay_up)

    async def _pump_down(self, connection: _Connection, source: StreamReader) -> None:
        await self._pump(connection, source, connection.writer, lambda: self.delay_down)
        connection.scope.cancel()

    async def _pump(
        self, connection: _Connection, source: StreamReader, sink: StreamWriter, delay: Callable[[], float]
    ) -> None:
        """Carry one direction; pieces that are delayed follow one another as they came."""
        send, receive = anyio.create_memory_object_stream[tuple[float, bytes]](PIECES_UNDER_WAY)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._deliver, connection, receive, sink)
            async with send:
                with contextlib.suppress(*GONE):
                    while piece := await source.read(CHUNK):
                        await send.send((anyio.current_time() + delay(), piece))
        if connection.is_swallowed:
            await anyio.sleep_forever()  # the other end is not notified
        with contextlib.suppress(*GONE):
            sink.write_eof()

    async def _deliver(
        self, connection: _Connection, receive: MemoryObjectReceiveStream[tuple[float, bytes]], sink: StreamWriter
    ) -> None:
        async with receive:
            with contextlib.suppress(*GONE):
                async for at, piece in receive:
                    if at > anyio.current_time():
                        await anyio.sleep_until(at)
                    if not connection.is_swallowed:
                        sink.write(piece)
                        await sink.drain()


async def _swallow(reader: StreamReader) -> None:
    while await reader.read(CHUNK):
        pass


def _close(writer: StreamWriter, *, is_reset: bool) -> None:
    if is_reset:
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        writer.transport.abort()
    else:
        writer.close()


@contextlib.asynccontextmanager
async def running_proxy(road: TcpRoad | SocketRoad) -> AsyncIterator[FaultyProxy]:
    """Run a proxy on `road` until the block is left; it is open when the block begins."""
    proxy = FaultyProxy(road)
    started = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: proxy.run(started=started))
        await started.wait()
        yield proxy
        tasks.cancel_scope.cancel()
