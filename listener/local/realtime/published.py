"""Detects changes of the publication: the real server then makes every subscription anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from listener.local.realtime.database import Database

_TABLES = """
    select format('%I.%I', schemaname, tablename)::regclass::oid from pg_catalog.pg_publication_tables
    where pubname = 'supabase_realtime' order by 1
"""


class PublishedTables:
    """The tables of the publication, by oid: one that was dropped and made again is another one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: list[int] | None = None

    async def have_changed(self) -> bool:
        """Read the tables; return whether they differ from those of the previous call, if there was one.

        Raises:
            psycopg.Error: PostgreSQL is not there.
        """
        before, self._known = self._known, [oid for (oid,) in await self._database.rows(_TABLES)]
        return before is not None and before != self._known
