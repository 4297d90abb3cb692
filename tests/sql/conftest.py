"""Clients of the stack by role, and databases of their own for tests that need one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from migration import made_database
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from supabase_cli import SupabaseCli

from listener.migrate.files import migrations_folder
from listener.migrate.migrator import apply_migrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from listener.local.stack import Stack


@pytest.fixture(scope="session")
def client_for(embedded_stack: Stack, tables_to_empty: list[str]) -> Iterator[Callable[[str], httpx.Client]]:
    """Return a maker of PostgREST clients: `anon`, `service`, or the name of a signed-in user.

    The tables are not emptied between these tests: they look at their own rows only, and there are hundreds of them.
    """
    assert "public.scheduled_jobs" in tables_to_empty, "noted before the first row is written here"
    stack = embedded_stack
    clients: dict[str, httpx.Client] = {}

    def client(who: str) -> httpx.Client:
        if who not in clients:
            apikey = stack.service_key if who == "service" else stack.anon_key
            token = apikey if who in {"anon", "service"} else stack.user_token(who)
            clients[who] = httpx.Client(
                base_url=f"{stack.url}/rest/v1",
                headers={"apikey": apikey, "Authorization": f"Bearer {token}", "Prefer": "return=representation"},
                timeout=20,
            )
        return clients[who]

    yield client
    for opened in clients.values():
        opened.close()


@pytest.fixture
def anon(client_for: Callable[[str], httpx.Client]) -> httpx.Client:
    """Nobody: the public key alone."""
    return client_for("anon")


@pytest.fixture
def alice(client_for: Callable[[str], httpx.Client]) -> httpx.Client:
    """A signed-in user."""
    return client_for("alice")


@pytest.fixture
def bob(client_for: Callable[[str], httpx.Client]) -> httpx.Client:
    """Another signed-in user."""
    return client_for("bob")


@pytest.fixture
def service(client_for: Callable[[str], httpx.Client]) -> httpx.Client:
    """The service key."""
    return client_for("service")


@pytest.fixture
def sql(embedded_stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the session's stack as role postgres, which no quota binds."""
    with psycopg.connect(embedded_stack.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def blank_database(embedded_stack: Stack) -> Iterator[str]:
    """A database of its own for one test, without migrations: its URL, as role postgres."""
    with made_database(embedded_stack) as url:
        yield url


@pytest.fixture
def supabase(tmp_path: Path, blank_database: str) -> SupabaseCli:
    """Supabase's own CLI on a project folder without migrations, aimed at the blank database."""
    cli = SupabaseCli(tmp_path, blank_database)
    cli.migrations.mkdir(parents=True)
    return cli


@pytest.fixture(scope="session")
def migrated_database(embedded_stack: Stack) -> Iterator[str]:
    """A database with every migration, apart from the one that PostgREST serves: its URL, as role postgres."""
    with made_database(embedded_stack) as url:
        apply_migrations(url, migrations_folder())
        yield url


@pytest.fixture
def database(migrated_database: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection to `migrated_database` whose tables are empty; each statement is its own transaction."""
    with psycopg.connect(migrated_database, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(
            "truncate public.scheduled_jobs, public.meetings, job_scheduler.changed_rows, job_scheduler.source_errors"
            " restart identity cascade"
        )
        yield connection


@pytest.fixture
def ask(database: psycopg.Connection[dict[str, Any]]) -> Callable[..., Any]:
    """Return what calls one of the service's functions with the fields of its request, and gives its answer."""

    def call(function: str, **request: Any) -> Any:
        query = f"select public.{function}(%s) as answer"
        return database.execute(query, [Jsonb(request)]).fetchone()["answer"]

    return call
