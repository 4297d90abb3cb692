"""The harness's own way into the database, past every broken road; it waits while the database itself is away."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import anyio
import psycopg
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.1


class Database:
    """Superuser's SQL over the Unix socket.

    Args:
        dsn: libpq's.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def rows(
        self, query: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Query, again if the connection is lost: give it nothing that must not happen twice."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(psycopg.OperationalError):
                    async with self.session() as connection:
                        cursor = await connection.execute(query, parameters)
                        return await cursor.fetchall() if cursor.description else []
                await anyio.sleep(PAUSE_SECONDS)

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[psycopg.AsyncConnection[dict[str, Any]]]:
        """Connect, once; every statement commits by itself unless a transaction is begun."""
        async with await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, row_factory=dict_row, connect_timeout=5
        ) as connection:
            yield connection
