"""`schema/` says what is, `migrations/` what was released: both make the same database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from migration import RELEASED, UnwritableError, checksums, load, made_database, schema_files, schema_text, write
from outline import changed, outline

from listener.migrate.files import migrations_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from listener.local.stack import Stack

LONGEST_FILE = 300
LONGEST_FUNCTION = 100
KINDS = set(
    "table view column constraint index policy trigger function comment publication limit grant".split()  # noqa: SIM905
)
NEW = {
    "an index": ("create index jobs_by_error on public.scheduled_jobs (error);", "create index jobs_by_error"),
    "a comment": (
        "comment on column public.scheduled_jobs.error is 'Why.';",
        "comment on column public.scheduled_jobs",
    ),
    "a column": (
        "alter table public.scheduled_jobs add column color text default 'red' not null;",
        "alter table public.scheduled_jobs add column if not exists color text default 'red'::text not null;",
    ),
    "a grant": (
        "revoke select on table public.job_listeners from service_role;",
        "revoke select on table public.job_listeners",
    ),
    "a policy": (
        "create policy job_listeners_select on public.job_listeners for select to authenticated using (false);",
        "create policy job_listeners_select",
    ),
    "a function": (
        """create or replace function job_scheduler.one() returns integer language sql set search_path = '' as
        $$ select 1 $$;
        revoke all on function job_scheduler.one() from public;""",
        "revoke all on function job_scheduler.one()",
    ),
    "a trigger": (
        """create trigger t99_note after delete on public.job_listeners
        for each row execute function job_scheduler.notify_deleted();""",
        "create trigger t99_note",
    ),
}


@pytest.fixture
def wanted_database(embedded_stack: Stack) -> Iterator[str]:
    """A database of its own made of schema/: its URL, as role postgres."""
    with made_database(embedded_stack) as url:
        load(url, schema_text())
        yield url


def test_migrations_make_what_the_schema_says(migrated_database: str, wanted_database: str):
    """Nothing to write: `make migration` has been called after the last change of schema/."""
    released, wanted = outline(migrated_database), outline(wanted_database)
    assert changed(released, wanted) == []
    assert {kind for kind, _ in wanted} == KINDS
    assert write(migrated_database, wanted_database, schema_text()).strip() == ""


def test_a_released_file_is_not_edited():
    """A database that has applied it would never see the change; a newer file is free until it is listed."""
    listed = RELEASED.read_text(encoding="utf-8").splitlines()
    present = checksums(migrations_folder()).splitlines()
    assert present[: len(listed)] == listed


@pytest.mark.parametrize("path", schema_files(), ids=lambda path: path.stem)
def test_a_file_of_the_schema_can_be_read_at_a_sitting(path):
    """The bound is that of modules."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def test_no_function_is_longer_than_can_be_followed(database: psycopg.Connection[Any]):
    """Each step of a long one has a name of its own."""
    query = """
        select proname::text as name, cardinality(string_to_array(prosrc, E'\\n')) as lines from pg_proc
        where pronamespace in ('public'::regnamespace, 'job_scheduler'::regnamespace)
    """
    lengths = {row["name"]: row["lines"] for row in database.execute(query).fetchall()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


def test_a_changed_function_is_all_that_is_written(migrated_database: str, blank_database: str):
    """With its purpose above it and none of its neighbours."""
    text = schema_text().replace("limit 101", "limit 102", 1)
    load(blank_database, text)
    written = write(migrated_database, blank_database, text)
    assert written.count("create or replace") == 1
    assert written.startswith("--")
    assert "limit 102" in written


@pytest.mark.parametrize(("change", "line"), NEW.values(), ids=NEW.keys())
def test_what_is_new_is_written(migrated_database: str, blank_database: str, change: str, line: str):
    """The statements of schema/ that make it; a column from the catalogs."""
    text = f"{schema_text()}\n{change}\n"
    load(blank_database, text)
    assert line in write(migrated_database, blank_database, text)


def test_what_is_gone_is_dropped(migrated_database: str, blank_database: str):
    """Triggers before the functions that they call."""
    text = schema_text()
    trigger = re.search(r"create or replace trigger t70_admit_edit\n.*?;\n", text, re.DOTALL)
    function = re.search(r"create or replace function job_scheduler.admit_edit\(.*?from public;\n", text, re.DOTALL)
    assert trigger
    assert function
    text = text.replace(trigger[0], "").replace(function[0], "")
    load(blank_database, text)
    assert write(migrated_database, blank_database, text).split("\n\n") == [
        "drop trigger if exists t70_admit_edit on public.scheduled_jobs;",
        "drop function if exists job_scheduler.admit_edit();\n",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alter table public.job_listeners alter column name type varchar(9);", "column public.job_listeners.name"),
        ("alter table public.job_listeners drop column name;", "column public.job_listeners.name"),
        ("alter table public.job_listeners add check (name <> '');", "constraint public.job_listeners"),
    ],
)
def test_what_is_beyond_it_is_named(migrated_database: str, blank_database: str, change: str, said: str):
    """And nothing is written: how rows are to follow a change of their table is for a person to say."""
    text = schema_text()
    load(blank_database, f"{text}\n{change}\n")
    with pytest.raises(UnwritableError, match=f"by hand: .*{said}"):
        write(migrated_database, blank_database, text)


def test_the_released_database_is_only_looked_at(migrated_database: str, blank_database: str):
    """The statement is tried in a transaction that is rolled back."""
    before = outline(migrated_database)
    text = schema_text() + "\ncreate index jobs_by_error on public.scheduled_jobs (error);\n"
    load(blank_database, text)
    write(migrated_database, blank_database, text)
    assert outline(migrated_database) == before


def test_a_function_that_cannot_be_replaced_is_named(migrated_database: str, blank_database: str):
    """One whose result changed; PostgreSQL says it best."""
    text = schema_text() + (
        "\ndrop function job_scheduler.horizon();\ncreate or replace function job_scheduler.horizon() returns text"
        " language sql set search_path = '' as $$ select 'far' $$;\n"
    )
    load(blank_database, text)
    with pytest.raises(UnwritableError, match="cannot change return type"):
        write(migrated_database, blank_database, text)


def test_functions_are_sound_in_their_final_surroundings(database: psycopg.Connection[Any]):
    """Those that stand before the tables they read are checked here instead."""
    query = "select pg_get_functiondef(oid) as text from pg_proc where pronamespace = 'job_scheduler'::regnamespace"
    for row in database.execute(query).fetchall():
        database.execute(row["text"].encode())
