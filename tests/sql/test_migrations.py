"""The migrations go onto any Supabase project, by our own command or by Supabase's, more than once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from outline import outline

from listener.migrate.migrator import apply_migrations, migrations_folder, migrations_in

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CLI = ROOT / "node_modules" / ".bin" / "supabase"
OWN_TABLES = """
create table public.meetings (
    status text, end_time timestamptz, id uuid primary key, workspace_id uuid, created_by uuid, title text,
    start_time timestamptz, room text
);
create table public.jobs (id bigint primary key);
create schema job_board;
insert into public.meetings (id, title, end_time, status)
values ('11111111-1111-1111-1111-111111111111', 'old', '2030-01-01T00:00:00Z', 'upcoming');
"""


@pytest.fixture
def supabase(tmp_path: Path, blank_database: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return Supabase's own CLI on a project folder that holds our migrations, aimed at a blank database."""
    shutil.copytree(migrations_folder(), tmp_path / "supabase" / "migrations")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(CLI), *words, f"--remote={blank_database}?sslmode=disable", "--workdir", str(tmp_path)]
        quiet = {**os.environ, "DO_NOT_TRACK": "1", "SUPABASE_TELEMETRY_DISABLED": "1"}
        return subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_migrating_a_migrated_database_does_nothing(blank_database: str):
    """`listener migrate` notes what it applied and applies it once."""
    applied = apply_migrations(blank_database, migrations_folder())
    assert [migration.version for migration in applied] == [m.version for m in migrations_in(migrations_folder())]
    before = outline(blank_database)
    assert apply_migrations(blank_database, migrations_folder()) == []
    assert outline(blank_database) == before


def test_every_file_may_run_again(blank_database: str):
    """A database whose notes were lost is not harmed, and keeps its rows."""
    apply_migrations(blank_database, migrations_folder())
    with psycopg.connect(blank_database, autocommit=True) as connection:
        connection.execute("insert into public.scheduled_jobs (handler) values ('noop')")
        connection.execute("update job_scheduler.limits set value = 5 where name = 'max_attempts'")
        before = outline(blank_database)
        connection.execute("truncate supabase_migrations.schema_migrations")
        apply_migrations(blank_database, migrations_folder())
        assert connection.execute("select count(*) from public.scheduled_jobs").fetchone() == (1,)
        query = "select value from job_scheduler.limits where name = 'max_attempts'"
        assert connection.execute(query).fetchone() == (5,)
    assert outline(blank_database) == before


def test_a_projects_own_tables_stay_as_they_are(blank_database: str):
    """Also a table of meetings that was there before: it gains a revision, no policy and no lock-out."""
    with psycopg.connect(blank_database, autocommit=True) as connection:
        connection.execute(OWN_TABLES)
        apply_migrations(blank_database, migrations_folder())
        (row,) = connection.execute("select to_jsonb(m) - 'revision' from public.meetings as m").fetchone() or ()
        assert (row["title"], "room" in row, "updated_at" in row) == ("old", True, False)
        secured = "select relrowsecurity from pg_class where oid = 'public.meetings'::regclass"
        assert connection.execute(secured).fetchone() == (False,)
        assert connection.execute("select count(*) from pg_policies where tablename = 'meetings'").fetchone() == (0,)
        (answer,) = connection.execute("select public.sync_meetings_v1('{\"limit\": 10}')").fetchone() or ()
        assert answer["jobs_scheduled"] == 1
        connection.execute("update public.meetings set end_time = end_time + interval '1 day'")
        (answer,) = (
            connection.execute('select public.sync_meetings_v1(\'{"limit": 10, "cursor": 0}\')').fetchone() or ()
        )
        assert answer["jobs_moved"] == 1


def test_the_supabase_cli_pushes_the_same_files(
    supabase: Callable[..., subprocess.CompletedProcess[str]], blank_database: str, migrated_database: str
):
    """`supabase db push` makes what `listener migrate` makes, and either takes the other's notes for its own."""
    first = supabase("db", "push", "--yes")
    assert first.returncode == 0, first.stderr
    assert outline(blank_database) == outline(migrated_database)
    again = supabase("db", "push", "--yes")
    assert again.returncode == 0
    assert "up to date" in again.stdout + again.stderr
    assert apply_migrations(blank_database, migrations_folder()) == []


def test_the_supabase_advisors_find_nothing(
    supabase: Callable[..., subprocess.CompletedProcess[str]], blank_database: str
):
    """Supabase's own linter of security and performance has no warning about what we install."""
    apply_migrations(blank_database, migrations_folder())
    advice = supabase("db", "advisors", "--fail-on", "warn", "--level", "warn")
    assert advice.returncode == 0, advice.stdout + advice.stderr
    with psycopg.connect(blank_database, autocommit=True) as connection:
        connection.execute("create table public.open (id int)")
        connection.execute("grant select on public.open to anon")
    alarmed = supabase("db", "advisors", "--fail-on", "warn", "--level", "warn")
    assert alarmed.returncode != 0, "the advisors see a table without row level security"
    assert "rls_disabled_in_public" in alarmed.stdout + alarmed.stderr


def test_every_function_has_a_fixed_search_path(migrated_database: str):
    """Nobody's schema can slip an object of the same name under ours."""
    query = """
        select p.oid::regprocedure::text, p.proconfig::text from pg_proc as p
        where p.pronamespace in ('public'::regnamespace, 'job_scheduler'::regnamespace)
            and (p.proconfig is null or not 'search_path=""' = any (p.proconfig))
    """
    with psycopg.connect(migrated_database) as connection:
        assert connection.execute(query).fetchall() == []


def test_the_cli_is_the_one_that_the_lock_file_names():
    """The tests above speak of this version."""
    pinned = json.loads((ROOT / "package.json").read_text())["devDependencies"]["supabase"]
    version = subprocess.run([str(CLI), "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert version.stdout.strip() == pinned
