"""A signed-in user with a stock supabase-py client, who watches their jobs through Realtime."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from realtime import RealtimePostgresChangesListenEvent
from supabase import AsyncClient, AsyncClientOptions, create_async_client

from listener.errors import ListenerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from realtime import AsyncRealtimeChannel
    from realtime.types import PostgresChangesPayload

    from listener.demo.board import Board
    from listener.local.stack import Stack

SUBSCRIBE_SECONDS = 10.0


class NotHeardError(ListenerError):
    """Realtime did not confirm the subscription."""

    def __init__(self) -> None:
        super().__init__(f"Realtime did not confirm the subscription within {SUBSCRIBE_SECONDS:g} s")


@asynccontextmanager
async def signed_in(stack: Stack, name: str) -> AsyncIterator[AsyncClient]:
    """Sign in as `name`: the public key, and the user's own token. Row level security applies to all requests."""
    token = stack.user_token(name)
    options = AsyncClientOptions(
        headers={"Authorization": f"Bearer {token}"}, auto_refresh_token=False, persist_session=False
    )
    client = await create_async_client(stack.url, stack.anon_key, options)
    await client.realtime.set_auth(token)
    try:
        yield client
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await client.realtime.close()
        await client.postgrest.aclose()


async def watch(client: AsyncClient, board: Board) -> None:
    """Pass every change of a job that the user may see to the board, from now on.

    Raises:
        NotHeardError: Realtime does not confirm.
    """
    heard = anyio.Event()
    channel = client.channel("demo")
    channel.on_postgres_changes(
        RealtimePostgresChangesListenEvent.All, _deliver(board), schema="public", table="scheduled_jobs"
    )
    await _subscribe(channel, lambda _: heard.set())
    with anyio.move_on_after(SUBSCRIBE_SECONDS):
        await heard.wait()
    if not heard.is_set():
        raise NotHeardError


async def _subscribe(channel: AsyncRealtimeChannel, confirmed: Callable[[object], None]) -> None:
    """Join, and wait for the server's message that it streams changes from PostgreSQL."""
    channel.on_system(confirmed)
    await channel.subscribe()


def _deliver(board: Board) -> Callable[[PostgresChangesPayload], None]:
    def deliver(change: PostgresChangesPayload) -> None:
        if change["data"]["record"]:
            board.take(change["data"]["record"])

    return deliver
