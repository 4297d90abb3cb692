"""Reads facts about rows of the stream from the database: JSON, open filters, visibility. Many rows a statement."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

import psycopg
import structlog
from psycopg import sql

from listener.local.realtime.filters import BYTEA, FLOATS, NOT_NUMBERS, NUMERIC, condition
from listener.local.realtime.pgoutput import ABSENT, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from listener.local.realtime.bindings import Filter
    from listener.local.realtime.database import Database
    from listener.local.realtime.facts import TableFacts
    from listener.local.realtime.pgoutput import Change, Relation

log = structlog.get_logger()

SILENCE = "Supabase's Realtime would send nothing to anybody now; PostgreSQL's log has the error"

OpenFilter = tuple[int, "Filter"]
_FROM_ROWS = sql.SQL(" from jsonb_array_elements(%s) with ordinality as r (v, n) order by n")


class RowReader:
    """Reads facts about rows of one table at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._warned_of: set[tuple[str, str]] = set()

    async def json_texts(self, relation: Relation, facts: TableFacts, rows: Sequence[Row]) -> list[list[str]]:
        """Return each row's columns as JSON texts, in the order of the relation's columns; ABSENT ones as "null".

        Raises:
            psycopg.Error: A type is gone, or PostgreSQL is.
        """
        query = _json_query(tuple(column.type_oid for column in relation.columns), tuple(sorted(facts.types.items())))
        return [list(texts) for texts in await self._database.rows(query, (_as_parameter(relation, rows),))]

    async def open_filters(
        self, relation: Relation, facts: TableFacts, rows: Sequence[Row], filters: Sequence[OpenFilter]
    ) -> dict[OpenFilter, list[bool]]:
        """Return, for each filter, the rows that it passes. A filter that raises passes none, and affects no other."""
        if not filters:
            return {}
        try:
            return await self._evaluate(relation, facts, rows, filters)
        except psycopg.Error as fault:
            if len(filters) == 1:
                log.warning("filter_failed", filter=str(filters[0][1]), reason=str(fault))
                return {filters[0]: [False] * len(rows)}
        singly = [await self.open_filters(relation, facts, rows, [each]) for each in filters]
        return {each: answer[each] for each, answer in zip(filters, singly, strict=True)}

    async def visible(
        self, facts: TableFacts, changes: Sequence[Change], viewers: Sequence[tuple[str, str]]
    ) -> list[set[int]]:
        """Return, for each viewer (role, claims), the indexes of the changes whose new rows its policies show.

        The row is looked up as it is now, by primary key, as the real server does. There, one viewer whose claims make
        a policy raise silences every subscriber of every table; here only that viewer sees nothing, and the log warns.

        Raises:
            psycopg.Error: PostgreSQL is not there.
        """
        relation = changes[-1].relation
        at = [index for index, column in enumerate(relation.columns) if column.name in facts.key]
        matches = sql.SQL(" and ").join(
            sql.SQL("t.{} = (k.v->>{})::{}").format(
                sql.Identifier(relation.columns[index].name),
                sql.Literal(position),
                sql.SQL(facts.types[relation.columns[index].type_oid][0]),  # regtype's own spelling
            )
            for position, index in enumerate(at)
        )
        finder = sql.SQL(
            "select coalesce(array_agg(n::integer - 1), '{{}}')"
            " from jsonb_array_elements($1) with ordinality as k (v, n) where exists (select from {} as t where {})"
        ).format(sql.SQL(facts.name), matches)  # regclass's own spelling
        keys = json.dumps([[(change.new or [])[index] for index in at] for change in changes])
        xids = sorted({change.transaction.xid for change in changes})
        query = "select viewer, positions from realtime.local_visible_rows(%s, %s, %s, %s)"
        answers = await self._database.rows(query, (finder.as_string(), keys, json.dumps(list(viewers)), xids))
        self._warn_of(facts.name, [viewers[viewer] for viewer, positions in answers if positions is None])
        return [set(positions or ()) for _, positions in sorted(answers)]

    def _warn_of(self, table: str, silenced: Sequence[tuple[str, str]]) -> None:
        for viewer in set(silenced) - self._warned_of:
            self._warned_of.add(viewer)
            role, claims = viewer
            log.warning("policy_raised", table=table, role=role, claims=claims, consequence=SILENCE)

    async def _evaluate(
        self, relation: Relation, facts: TableFacts, rows: Sequence[Row], filters: Sequence[OpenFilter]
    ) -> dict[OpenFilter, list[bool]]:
        conditions = [condition(each, *_value(index, relation, facts)) for index, each in filters]
        query = _literally(sql.SQL("select {}").format(sql.SQL(", ").join(conditions))) + _FROM_ROWS
        answers = await self._database.rows(query, (_as_parameter(relation, rows),))
        return {each: [bool(answer[number]) for answer in answers] for number, each in enumerate(filters)}


def _value(index: int, relation: Relation, facts: TableFacts) -> tuple[sql.Composable, str]:
    type_name = facts.types[relation.columns[index].type_oid][0]
    return sql.SQL("(v->>{})::{}").format(sql.Literal(index), sql.SQL(type_name)), type_name


@lru_cache(maxsize=256)
def _json_query(column_types: tuple[int, ...], types: tuple[tuple[int, tuple[str, bool]], ...]) -> sql.Composed:
    names = {oid: name for oid, (name, _) in types}
    texts = [
        sql.SQL("coalesce(to_jsonb((v->>{})::{})::text, 'null')").format(
            sql.Literal(index),
            sql.SQL("text" if oid == BYTEA else names[oid]),  # regtype's own spelling
        )
        for index, oid in enumerate(column_types)
    ]
    return _literally(sql.SQL("select {}").format(sql.SQL(", ").join(texts))) + _FROM_ROWS


def _literally(query: sql.Composed) -> sql.Composable:
    """Return a query whose per cent signs, in patterns and names, are no placeholders."""
    return sql.SQL(query.as_string().replace("%", "%%"))


def _as_parameter(relation: Relation, rows: Sequence[Row]) -> str:
    """Return the rows as one JSON array, in the forms of the real server's decoder: NaN is null, bytea bare digits."""
    numbers = [i for i, c in enumerate(relation.columns) if c.type_oid == NUMERIC or c.type_oid in FLOATS]
    binaries = [i for i, c in enumerate(relation.columns) if c.type_oid == BYTEA]
    plain = [[None if value is ABSENT else value for value in row] for row in rows]
    for row in plain:
        for index in numbers:
            if row[index] in NOT_NUMBERS:
                row[index] = None
        for index in binaries:
            value = row[index]
            row[index] = value[2:] if isinstance(value, str) else None
    return json.dumps(plain)
