"""Messages are counted as Supabase bills them: one a receiver, and for broadcasts and presence one for the sender."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from billed import messages

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.stack

TOPIC = "realtime:counted"
CONFIG = {
    "broadcast": {"self": False},
    "presence": {"key": "", "enabled": True},
    "postgres_changes": [{"event": "INSERT", "schema": "public", "table": "scheduled_jobs"}],
}


class Client:
    """A raw client of vsn 1.0.0 that has joined the topic."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self.websocket = websocket

    async def push(self, event: str, payload: object) -> None:
        await self.websocket.send_json({"topic": TOPIC, "event": event, "payload": payload, "ref": "1"})

    async def until(self, event: str) -> None:
        """Receive up to a frame of this event."""
        while (await self.websocket.receive_json(timeout=20))["event"] != event:
            pass


async def test_each_feature_counts_senders_and_receivers(realtime: Any, sign: Callable[..., str]) -> None:
    """Three clients; what nobody has subscribed to costs nothing, and neither do joins and heartbeats."""
    seen = messages(realtime.port)

    def counted() -> dict[str, int]:
        before = dict(seen)
        seen.update(messages(realtime.port))
        return {feature: count - before[feature] for feature, count in seen.items() if count != before[feature]}

    async with AsyncExitStack() as opened:
        session = await opened.enter_async_context(aiohttp.ClientSession())
        clients = []
        for _ in range(3):
            connecting = session.ws_connect(realtime.url(), params={"apikey": sign("service_role")})
            client = Client(await opened.enter_async_context(connecting))
            await client.push("phx_join", {"config": CONFIG})
            await client.until("system")
            clients.append(client)
        await clients[0].websocket.send_json({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "2"})
        await clients[0].until("phx_reply")
        assert counted() == {}

        realtime.sql("insert into other_jobs (name) values ('nobody reads it')")
        realtime.sql("insert into scheduled_jobs (job_id) values ('a'), ('b')")
        for client in clients:
            await client.until("postgres_changes")
            await client.until("postgres_changes")
        assert counted() == {"postgres_changes": 6}

        realtime.sql("select realtime.send('{}'::jsonb, 'e', 'counted', false)")
        for client in clients:
            await client.until("broadcast")
        assert counted() == {"broadcast": 4}

        await clients[0].push("broadcast", {"type": "broadcast", "event": "e", "payload": {}})
        for client in clients[1:]:
            await client.until("broadcast")
        assert counted() == {"broadcast": 3}

        await clients[0].push("presence", {"type": "presence", "event": "track", "payload": {}})
        for client in clients:
            await client.until("presence_diff")
        assert counted() == {"presence": 4}


async def test_a_broadcast_that_nobody_receives_counts_once(realtime: Any, sign: Callable[..., str]) -> None:
    """It was sent. A client's own broadcast, sent after it, shows that the server has read the first one."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(realtime.url(), params={"apikey": sign("service_role")}) as websocket,
    ):
        client = Client(websocket)
        await client.push("phx_join", {"config": {}})
        await client.until("phx_reply")
        before = messages(realtime.port)["broadcast"]
        realtime.sql("select realtime.send('{}'::jsonb, 'e', 'empty', false)")
        realtime.sql("select realtime.send('{}'::jsonb, 'e', 'counted', false)")
        await client.until("broadcast")
        assert messages(realtime.port)["broadcast"] - before == 3
