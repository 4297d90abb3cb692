"""The migrations go onto any Supabase project, by our own command or by Supabase's, more than once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from outline import outline
from supabase_cli import CLI

from listener.migrate.files import export, migrations_folder, migrations_in
from listener.migrate.migrator import apply_migrations

if TYPE_CHECKING:
    from supabase_cli import SupabaseCli

ROOT = Path(__file__).parents[2]


def test_migrating_a_migrated_database_does_nothing(blank_database: str):
    """`listener migrate` records what it applied and applies it once."""
    applied = apply_migrations(blank_database, migrations_folder())
    assert [migration.version for migration in applied] == [m.version for m in migrations_in(migrations_folder())]
    before = outline(blank_database)
    assert apply_migrations(blank_database, migrations_folder()) == []
    assert outline(blank_database) == before


def test_every_file_may_run_again(blank_database: str):
    """A database whose ledger was lost is not harmed, and keeps its rows."""
    apply_migrations(blank_database, migrations_folder())
    with psycopg.connect(blank_database, autocommit=True) as connection:
        connection.execute("insert into public.scheduled_jobs (handler) values ('noop')")
        connection.execute("update job_scheduler.limits set value = 5 where name = 'max_attempts'")
        before = outline(blank_database)
        connection.execute("truncate job_scheduler.migrations")
        apply_migrations(blank_database, migrations_folder())
        assert connection.execute("select count(*) from public.scheduled_jobs").fetchone() == (1,)
        query = "select value from job_scheduler.limits where name = 'max_attempts'"
        assert connection.execute(query).fetchone() == (5,)
    assert outline(blank_database) == before


def test_the_supabase_cli_pushes_the_same_files(supabase: SupabaseCli, blank_database: str, migrated_database: str):
    """`supabase db push` makes what `listener migrate` makes, and fills the same ledger."""
    export(migrations_folder(), supabase.migrations)
    first = supabase("db", "push", "--yes")
    assert first.returncode == 0, first.stderr
    assert outline(blank_database) == outline(migrated_database)
    again = supabase("db", "push", "--yes")
    assert again.returncode == 0
    assert "up to date" in again.stdout + again.stderr
    assert apply_migrations(blank_database, migrations_folder()) == []


def test_the_supabase_advisors_find_nothing(supabase: SupabaseCli, blank_database: str):
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
