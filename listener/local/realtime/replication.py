"""A logical replication stream, read with libpq through the event loop.

The slot is temporary: when this process is killed PostgreSQL drops it, and retains no WAL. As with the real
server, subscribers miss what is committed while no stream is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import TYPE_CHECKING

import psycopg
from psycopg import pq

from listener.errors import ListenerError
from listener.local.realtime.database import SESSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PUBLICATIONS = "realtime_subscribed,supabase_realtime_messages_publication"
STATUS_SECONDS = 5.0  # well under wal_sender_timeout (60 s)
LARGEST_READ = 2000  # messages taken in one go, so that sockets are served in between

_STATUS = struct.Struct(">cQQQqB").pack
_WAL_DATA, _KEEPALIVE = ord("w"), ord("k")
_WAL_HEADER = 25  # kind, start, end, clock
_END = struct.Struct(">8xQ").unpack_from
_KEEPALIVE_BODY = struct.Struct(">xQqB").unpack_from


class StreamEndedError(ListenerError):
    """PostgreSQL ended the stream, or refused it."""


class ReplicationStream:
    """One open stream. `on_message` takes each pgoutput message; it must not block."""

    def __init__(
        self, connection: psycopg.AsyncConnection[tuple[object, ...]], slot: str, on_message: Callable[[bytes], None]
    ) -> None:
        self._libpq = connection.pgconn
        self._on_message = on_message
        self._readable = asyncio.Event()
        self._position = 0
        self._reading = False
        self._slot = slot

    async def start(self) -> None:
        """Create the slot and begin to stream from here on.

        Raises:
            StreamEndedError: PostgreSQL refused.
        """
        self._resume()
        await self._command(
            f"CREATE_REPLICATION_SLOT {self._slot} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')",
            pq.ExecStatus.TUPLES_OK,
        )
        options = f"proto_version '1', publication_names '{PUBLICATIONS}'"
        await self._command(f"START_REPLICATION SLOT {self._slot} LOGICAL 0/0 ({options})", pq.ExecStatus.COPY_BOTH)

    async def run(self, ready_for_more: asyncio.Event) -> None:
        """Hand over messages until the stream ends; stop reading while `ready_for_more` is not set.

        Raises:
            StreamEndedError: PostgreSQL ended it.
        """
        self._report()
        try:
            while True:
                await self._readable.wait()
                if not ready_for_more.is_set():
                    self._pause()
                    await ready_for_more.wait()
                    self._resume()
                if self._take():
                    await asyncio.sleep(0)
                else:
                    self._readable.clear()
        finally:
            self._reporter.cancel()

    def close(self) -> None:
        """Stop watching the socket."""
        self._pause()

    def _take(self) -> bool:
        """Hand over the messages that have arrived; return whether there may be more already."""
        try:
            self._libpq.consume_input()
        except psycopg.Error as fault:
            raise StreamEndedError(str(fault)) from fault
        for _ in range(LARGEST_READ):
            size, message = self._libpq.get_copy_data(1)
            if size == 0:
                return False
            if size < 0:
                raise StreamEndedError(self._libpq.get_error_message())
            self._accept(message)
        return True

    def _accept(self, message: memoryview) -> None:
        if message[0] == _WAL_DATA:
            self._position = max(self._position, _END(message, 1)[0])
            self._on_message(bytes(message[_WAL_HEADER:]))
        elif message[0] == _KEEPALIVE:
            end, _, reply_wanted = _KEEPALIVE_BODY(message)
            self._position = max(self._position, end)
            if reply_wanted:
                self._confirm()

    def _confirm(self) -> None:
        self._libpq.put_copy_data(_STATUS(b"r", self._position, self._position, self._position, 0, 0))
        self._libpq.flush()

    def _report(self) -> None:
        with contextlib.suppress(psycopg.Error):  # a dead connection shows in the next read
            self._confirm()
        self._reporter = asyncio.get_running_loop().call_later(STATUS_SECONDS, self._report)

    async def _command(self, command: str, expected: pq.ExecStatus) -> None:
        self._libpq.send_query(command.encode())
        while True:
            self._libpq.consume_input()
            if not self._libpq.is_busy():
                break
            self._readable.clear()
            await self._readable.wait()
        result = self._libpq.get_result()
        if result is None or result.status != expected:
            raise StreamEndedError(self._libpq.get_error_message())
        if expected is pq.ExecStatus.TUPLES_OK:
            while self._libpq.get_result() is not None:
                pass

    def _resume(self) -> None:
        if not self._reading:
            asyncio.get_running_loop().add_reader(self._libpq.socket, self._readable.set)
            self._reading = True

    def _pause(self) -> None:
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._libpq.socket)
            self._reading = False


@contextlib.asynccontextmanager
async def open_stream(dsn: str, slot: str, on_message: Callable[[bytes], None]) -> AsyncIterator[ReplicationStream]:
    """Return a started stream, from a slot of the name given.

    Raises:
        StreamEndedError: PostgreSQL refused to stream.
        psycopg.Error: PostgreSQL is not there.
    """
    connection = await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, options=SESSION, application_name="realtime", replication="database"
    )
    stream = ReplicationStream(connection, slot, on_message)
    try:
        connection.pgconn.nonblocking = 1
        await stream.start()
        yield stream
    finally:
        stream.close()
        connection.pgconn.finish()
