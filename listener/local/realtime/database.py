"""The server's database session: plain SQL as a superuser, serialised, reconnected when PostgreSQL restarts."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import psycopg

from listener.errors import ListenerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import sql

# Every value is text in PostgreSQL's ISO forms and in UTC, as the real server's session has them; names come qualified.
SESSION = (
    "-c timezone=UTC -c datestyle=ISO,YMD -c intervalstyle=postgres -c bytea_output=hex -c search_path= -c jit=off"
)
STATEMENT_TIMEOUT = "-c statement_timeout=10s"  # a policy that sleeps must not hold every subscriber for ever

SCRIPTS = ("schema.sql", "publication.sql")
PUBLISH_GENERATED = """
    do $$
    begin
        if exists (select from pg_publication where pubname = 'supabase_realtime' and pubgencols <> 's') then
            alter publication supabase_realtime set (publish_generated_columns = stored);
        end if;
    end
    $$
"""
IS_FOREIGN = """
    select to_regprocedure('realtime.send(jsonb,text,text,boolean)') is not null
        and to_regprocedure('realtime.local_await(bigint[])') is null
"""


class Database:
    """One session, one statement at a time. `dsn` is libpq's."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._turn = asyncio.Lock()

    async def rows(self, query: str | sql.SQL | sql.Composed, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the result of one statement, which may be tried twice: the session can have died since the last one.

        Raises:
            psycopg.Error: PostgreSQL refused the statement, or is not there.
        """
        async with self._turn:
            try:
                return await self._rows(query, params)
            except psycopg.OperationalError:
                if self._connection is None or not self._connection.closed:
                    raise
            return await self._rows(query, params)

    async def _rows(self, query: str | sql.SQL | sql.Composed, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection = await self._open()
        cursor = await connection.execute(query, params or None)
        return await cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        """Close the session."""
        if self._connection is not None:
            await self._connection.close()

    async def _open(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            options = f"{SESSION} {STATEMENT_TIMEOUT}"
            self._connection = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, options=options, application_name="realtime", prepare_threshold=2
            )
        return self._connection


class ForeignSchemaError(ListenerError):
    """The database has a `realtime` schema that another server made: nothing of it is replaced."""

    def __init__(self) -> None:
        super().__init__("the schema realtime of this database is another server's; use a database without it")


async def apply_schema(dsn: str) -> None:
    """Create the `realtime` schema and the publications, where they are missing.

    Raises:
        ForeignSchemaError: The database belongs to another Realtime server.
        psycopg.Error: PostgreSQL is not there, or the role is no superuser.
    """
    scripts = [files("listener.local.realtime").joinpath(name).read_bytes() for name in SCRIPTS]
    async with await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, options="-c client_min_messages=warning"
    ) as connection:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(7308332177516823410)")  # two servers, one schema
            if await (await connection.execute(IS_FOREIGN)).fetchone() == (True,):
                raise ForeignSchemaError
            for script in scripts:
                await connection.execute(script)
        if connection.info.server_version >= 180000:  # noqa: PLR2004 - generated columns can be published from 18 on
            await connection.execute(PUBLISH_GENERATED)
