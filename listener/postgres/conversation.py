"""Speaks with PostgreSQL over one connection, by libpq's non-blocking calls.

A call that is cancelled ends its connection at once, for its other end may be gone. psycopg's `execute` would first try
to have the statement cancelled, over another connection, and it takes a third more processor time (31 against 22 µs).
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import anyio
import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from pydantic_core import to_json

from listener.errors import ConnectionLostError, RefusedConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg.pq.abc import PGconn, PGresult

OK, BAD_REQUEST = 200, 400
JSONB = 3802
"""PostgreSQL's number of the type."""
FAILED = {ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE}
SESSION_LOST = "26000"
"""PostgreSQL's code for a prepared statement that is not there."""
CALL = "select public.{function}($1) where current_setting('job_scheduler.session', true) = '{mark}'"
"""The function is not called in a session that another client has prepared, with whatever role."""
NO_FUNCTION, NOT_IN_SCHEMA_CACHE = "42883", "PGRST202"


class Conversation:
    """One connection, and which statements it has prepared. Nobody else may use it meanwhile.

    Args:
        connection: open, in autocommit mode.

    `mark` is what the session was marked with before the first call, as its setting `job_scheduler.session`.
    """

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection  # its owner: collected before it is closed, it would warn
        self._pg: PGconn = connection.pgconn
        self._prepared: set[str] = set()
        self.mark = ""

    async def call(self, function: str, content: bytes) -> tuple[int, bytes]:
        """Call a function of schema `public` in a transaction of its own; return its answer as PostgREST would.

        Returns:
            200 and the JSON, or 400 and an object with PostgreSQL's `code` and `message`.

        Raises:
            ConnectionLostError: it may have been carried out.
        """
        if function not in self._prepared:
            statement = CALL.format(function=function, mark=self.mark).encode()
            result = await self._ask(lambda: self._pg.send_prepare(function.encode(), statement, [JSONB]))
            if result.status in FAILED:
                return BAD_REQUEST, _fault(result, function)
            self._prepared.add(function)
        result = await self._ask(lambda: self._pg.send_query_prepared(function.encode(), [content]))
        if result.status in FAILED:
            return BAD_REQUEST, _fault(result, function)
        if not result.ntuples:
            return BAD_REQUEST, to_json({"code": SESSION_LOST, "message": "another session answers"})
        return OK, result.get_value(0, 0) or b""

    async def query(self, statement: str) -> list[str | None]:
        """Return the first row of a query, empty where there is none.

        Raises:
            ConnectionLostError: as above.
            RefusedConnectionError: PostgreSQL refuses it.
        """
        result = await self._ask(lambda: self._pg.send_query(statement.encode()))
        if result.status in FAILED:
            raise RefusedConnectionError(code_of(result), message_of(result))
        row = [result.get_value(0, column) for column in range(result.nfields)] if result.ntuples else []
        return [None if value is None else value.decode() for value in row]

    async def payloads(self) -> list[bytes]:
        """Wait for notifications; return their contents.

        Raises:
            ConnectionLostError: the connection broke.
        """
        while not (received := list(self._received())):
            await self._read()
        return received

    def _received(self) -> Iterator[bytes]:
        while (notification := self._pg.notifies()) is not None:
            yield notification.extra

    @property
    def is_open(self) -> bool:
        """Whether it is open, as far as is known."""
        return self._pg.status == ConnStatus.OK

    def has_ended(self) -> bool:
        """Look whether the server has ended an idle connection: it says so, unasked."""
        try:
            while self.is_open and _is_readable(self._pg.socket):
                self._pg.consume_input()
        except psycopg.Error:
            return True
        return not self.is_open

    @property
    def backend(self) -> int:
        """The process that serves the session, as the server or a pooler has said at its start."""
        return self._pg.backend_pid

    def close(self) -> None:
        """Close the connection without waiting for anything."""
        self._pg.finish()

    async def _ask(self, send: Callable[[], None]) -> PGresult:
        """Send, and return the last result; an interruption ends the connection, which is in the middle of it."""
        try:
            send()
            while self._pg.flush():
                await anyio.wait_writable(self._pg.socket)
                self._pg.consume_input()
            last = None
            while True:
                while self._pg.is_busy():
                    await self._read()
                result = self._pg.get_result()
                if result is None:
                    break
                last = result
        except psycopg.Error as broken:
            self.close()
            raise ConnectionLostError(str(broken)) from broken
        except BaseException:
            self.close()
            raise
        if last is None or (last.status in FAILED and not code_of(last)):
            message = message_of(last) if last is not None else "no answer"
            self.close()
            raise ConnectionLostError(message)
        return last

    async def _read(self) -> None:
        await anyio.wait_readable(self._pg.socket)
        try:
            self._pg.consume_input()
        except psycopg.Error as broken:
            raise ConnectionLostError(str(broken)) from broken
        if self._pg.status != ConnStatus.OK:
            raise ConnectionLostError(self._pg.get_error_message())


def _is_readable(socket: int) -> bool:
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


def code_of(result: PGresult) -> str:
    """Return PostgreSQL's code of an error, empty where libpq made the error itself."""
    return (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()


def message_of(result: PGresult) -> str:
    """Return what PostgreSQL says."""
    return (result.error_field(DiagnosticField.MESSAGE_PRIMARY) or result.error_message).decode(errors="replace")


def _fault(result: PGresult, function: str) -> bytes:
    """Return an error as PostgREST words it, which has a code of its own for a function that is not there."""
    code, message = code_of(result), message_of(result)
    if code == NO_FUNCTION and message.startswith(f"function public.{function}("):
        code = NOT_IN_SCHEMA_CACHE
    return to_json({"code": code, "message": message})
