"""Apply migrations, all or none; each records itself in `job_scheduler.migrations`, whatever program applies it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from listener.migrate.adoption import move_pending_jobs, rename_own_table
from listener.migrate.files import Migration, MigrationError, migrations_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

DATABASE = "the database"
OLDEST = 15  # PostgreSQL's major version: `nulls not distinct`, views with `security_invoker`
LOCK = 0x6C697374656E6572  # "listener": one at a time migrates a database
CONNECTION_STRING = (
    "has a malformed connection string (--db-url); expected postgresql://USER:PASSWORD@HOST:5432/DATABASE, with"
    " characters of the password such as @ : / # % percent-encoded"
)
LEDGER = "select version, name, checksum, applied_at from job_scheduler.migrations order by version"


@dataclass(frozen=True)
class Entry:
    """A row of the ledger: one applied migration."""

    version: str
    name: str
    checksum: str
    applied_at: datetime


Ledger = dict[str, Entry]

USUAL = """
set datestyle = 'ISO, MDY';
set statement_timeout = 0;
set session characteristics as transaction isolation level read committed, read write, not deferrable;
"""
"""Settings of which a database or a role may have others: dates that cannot be read, a limit made for clients."""


@dataclass
class Report:
    """The result of `migrate`.

    `applied` was applied, `present` had been before, and `left_alone` is not, which `warnings` explain. `adopted` has a
    line for each row of a hand-written table: whether it was moved, or why not; None where there was no such table.
    """

    applied: list[Migration] = field(default_factory=list)
    present: list[Migration] = field(default_factory=list)
    left_alone: list[Migration] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    adopted: list[str] | None = None


def apply_migrations(database_url: str, folder: Path) -> list[Migration]:
    """Apply the migrations that the database lacks; return them; raises what `migrate` raises."""
    return migrate(database_url, folder).applied


def migrate(database_url: str, folder: Path, *, adopt: bool = False, dry_run: bool = False) -> Report:
    """Apply the migrations that the database lacks, in one transaction.

    Args:
        database_url: Of a role that owns the tables, on the direct connection or the session pooler.
        folder: Of the migrations.
        adopt: Keep a hand-written `public.scheduled_jobs` as `scheduled_jobs_before` and move its pending jobs.
        dry_run: Roll everything back.

    Raises:
        MigrationError: The database cannot be reached, is too old, has other migrations, or has objects of its own with
            the same names; or a statement failed. Nothing was changed.
    """
    migrations = migrations_in(folder)
    report = Report()
    with connected(database_url) as connection, connection.transaction(force_rollback=dry_run):
        connection.add_notice_handler(lambda notice: _note(notice, report))
        connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
        renamed = adopt and rename_own_table(connection)
        before = ledger(connection)
        _check(before, migrations)
        for migration in migrations:
            if migration.version not in before:
                _execute(connection, migration)
        after = ledger(connection)
        for migration in migrations:
            _place_of(migration, before, after, report).append(migration)
        report.adopted = move_pending_jobs(connection) if renamed else None
    return report


def _place_of(migration: Migration, before: Ledger, after: Ledger, report: Report) -> list[Migration]:
    if migration.version in before:
        return report.present
    return report.applied if migration.version in after else report.left_alone


def ledger(connection: psycopg.Connection) -> Ledger:
    """Return the applied migrations by version."""
    with connection.transaction():
        if connection.execute("select to_regclass('job_scheduler.migrations')").fetchone() == (None,):
            return {}
        return {row[0]: Entry(*row) for row in connection.execute(LEDGER).fetchall()}


@contextlib.contextmanager
def connected(database_url: str) -> Iterator[psycopg.Connection]:
    """Connect to a database that is new enough.

    Raises:
        MigrationError: The string is malformed, the database cannot be reached, is too old, or refused a statement.
    """
    try:
        psycopg.conninfo.conninfo_to_dict(database_url)
    except (psycopg.Error, ValueError) as fault:
        raise MigrationError(DATABASE, CONNECTION_STRING) from fault
    try:
        with psycopg.connect(database_url, autocommit=True, connect_timeout=10, prepare_threshold=None) as connection:
            major = connection.info.server_version // 10_000
            if major < OLDEST:
                raise MigrationError(DATABASE, f"is PostgreSQL {major}; the oldest that will do is {OLDEST}")
            connection.execute(USUAL)
            yield connection
    except psycopg.Error as fault:
        raise MigrationError(DATABASE, reason_of(fault)) from fault


def _check(applied: Ledger, migrations: list[Migration]) -> None:
    for migration in migrations:
        entry = applied.get(migration.version)
        if entry and entry.checksum != migration.checksum:
            raise MigrationError(
                migration.path.name,
                "the database has applied another content of this file, so it belongs to another build; install that,"
                " or start with a new database (`listener uninstall` prints the SQL that removes everything)",
            )


def _execute(connection: psycopg.Connection, migration: Migration) -> None:
    try:
        connection.execute(migration.text.encode())
    except psycopg.Error as fault:
        raise MigrationError(migration.path.name, reason_of(fault)) from fault


def reason_of(fault: psycopg.Error) -> str:
    """Return the database's message and hint, and the line of the body that failed; not the whole statement."""
    parts = [fault.diag.message_primary or str(fault), fault.diag.message_detail, fault.diag.message_hint]
    if fault.diag.internal_query and fault.diag.internal_position:
        line = fault.diag.internal_query[: int(fault.diag.internal_position)].count("\n")
        parts.insert(1, f"in line {line} of its body")
    return "; ".join(" ".join(part.split()) for part in parts if part)


def _note(notice: psycopg.errors.Diagnostic, report: Report) -> None:
    if notice.severity_nonlocalized == "WARNING" and notice.message_primary:
        report.warnings.append(notice.message_primary)
