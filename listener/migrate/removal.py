"""The SQL that removes everything that the migrations made."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from listener.migrate.files import functions_made, tables_made

if TYPE_CHECKING:
    from collections.abc import Iterable

    from listener.migrate.files import Migration

MEETINGS = "public.meetings"


def removal(migrations: Iterable[Migration]) -> str:
    """Return a statement that removes the objects of `migrations`, or fails where others depend on them."""
    text = "\n".join(migration.body for migration in migrations)
    tables = [name for name in tables_made(text) if name != MEETINGS]
    statement = files("listener.migrate").joinpath("remove.sql").read_text(encoding="utf-8")
    return statement.format(tables=_lines(tables), functions=_lines(functions_made(text)))


def _lines(names: list[str]) -> str:
    return ",\n        ".join(f"'{name}'" for name in names)
