"""Accepts or refuses a binding, by the database: published tables, readable columns, fitting values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg

from listener.local.realtime.bindings import BindingError
from listener.local.realtime.filters import Checked

if TYPE_CHECKING:
    from listener.local.realtime.bindings import Binding
    from listener.local.realtime.database import Database

UNABLE = "Unable to subscribe to changes with given parameters. "
_TABLES = """
    select format('%%I.%%I', schemaname, tablename) from pg_catalog.pg_publication_tables
    where pubname = 'supabase_realtime' and %s::text in ('*', schemaname) and %s::text in ('*', tablename)
"""
_FILTERS = """
    select f.type_oid, t.typtype = 'e', f.canonical
    from realtime.local_check_filters(%s::text::regclass, %s, %s, %s, %s, %s)
    with ordinality as f (type_oid, canonical, n)
    join pg_catalog.pg_type t on t.oid = f.type_oid
    order by f.n
"""
_WORD_STARTS = re.compile(r"(?<!^)(?=[A-Z])")


async def check(database: Database, binding: Binding, role: str) -> dict[tuple[int, int], Checked]:
    """Return the binding's filters as accepted, by (index of the filter, oid of the column's type).

    Raises:
        BindingError: It is refused; the message is the real server's.
        psycopg.OperationalError: PostgreSQL is not there.
    """
    tables = [name for (name,) in await database.rows(_TABLES, (binding.schema, binding.table))]
    if not tables:
        hint = "Please check Realtime is enabled for the given connect parameters: "
        raise BindingError(UNABLE + hint + binding.described())
    checked: dict[tuple[int, int], Checked] = {}
    for table in tables:
        checked.update(await _check_table(database, binding, role, table))
    return checked


async def _check_table(database: Database, binding: Binding, role: str, table: str) -> dict[tuple[int, int], Checked]:
    filters = binding.filters
    columns, operators, values = [f.column for f in filters], [f.operator for f in filters], [f.value for f in filters]
    selected = list(binding.select_as_given or ())
    try:
        answers = await database.rows(_FILTERS, (table, role, columns, operators, values, selected))
    except psycopg.OperationalError:
        raise
    except psycopg.Error as fault:
        raise BindingError(_exception(binding, fault)) from fault
    return {
        (number, oid): Checked(filter_, oid, is_enum, tuple(canonical))
        for number, (filter_, (oid, is_enum, canonical)) in enumerate(zip(filters, answers, strict=True))
    }


def _exception(binding: Binding, fault: psycopg.Error) -> str:
    state = fault.sqlstate or "XX000"
    condition = _WORD_STARTS.sub("_", psycopg.errors.lookup(state).__name__).lower()
    what = f"An exception happened so please check your connect parameters: {binding.described()}"
    return f"{UNABLE}{what}. Exception: ERROR {state} ({condition}) {fault.diag.message_primary}"
