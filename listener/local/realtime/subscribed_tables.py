"""Has PostgreSQL send the tables that subscriptions name, and no others: rows that nobody wants are not even decoded.

Takes: the names of each subscription. Gives: a publication of the server's own. Guarantees: what is committed after
`include` has returned is in the stream, but for what a transaction wrote that was open for five seconds by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING

import psycopg
import structlog

from listener.local.realtime.database import SESSION, STATEMENT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from listener.local.realtime.database import Database

log = structlog.get_logger()

Name = tuple[str, str]  # schema and table, each "*" for all

RETRY_SECONDS = 0.2
LONGEST_WRITER_SECONDS = 5.0  # less than programs wait for a subscription
WRITER_CHECK_SECONDS = 0.05

_PUBLISH = "select schema_name, table_name from realtime.local_publish(%s, %s)"
_WRITERS = "select realtime.local_writers(%s, %s::text[])"


class SubscribedTables:
    """The names that subscriptions have; `dsn` is libpq's, of a superuser.

    A name stays until two calls of `refresh` in a row have found no subscription with it.
    """

    def __init__(self, dsn: str, database: Database) -> None:
        self._dsn, self._database = dsn, database
        self._slot = ""
        self._named: set[Name] = set()
        self._sent: set[Name] = set()
        self._unused: set[Name] = set()
        self._complete_at: dict[Name, float] = {}  # monotonic: no older writer is waited for after it
        self._joining: list[Collection[Name]] = []
        self._turn = asyncio.Lock()
        self._begun = self._done = 0  # numbers of attempts to publish: the latest, and the latest that succeeded

    async def follow(self, slot: str) -> None:
        """Publish for a stream that is about to be opened, from `slot`.

        Raises:
            psycopg.Error: PostgreSQL is not there.
        """
        self._slot = slot
        self._sent = await self._publish()

    async def include(self, names: set[Name]) -> None:
        """Return once the tables of `names` are in the stream, however long somebody else holds one of them."""
        logged, reason = "", "somebody holds a table"
        with self._held(names):
            while not names <= self._sent:
                try:
                    if names <= await self._publish():
                        await self._await_writers(names)
                        self._sent.update(names)
                        return
                except psycopg.Error as fault:
                    reason = str(fault).strip()
                if reason != logged:
                    log.info("subscription_waits", tables=sorted(names), reason=reason)
                    logged = reason
                await asyncio.sleep(RETRY_SECONDS)

    async def refresh(self, subscribed: Collection[Name]) -> None:
        """Forget the names that nobody uses any more, and publish again what should be published.

        Raises:
            psycopg.Error: PostgreSQL is not there.
        """
        unused = self._named.difference(subscribed, *self._joining)
        forgotten = unused & self._unused
        self._unused = unused - forgotten
        self._named -= forgotten
        self._sent -= forgotten
        await self._publish()

    @contextlib.contextmanager
    def _held(self, names: Collection[Name]) -> Iterator[None]:
        self._named.update(names)
        self._joining.append(names)
        try:
            yield
        finally:
            self._joining.remove(names)

    async def _publish(self) -> set[Name]:
        """Publish, and return the names whose tables are all published; callers that wait share one attempt."""
        begun = self._begun
        async with self._turn:
            if self._done <= begun:
                self._begun += 1
                published, latest = await self._publish_now(), time.monotonic() + LONGEST_WRITER_SECONDS
                self._complete_at = {name: self._complete_at.get(name, latest) for name in published}
                self._done = self._begun
            return set(self._complete_at)

    async def _publish_now(self) -> set[Name]:
        async with await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, options=f"{SESSION} {STATEMENT_TIMEOUT}", application_name="realtime"
        ) as connection:
            named = frozenset(self._named)
            cursor = await connection.execute(_PUBLISH, (self._slot, json.dumps(sorted(named))))
            missing = await cursor.fetchall()
        return {name for name in named if not _waits(name, missing)}

    async def _await_writers(self, names: Collection[Name]) -> None:
        """Wait for transactions that wrote one of the tables while it was not published; not anew for each join."""
        pairs, until = json.dumps(sorted(names)), max(self._complete_at[name] for name in names)
        [(writers,)] = await self._database.rows(_WRITERS, (pairs, None))
        while writers and time.monotonic() < until:
            await asyncio.sleep(WRITER_CHECK_SECONDS)
            [(writers,)] = await self._database.rows(_WRITERS, (pairs, writers))


def _waits(name: Name, missing: Iterable[Name]) -> bool:
    return any(name[0] in {"*", schema} and name[1] in {"*", table} for schema, table in missing)
