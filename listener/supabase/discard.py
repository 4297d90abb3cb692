"""Closes a Realtime client completely: its own `close` forgets tasks, and may wait for a dead peer."""

from __future__ import annotations

import asyncio  # noqa: TID251 - realtime-py's tasks are asyncio's
import contextlib
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime import AsyncRealtimeChannel, AsyncRealtimeClient

CLOSE_SECONDS = 1.0


async def discard(client: AsyncRealtimeClient, channels: Iterable[AsyncRealtimeChannel]) -> None:
    """Stop everything that a client runs; cancellation does not stop this.

    Args:
        client: a client, connected or not.
        channels: all channels of the client; it forgets those that were closed.
    """
    with anyio.CancelScope(shield=True):
        tasks = [task for task in (client._listen_task, client._heartbeat_task) if task]  # noqa: SLF001
        for channel in channels:
            channel.rejoin_timer.reset()
            channel.join_push.destroy()
            tasks += channel._background_tasks  # noqa: SLF001
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        socket = client._ws_connection  # noqa: SLF001
        with anyio.move_on_after(CLOSE_SECONDS), contextlib.suppress(Exception):
            await client.close()
        if socket is not None:
            socket.transport.abort()
