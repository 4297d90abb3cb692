"""The Realtime server as a process: refused connections, lost databases, signals, limits."""

from __future__ import annotations

import asyncio  # noqa: TID251 - aiohttp's
import contextlib
import json
import signal
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.stack

JOIN = {"config": {"postgres_changes": [{"event": "INSERT", "schema": "public", "table": "scheduled_jobs"}]}}
SLOTS = "select count(*) from pg_replication_slots where database = current_database()"
END_STREAMS = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where backend_type = 'walsender' and datname = current_database()
"""
END_SESSIONS = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'realtime' and datname = current_database()
"""


class Client:
    """A raw client of vsn 1.0.0."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self.websocket = websocket

    async def push(self, topic: str, event: str, payload: object) -> None:
        await self.websocket.send_str(json.dumps({"topic": topic, "event": event, "payload": payload, "ref": "1"}))

    async def until(self, event: str) -> dict[str, Any]:
        """Return the payload of the next frame with that event."""
        async with asyncio.timeout(8):
            while True:
                message = json.loads((await self.websocket.receive()).data)
                if message["event"] == event:
                    return message["payload"]

    async def subscribe(self) -> None:
        await self.push("realtime:jobs", "phx_join", JOIN)
        assert (await self.until("system"))["message"] == "Subscribed to PostgreSQL"


@contextlib.asynccontextmanager
async def connected(server: Any, token: str) -> AsyncIterator[Client]:
    """Give a connected client."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.url(), params={"apikey": token}) as websocket,
    ):
        yield Client(websocket)


def slots(server: Any) -> int:
    """Count the replication slots of the server's database."""
    with psycopg.connect(server.dsn) as connection:
        return connection.execute(SLOTS).fetchone()[0]


@pytest.mark.parametrize(
    ("parameters", "status", "body"),
    [
        ({}, 401, '{"error":"API key is missing"}'),
        ({"apikey": "garbage"}, 401, '{"error":"The token provided is not a valid JWT"}'),
        ({"apikey": "forged"}, 401, '{"error":"Failed to validate JWT signature"}'),
        ({"apikey": "expired"}, 401, '{"error":"Token has expired"}'),
        ({"apikey": "no role"}, 401, '{"error":"Fields `role` and `exp` are required in JWT"}'),
        ({"apikey": "good", "vsn": "9.9.9"}, 403, ""),
    ],
)
def test_a_connection_is_refused_as_recorded(
    parameters: dict[str, str], status: int, body: str, shared_realtime: Any, sign: Callable[..., str]
) -> None:
    """Status and body of `d1_connect_errors`."""
    good = sign("anon")
    keys = {
        "forged": good[:-4] + "AAAA",
        "expired": sign("anon", -5),
        "no role": sign(None),
        "good": good,
    }
    given = (
        {**parameters, "apikey": keys.get(parameters["apikey"], "garbage")} if "apikey" in parameters else parameters
    )
    answer = httpx.get(shared_realtime.url(), params=given)
    assert (answer.status_code, answer.text) == (status, body)


async def test_a_lost_stream_is_opened_again_and_clients_are_told(realtime: Any, sign: Callable[..., str]) -> None:
    """As after a restart of PostgreSQL: a second "Subscribed to PostgreSQL", then changes flow."""
    async with connected(realtime, sign("service_role")) as client:
        await client.subscribe()
        realtime.sql(END_STREAMS)
        assert (await client.until("system"))["message"] == "Subscribed to PostgreSQL"
        realtime.sql("insert into scheduled_jobs (status) values ('after')")
        assert (await client.until("postgres_changes"))["data"]["record"]["status"] == "after"


async def test_sessions_that_postgresql_ends_are_opened_again(realtime: Any, sign: Callable[..., str]) -> None:
    """Every connection of the server is lost at once; joins, policies and changes work again by themselves."""
    async with connected(realtime, sign("service_role")) as client:
        await client.subscribe()
        realtime.sql(END_SESSIONS)
        await client.until("system")
        await client.push("realtime:other", "phx_join", JOIN)
        await client.until("system")
        realtime.sql("insert into scheduled_jobs (status) values ('after')")
        assert (await client.until("postgres_changes"))["data"]["record"]["status"] == "after"


