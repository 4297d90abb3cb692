"""All that a database's catalogs say, row by row: what `pg_dump` reads, and more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    import psycopg

CATALOGS = """
    pg_attrdef pg_attribute pg_auth_members pg_cast pg_class pg_constraint pg_db_role_setting pg_default_acl pg_depend
    pg_description pg_event_trigger pg_extension pg_index pg_inherits pg_namespace pg_policy pg_proc pg_publication
    pg_publication_namespace pg_publication_rel pg_rewrite pg_roles pg_sequence pg_trigger pg_type
"""
STATISTICS = ["relpages", "reltuples", "relallvisible", "relallfrozen", "relfrozenxid", "relminmxid"]


def catalog_rows(connection: psycopg.Connection[Any]) -> set[tuple[str, str]]:
    """Return every row of every catalog, but for statistics: an object that is not touched keeps its rows and oid."""
    query = sql.SQL("select {}, (to_jsonb(c) - {}::text[])::text from pg_catalog.{} as c")
    rows: set[tuple[str, str]] = set()
    for name in CATALOGS.split():
        rows |= set(connection.execute(query.format(name, sql.Literal(STATISTICS), sql.Identifier(name))).fetchall())
    return rows
