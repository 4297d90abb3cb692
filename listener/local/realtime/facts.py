"""The facts that delivery needs of tables: keys, row-level security, columns, privileges; cached for a moment."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from listener.local.realtime.database import Database
    from listener.local.realtime.pgoutput import Relation

# DDL and grants on a table show in the stream; what a role may do besides (BYPASSRLS, membership) does not.
FRESH_SECONDS = 1.0
NO_KEY = "Error 400: Bad Request, no primary key"
UNAUTHORIZED = "Error 401: Unauthorized"


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """The privileges of one role on a table."""

    readable: frozenset[str]


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table. `name` is quoted and qualified, `types` are (SQL name, is enum), `columns` are (name, typname)."""

    name: str
    rls: bool
    key: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    types: dict[int, tuple[str, bool]]
    roles: dict[str, RoleFacts]
    requested_at: float

    def error_for(self, role: str) -> str | None:
        """Return the error that `role` gets instead of rows inserted or updated, None if it may read them."""
        if not self.key:
            return NO_KEY
        facts = self.roles.get(role)
        return None if facts is not None and facts.readable.issuperset(self.key) else UNAUTHORIZED


class FactsCache:
    """Facts by table oid. `version` changes when they do."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._facts: dict[int, TableFacts] = {}
        self.version = 0

    def known(self, oid: int) -> TableFacts | None:
        """Return the cached facts, None when there are none."""
        return self._facts.get(oid)

    def forget(self, oid: int) -> None:
        """Drop the cached facts: the table has changed."""
        self._facts.pop(oid, None)

    async def of(self, relation: Relation, roles: Collection[str], xids: Sequence[int]) -> TableFacts | None:
        """Return the facts of a table for `roles`, None when it or one of its types is gone; at least as new as `xids`.

        Raises:
            psycopg.Error: PostgreSQL is not there.
        """
        facts = self._facts.get(relation.oid)
        fresh = facts is not None and time.monotonic() - facts.requested_at < FRESH_SECONDS
        if facts is not None and fresh and facts.roles.keys() >= set(roles) and _knows_types(facts, relation):
            return facts
        return await self._read(relation, roles, xids)

    async def _read(self, relation: Relation, roles: Collection[str], xids: Sequence[int]) -> TableFacts | None:
        types = [column.type_oid for column in relation.columns]
        query = "select realtime.local_table_facts(%s, %s, %s, %s)"
        rows = await self._database.rows(query, (relation.oid, sorted(roles), types, list(xids)))
        facts = _facts(rows[0][0]) if rows and rows[0][0] else None
        if facts is None or not _knows_types(facts, relation):
            self._facts.pop(relation.oid, None)
            return None
        if not _same(facts, self._facts.get(relation.oid)):
            self.version += 1
        self._facts[relation.oid] = facts
        return facts


def _knows_types(facts: TableFacts, relation: Relation) -> bool:
    return all(column.type_oid in facts.types for column in relation.columns)


def _same(one: TableFacts, other: TableFacts | None) -> bool:
    return other is not None and (one.key, one.rls, one.roles) == (other.key, other.rls, other.roles)


def _facts(answer: dict[str, Any]) -> TableFacts:
    return TableFacts(
        name=answer["name"],
        rls=answer["rls"],
        key=tuple(answer["key"]),
        columns=tuple((name, type_name) for name, type_name in answer["columns"]),
        types={int(oid): (name, kind == "e") for oid, (name, kind) in answer["types"].items()},
        roles={role: RoleFacts(frozenset(each["readable"])) for role, each in answer["roles"].items()},
        requested_at=time.monotonic(),
    )