async def test_sigterm_closes_sockets_with_1012_within_two_seconds(
    realtime: Any, start_realtime: Callable[..., Any], sign: Callable[..., str]
) -> None:
    """As the real server says that it restarts; the process ends with exit code 0 and leaves no slot."""
    server = start_realtime()
    before = slots(server)
    async with connected(server, sign("anon")) as client:
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        message = await client.websocket.receive()
        assert (message.type, client.websocket.close_code) == (aiohttp.WSMsgType.CLOSE, 1012)
    assert await asyncio.to_thread(server.process.wait, 5) == 0
    assert time.monotonic() - began < 2
    assert slots(server) == before - 1


def test_sigkill_leaves_no_replication_slot(realtime: Any, start_realtime: Callable[..., Any]) -> None:
    """The slot is temporary: PostgreSQL drops it with the connection."""
    before = slots(realtime)
    server = start_realtime()
    assert slots(server) == before + 1
    server.process.kill()
    server.process.wait()
    deadline = time.monotonic() + 3
    while slots(realtime) > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert slots(realtime) == before


async def test_the_rate_limit_drops_changes_without_a_word(
    realtime: Any, start_realtime: Callable[..., Any], sign: Callable[..., str]
) -> None:
    """Beyond the average the client hears nothing more; the channel stays joined."""
    server = start_realtime("--max-events-per-second", "10")
    async with connected(server, sign("service_role")) as client:
        await client.subscribe()
        realtime.sql("insert into scheduled_jobs (status) select 'burst' from generate_series(1, 100)")
        for _ in range(100):
            await client.until("postgres_changes")
        await asyncio.sleep(1.1)
        realtime.sql("insert into scheduled_jobs (status) values ('probe')")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.until("postgres_changes")
        await client.push("phoenix", "heartbeat", {})
        assert (await client.until("phx_reply"))["status"] == "ok"


async def test_realtime_send_never_fails_its_callers_transaction(realtime: Any) -> None:
    """A role that may not write messages gets a warning, and its own work commits."""
    with psycopg.connect(realtime.dsn) as connection:
        connection.execute("set local role anon")
        connection.execute("""select realtime.send('{"a":1}', 'ev', 'room:1', true)""")
        connection.commit()
        assert connection.execute("select count(*) from realtime.messages").fetchone() == (0,)


async def test_a_broadcast_from_the_database_reaches_a_json_and_a_binary_client(
    realtime: Any, sign: Callable[..., str]
) -> None:
    """Vsn 1.0.0 gets an object, vsn 2.0.0 the binary frame with the id as metadata."""
    url, key = realtime.url(), sign("anon")
    async with aiohttp.ClientSession() as session:
        one = await session.ws_connect(url, params={"apikey": key, "vsn": "1.0.0"})
        two = await session.ws_connect(url, params={"apikey": key, "vsn": "2.0.0"})
        await one.send_str(
            json.dumps({"topic": "realtime:t", "event": "phx_join", "payload": {"config": {}}, "ref": "1"})
        )
        await two.send_str(json.dumps(["1", "1", "realtime:t", "phx_join", {"config": {}}]))
        await one.receive(timeout=5)
        await two.receive(timeout=5)
        realtime.sql("""select realtime.send('{"id":"x"}', 'ev', 't', false)""")
        as_json = json.loads((await one.receive(timeout=5)).data)["payload"]
        frame = (await two.receive(timeout=5)).data
        await one.close()
        await two.close()
    meta = json.dumps(as_json["meta"], separators=(",", ":")).encode()
    assert as_json["payload"] == {"id": "x"}
    assert frame == bytes([4, 10, 2, len(meta), 1]) + b"realtime:t" + b"ev" + meta + b'{"id": "x"}'
