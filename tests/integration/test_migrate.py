"""`listener migrate` applies each file once, and all files or none."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from migration import LEDGER, made_database, schema_text
from wrapping import wrapped

from listener.migrate.files import MigrationError, migrations_folder, migrations_in
from listener.migrate.migrator import apply_migrations, ledger, migrate
from listener.migrate.status import status_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from listener.local.stack import Stack
    from listener.migrate.migrator import Entry

pytestmark = pytest.mark.stack


@pytest.fixture
def database(stack: Stack) -> Iterator[str]:
    """Give a database of its own to migrate, as a new project has it."""
    with made_database(stack) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder of two migrations."""
    _write(tmp_path, "20260101000000_create_a", "create table a (x int);\ninsert into a values (1);")
    _write(tmp_path, "20260102000000_create_b", "create table b (y int);")
    return tmp_path


def _write(folder: Path, file: str, body: str) -> Path:
    version, _, name = file.partition("_")
    path = folder / f"{file}.sql"
    path.write_text(schema_text([LEDGER]) + wrapped(version, name, body))
    return path


@contextmanager
def _ask(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def test_every_file_is_applied_once_and_recorded(database: str, folder: Path) -> None:
    """The second call finds nothing to do. The checksums are those of the bodies."""
    assert [migration.name for migration in apply_migrations(database, folder)] == ["create_a", "create_b"]
    assert apply_migrations(database, folder) == []
    expected = [(each.version, each.name, each.checksum) for each in migrations_in(folder)]
    with _ask(database) as connection:
        query = "select version, name, checksum from job_scheduler.migrations order by 1"
        assert connection.execute(query).fetchall() == expected


def test_a_file_that_fails_leaves_no_trace_of_any_and_names_itself(database: str, folder: Path) -> None:
    """With the line; the fixed file is applied with all before it."""
    body = "create table c (z int);\nselect nonsense;"
    _write(folder, "20260103000000_break", body)
    fault = r'^20260103000000_break\.sql: column "nonsense" does not exist; in line 2 of its body$'
    with pytest.raises(MigrationError, match=fault):
        apply_migrations(database, folder)
    with _ask(database) as connection:
        assert connection.execute("select to_regclass('a'), to_regnamespace('job_scheduler')").fetchone() == (
            None,
            None,
        )
    _write(folder, "20260103000000_break", "create table c (z int);")
    assert [migration.name for migration in apply_migrations(database, folder)] == ["create_a", "create_b", "break"]


def test_a_dry_run_tries_everything_and_changes_nothing(database: str, folder: Path) -> None:
    """Its report is that of the run that follows."""
    reported = migrate(database, folder, dry_run=True)
    assert ledger_of(database) == {}
    assert migrate(database, folder).applied == reported.applied


def test_the_status_is_a_table(database: str, folder: Path) -> None:
    """Of what is applied, what is not, what an edited file says otherwise, and what is not known here."""
    apply_migrations(database, folder)
    _write(folder, "20260101000000_create_a", "create table other (x int);")
    _write(folder, "20260103000000_create_c", "create table c (z int);")
    (folder / "20260102000000_create_b.sql").rename(folder.parent / "elsewhere.sql")
    head, *lines = status_lines(database, folder)
    assert head.split() == ["version", "name", "applied", "checksum"]
    assert re.fullmatch(r"20260101000000  create_a  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  differs", lines[0])
    assert lines[1].endswith("UTC  of a newer version")
    assert lines[2] == "20260103000000  create_c  no"


def test_an_edited_file_is_refused(database: str, folder: Path) -> None:
    """The database differs from what this build expects; nothing else is applied."""
    apply_migrations(database, folder)
    _write(folder, "20260101000000_create_a", "create table other (x int);")
    _write(folder, "20260103000000_create_c", "create table c (z int);")
    with pytest.raises(MigrationError, match=r"create_a\.sql: the database has applied another content"):
        apply_migrations(database, folder)
    assert "20260103000000" not in ledger_of(database)


def test_a_database_that_is_too_old_is_left_alone(database: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stop at a syntax error in the middle, which shows nobody why."""
    monkeypatch.setattr("listener.migrate.migrator.OLDEST", 99)
    with pytest.raises(MigrationError, match=r"^the database: is PostgreSQL \d\d; the oldest that will do is 99$"):
        apply_migrations(database, folder)
    monkeypatch.undo()
    assert ledger_of(database) == {}


def test_migrators_at_the_same_time_apply_each_file_once(database: str, folder: Path) -> None:
    """Replicas that start together may all migrate."""
    applied: list[str] = []
    _write(folder, "20260103000000_wait", "do $$ begin perform pg_sleep(0.2); end $$; create table c (z int);")
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


def test_the_command_says_what_it_did_and_a_fault_is_one_line(database: str) -> None:
    """No traceback for a database that is not there, and no word of the connection string; the exit code reports it."""
    everything = [f"applied {migration.path.name}" for migration in migrations_in(migrations_folder())]
    tried = _command("migrate", "--dry-run", "--db-url", database)
    assert tried.stderr == ""
    assert tried.stdout.splitlines() == [f"would have {line}" for line in everything] + ["nothing was changed"]
    done = _command("migrate", "--db-url", database)
    assert done.stdout.splitlines() == [*everything, f"{len(everything)} applied, 0 were there already"]
    shown = _command("migrate", "--status", "--db-url", database)
    assert [line.split()[-1] for line in shown.stdout.splitlines()] == ["checksum", *["ok"] * len(everything)]
    for wrong in ("postgresql://127.0.0.1:1/none", "http://secret@x", "postgresql://u:secret%zz@h/d", "secret"):
        failed = _command("migrate", "--db-url", wrong)
        assert failed.returncode == 1
        assert failed.stderr.startswith("listener: the database: ")
        assert failed.stderr.count("\n") == 1
        assert "secret" not in failed.stderr


def _command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "listener.cli", *words], capture_output=True, text=True, check=False)


def ledger_of(database: str) -> dict[str, Entry]:
    """Read the ledger."""
    with _ask(database) as connection:
        return ledger(connection)
