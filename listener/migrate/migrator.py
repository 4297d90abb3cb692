"""Apply migrations as the Supabase CLI does, in the same ledger, so that either may go on where the other stopped."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from listener.errors import ListenerError
from listener.migrate.sql_statements import split

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_NAME = re.compile(r"(?P<version>\d{14})_(?P<name>[a-z0-9_]+)\.sql")
NAMING = "a migration is called YYYYMMDDHHMMSS_verb_object.sql"
DATABASE = "the database"
OLDEST = 15  # PostgreSQL's major version: `nulls not distinct`, views with `security_invoker`
LOCK = 0x6C697374656E6572  # "listener": one at a time migrates a database
LEDGER = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
SEEN = "select 1 from supabase_migrations.schema_migrations where version = %s"
RECORD = "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)"


class MigrationError(ListenerError):
    """A migration cannot be applied: its file (or "the database") and why."""

    def __init__(self, subject: str, reason: str) -> None:
        self.subject, self.reason = subject, reason
        super().__init__(f"{subject}: {reason}")


@dataclass(frozen=True)
class Migration:
    """One file."""

    version: str
    name: str
    path: Path

    @property
    def text(self) -> str:
        """The text of the file."""
        return self.path.read_text(encoding="utf-8")


def migrations_folder() -> Path:
    """Return the project's own migrations: in the installed package, or in the checkout."""
    package = Path(__file__).parents[1]
    packed = package / "_migrations"
    return packed if packed.is_dir() else package.parent / "migrations"


def migrations_in(folder: Path) -> list[Migration]:
    """Return the migrations of `folder`, the oldest first.

    Raises:
        MigrationError: A file's name has no version, or two have the same.
    """
    found = [_migration(path) for path in sorted(folder.glob("*.sql"))]
    for earlier, later in pairwise(found):
        if earlier.version == later.version:
            raise MigrationError(later.path.name, f"has the same version as {earlier.path.name}")
    return found


def apply_migrations(database_url: str, folder: Path) -> list[Migration]:
    """Apply the migrations that the database lacks, each file in a transaction of its own; return the applied ones.

    Raises:
        MigrationError: The database cannot be reached or is too old, or a statement failed; what came before it stays
            applied.
    """
    migrations = migrations_in(folder)
    try:
        with psycopg.connect(database_url, autocommit=True, connect_timeout=10, prepare_threshold=None) as connection:
            _check_version(connection.info.server_version // 10_000)
            with _alone(connection):
                connection.execute(LEDGER)
            return [migration for migration in migrations if _apply(connection, migration)]
    except psycopg.OperationalError as fault:
        raise MigrationError(DATABASE, _one_line(fault)) from fault


def _check_version(major: int) -> None:
    if major < OLDEST:
        raise MigrationError(DATABASE, f"is PostgreSQL {major}; the oldest that will do is {OLDEST}")


def _apply(connection: psycopg.Connection, migration: Migration) -> bool:
    """Apply `migration` unless the database has it; return whether it was applied."""
    text = migration.text
    try:
        with _alone(connection):
            if connection.execute(SEEN, (migration.version,)).fetchone():
                return False
            connection.execute(text.encode())
            connection.execute(RECORD, (migration.version, migration.name, split(text)))
            connection.execute("reset all")  # settings that a file makes end with it
    except psycopg.Error as fault:
        raise MigrationError(migration.path.name, _one_line(fault)) from fault
    return True


@contextlib.contextmanager
def _alone(connection: psycopg.Connection) -> Iterator[None]:
    """Open a transaction that excludes other migrators; a session lock would get lost in a pooler."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
        yield


def _migration(path: Path) -> Migration:
    named = FILE_NAME.fullmatch(path.name)
    if named is None:
        raise MigrationError(path.name, NAMING)
    return Migration(named["version"], named["name"], path)


def _one_line(fault: psycopg.Error) -> str:
    return " ".join(str(fault).split())
