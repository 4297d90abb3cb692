"""In the whole stack, stock supabase-py receives through the gateway what its user may see."""

from __future__ import annotations

import asyncio  # noqa: TID251 - supabase-py calls back on asyncio's loop
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from patience import PATIENCE_SECONDS
from realtime import RealtimePostgresChangesListenEvent
from supabase import AsyncClientOptions, acreate_client

from listener.local.keys import user_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listener.local.stack import Stack

pytestmark = pytest.mark.stack


@pytest.fixture
def letters(embedded_stack: Stack) -> Iterator[None]:
    """Make a published table whose rows belong to users, as a migration would: as role postgres."""
    with psycopg.connect(embedded_stack.database_url, autocommit=True) as connection:
        connection.execute("""
            create table public.letters (id bigint generated always as identity primary key, owner uuid, body text);
            alter table public.letters enable row level security;
            alter table public.letters replica identity full;
            grant select, insert, update, delete on public.letters to authenticated, service_role;
            create policy own on public.letters for all to authenticated using (owner = (select auth.uid()));
            alter publication supabase_realtime add table public.letters;
        """)
        yield
        connection.execute("drop table public.letters")


@pytest.mark.parametrize("key", ["anon_key", "publishable_key"])
async def test_a_signed_in_user_hears_of_insert_update_and_delete(stack: Stack, letters: None, key: str) -> None:
    """With the old and the new kind of API key; rows of another user are not heard of."""
    client = await acreate_client(stack.url, getattr(stack.keys, key), AsyncClientOptions(auto_refresh_token=False))
    await client.realtime.set_auth(stack.user_token("ada"))
    heard: asyncio.Queue[Any] = asyncio.Queue()
    ready = asyncio.Event()
    channel = client.channel("letters")
    every = RealtimePostgresChangesListenEvent.All
    channel.on_postgres_changes(every, heard.put_nowait, table="letters", schema="public")
    channel.on_system(lambda _: ready.set())
    await channel.subscribe()
    changes = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ready.wait()
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            insert = "insert into letters (owner, body) values (%s, %s)"
            connection.execute(insert, (user_id("bob"), "bob"))
            connection.execute(insert, (user_id("ada"), "ada"))
            changes.append((await heard.get())["data"])  # policies look at rows as they are now, so one step at a time
            connection.execute("update letters set body = body || '!' where body = 'ada'")
            changes.append((await heard.get())["data"])
            connection.execute("delete from letters where body = 'ada!'")
            changes.append((await heard.get())["data"])
    await client.realtime.close()
    assert [change["type"].value for change in changes] == ["INSERT", "UPDATE", "DELETE"]
    assert [change.get("record", {}).get("body") for change in changes] == ["ada", "ada!", None]
    assert changes[2]["old_record"] == {"id": changes[0]["record"]["id"]}


async def test_a_user_broadcasts_by_http_to_whoever_has_joined(stack: Stack) -> None:
    """Through the gateway, with a token of their own beside the project's key."""
    client = await acreate_client(stack.url, stack.anon_key, AsyncClientOptions(auto_refresh_token=False))
    heard: asyncio.Queue[Any] = asyncio.Queue()
    await client.channel("lobby").on_broadcast("hello", heard.put_nowait).subscribe()
    message = {"topic": "lobby", "event": "hello", "payload": {"from": "ada"}}
    headers = {"apikey": stack.anon_key, "Authorization": f"Bearer {stack.user_token('ada')}"}
    async with httpx.AsyncClient(headers=headers) as http, asyncio.timeout(20):
        url = f"{stack.url}/realtime/v1/api/broadcast"
        while heard.empty():  # the join's reply may be still to come
            assert (await http.post(url, json={"messages": [message]})).status_code == 202
            await asyncio.sleep(0.05)
    await client.realtime.close()
    assert heard.get_nowait()["payload"] == {"from": "ada"}
