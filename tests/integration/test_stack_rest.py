"""The embedded stack answers at `/rest/v1` as a Supabase project does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listener.local.stack import Stack

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def notes(embedded_stack: Stack) -> Iterator[None]:
    """Make a table with row level security: a user sees what is theirs."""
    with psycopg.connect(embedded_stack.database_url, autocommit=True) as connection:
        connection.execute("""
            create table public.notes (id bigint generated always as identity primary key, owner uuid, body text);
            alter table public.notes enable row level security;
            grant select, insert on public.notes to authenticated, service_role;
            create policy own on public.notes for all to authenticated using (owner = (select auth.uid()));
        """)
    _wait_for_the_schema(embedded_stack)
    yield
    with psycopg.connect(embedded_stack.database_url, autocommit=True) as connection:
        connection.execute("drop table public.notes")


@pytest.fixture
def client(stack: Stack) -> Iterator[httpx.Client]:
    """Call the public URL without any header."""
    with httpx.Client(base_url=stack.url, timeout=10) as client:
        yield client


def _wait_for_the_schema(stack: Stack) -> None:
    """PostgREST reads a changed schema again by itself, a moment later; until then no row goes in."""
    with httpx.Client(base_url=stack.url) as client:
        for _ in range(200):
            if _insert(client, stack.service_key).is_success:
                return
            time.sleep(0.02)
    pytest.fail("PostgREST did not notice the new table")


def _insert(client: httpx.Client, apikey: str, **headers: str) -> httpx.Response:
    return client.post("/rest/v1/notes", json={"body": "hello"}, headers={"apikey": apikey, **headers})


@pytest.mark.parametrize("kind", ["service_role_key", "secret_key"])
@pytest.mark.usefixtures("notes")
def test_a_service_key_of_either_kind_alone_may_write(stack: Stack, client: httpx.Client, kind: str) -> None:
    """A new-style secret key and the old JWT both stand for service_role, without an Authorization header."""
    answer = _insert(client, getattr(stack.keys, kind), prefer="return=representation")
    assert answer.status_code == 201, answer.text
    assert answer.json()[0]["body"] == "hello"


@pytest.mark.parametrize("kind", ["anon_key", "publishable_key"])
@pytest.mark.usefixtures("notes")
def test_an_anon_key_of_either_kind_gets_no_table_that_nobody_granted(
    stack: Stack, client: httpx.Client, kind: str
) -> None:
    """New tables carry no grants, so anon is refused by the database itself."""
    answer = _insert(client, getattr(stack.keys, kind))
    assert (answer.status_code, answer.json()["code"]) == (401, "42501")
