"""`listener migrate` applies each file once, whole or not at all, and shares its ledger with the Supabase CLI."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from listener.migrate.migrator import MigrationError, apply_migrations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from listener.local.stack import Stack

pytestmark = pytest.mark.stack


@pytest.fixture
def database(stack: Stack) -> Iterator[str]:
    """Give an empty database of its own to migrate."""
    url = stack.database_url.removesuffix("/postgres") + "/migrated"
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("drop database if exists migrated")
        connection.execute("create database migrated")
        yield url
        connection.execute("drop database migrated with (force)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder of two migrations."""
    (tmp_path / "20260101000000_create_a.sql").write_text("create table a (x int);\ninsert into a values (1);\n")
    (tmp_path / "20260102000000_create_b.sql").write_text("set search_path = ''; create table public.b (y int);")
    return tmp_path


@contextmanager
def _ask(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def test_every_file_is_applied_once_and_recorded_as_the_cli_does(database: str, folder: Path) -> None:
    """The second call finds nothing to do."""
    assert [migration.name for migration in apply_migrations(database, folder)] == ["create_a", "create_b"]
    assert apply_migrations(database, folder) == []
    with _ask(database) as connection:
        assert connection.execute("select * from supabase_migrations.schema_migrations order by 1").fetchall() == [
            ("20260101000000", ["create table a (x int)", "insert into a values (1)"], "create_a"),
            ("20260102000000", ["set search_path = ''", "create table public.b (y int)"], "create_b"),
        ]


def test_a_file_that_fails_leaves_no_trace_and_names_itself(database: str, folder: Path) -> None:
    """What came before it stays, so that the fixed file is all that the next call applies."""
    broken = folder / "20260103000000_break.sql"
    broken.write_text("create table c (z int); select nonsense;")
    with pytest.raises(MigrationError, match=r'20260103000000_break\.sql: column "nonsense" does not exist'):
        apply_migrations(database, folder)
    broken.write_text("create table c (z int);")
    assert [migration.name for migration in apply_migrations(database, folder)] == ["break"]


def test_a_database_that_is_too_old_is_left_alone(database: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stop at a syntax error in the middle, which shows nobody why."""
    monkeypatch.setattr("listener.migrate.migrator.OLDEST", 99)
    with pytest.raises(MigrationError, match=r"^the database: is PostgreSQL \d\d; the oldest that will do is 99$"):
        apply_migrations(database, folder)
    with psycopg.connect(database) as connection:
        assert connection.execute("select to_regnamespace('supabase_migrations')").fetchone() == (None,)


def test_migrators_at_the_same_time_apply_each_file_once(database: str, folder: Path) -> None:
    """Replicas that start together may all migrate."""
    applied: list[str] = []
    (folder / "20260103000000_wait.sql").write_text("select pg_sleep(0.2); create table c (z int);")
    threads = [
        threading.Thread(target=lambda: applied.extend(m.name for m in apply_migrations(database, folder)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == ["create_a", "create_b", "wait"]


def test_a_misnamed_file_is_refused_before_anything_is_applied(database: str, folder: Path) -> None:
    """A name without a version has no place in the order."""
    (folder / "create_c.sql").write_text("select 1")
    with pytest.raises(MigrationError, match=r"create_c\.sql: a migration is called"):
        apply_migrations(database, folder)
    with _ask(database) as connection:
        assert connection.execute("select to_regclass('public.a')").fetchone() == (None,)


def test_the_command_says_what_it_did_and_a_fault_is_one_line(database: str, folder: Path) -> None:
    """No traceback for a database that is not there; the exit code reports it."""
    command = [sys.executable, "-m", "listener.cli", "migrate", "--folder", str(folder), "--db-url"]
    done = subprocess.run([*command, database], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "applied 20260101000000_create_a.sql",
        "applied 20260102000000_create_b.sql",
        "2 applied, 0 were there already",
    ]
    failed = subprocess.run([*command, "postgresql://127.0.0.1:1/none"], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("listener: the database: ")
    assert failed.stderr.count("\n") == 1
