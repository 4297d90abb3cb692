"""Keep a hand-written `public.scheduled_jobs` under another name, and move its pending jobs into the new table."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from listener.migrate.files import MigrationError

if TYPE_CHECKING:
    import psycopg

TABLE = "public.scheduled_jobs"
NEEDED = {"id", "job_id", "run_date", "metadata", "status"}
COLUMNS = """
select attname::text from pg_catalog.pg_attribute
where attrelid = to_regclass('public.scheduled_jobs') and attnum > 0 and not attisdropped
    and to_regclass('job_scheduler.migrations') is null
"""


def rename_own_table(connection: psycopg.Connection) -> bool:
    """Rename a hand-written table with its indexes and sequences; return false where there is none.

    Raises:
        MigrationError: It lacks a column, or the new name is taken.
    """
    columns = {name for (name,) in connection.execute(COLUMNS).fetchall()}
    if not columns:
        return False
    if missing := NEEDED - columns:
        reason = f"has no column {', '.join(sorted(missing))}; rename the table, and move its rows by hand"
        raise MigrationError(TABLE, reason)
    _execute(connection, "rename_own_table.sql")
    return True


def move_pending_jobs(connection: psycopg.Connection) -> list[str]:
    """Move the pending jobs of the renamed table; return a line for each row: moved, or why not.

    A row's handler is its `handler` or `job_type`, as a column or in its metadata. Rows of another status stay there.
    """
    _execute(connection, "move_pending_jobs.sql")
    return [line for (line,) in connection.execute("select line from adopted order by place").fetchall()]


def _execute(connection: psycopg.Connection, file: str) -> None:
    connection.execute(files("listener.migrate").joinpath(file).read_bytes())
