"""The Realtime server as a process: refused connections, lost databases, signals, limits."""

from __future__ import annotations

import asyncio  # noqa: TID251 - aiohttp's
import contextlib
import itertools
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import jwt
import psycopg
import pytest
from patience import PATIENCE_SECONDS, allowed, until
from psycopg.conninfo import make_conninfo
from real_frames import Clients, clients_of
from recordings import SECRET, lines_of

from listener.local.realtime.__main__ import options
from listener.local.realtime.server import Options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.stack

JOIN = {"config": {"postgres_changes": [{"event": "INSERT", "schema": "public", "table": "scheduled_jobs"}]}}
SLOTS = "select count(*) from pg_replication_slots where database = current_database()"
ACTIVE_SLOTS = """
    select slot_name from pg_replication_slots
    where database = current_database() and active and confirmed_flush_lsn is not null
"""
"""They hold whatever commits from now on."""
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    "Sec-WebSocket-Version": "13",
}
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
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                message = json.loads((await self.websocket.receive()).data)
                if message["event"] == event:
                    return message["payload"]

    async def subscribe(self, table: str = "scheduled_jobs") -> None:
        [binding] = JOIN["config"]["postgres_changes"]
        await self.push("realtime:jobs", "phx_join", {"config": {"postgres_changes": [{**binding, "table": table}]}})
        assert (await self.until("system"))["message"] == "Subscribed to PostgreSQL"


@pytest.fixture
async def clients(realtime: Any) -> AsyncIterator[Clients]:
    """Give clients by name of the shared server."""
    async with clients_of(realtime) as clients:
        yield clients


@contextlib.asynccontextmanager
async def connected(server: Any, token: str) -> AsyncIterator[Client]:
    """Give a connected client."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.url(), params={"apikey": token}) as websocket,
    ):
        yield Client(websocket)


def end(server: Any, ended: str) -> None:
    """End connections of the server, and of others beside it; wait until each streams from another slot."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:

        def active() -> list[Any]:
            return connection.execute(ACTIVE_SLOTS).fetchall()

        before = active()
        connection.execute(ended)
        until(lambda: len(now := active()) >= len(before) and not set(now) & set(before), "other streams")


def slots(server: Any) -> int:
    """Count the replication slots of the server's database."""
    with psycopg.connect(server.dsn) as connection:
        return connection.execute(SLOTS).fetchone()[0]


REFUSALS = {line["text"].split(":")[0]: line for line in lines_of("d1_connect_errors")}
NO_TENANTS_HERE = "unknown tenant"
"""The real server serves many projects and knows them by the host's name; this one serves one."""


@pytest.mark.parametrize("what", sorted(REFUSALS.keys() - {NO_TENANTS_HERE}))
async def test_a_connection_is_answered_as_recorded(what: str, shared_realtime: Any, sign: Callable[..., str]) -> None:
    """Status and body of each handshake of `d1_connect_errors`."""
    good, recorded = sign("anon"), REFUSALS[what]
    given = {
        "missing apikey": {"vsn": "1.0.0"},
        "apikey not a jwt": {"apikey": "garbage", "vsn": "1.0.0"},
        "bad signature": {"apikey": good[:-4] + "AAAA", "vsn": "1.0.0"},
        "expired": {"apikey": sign("anon", -5), "vsn": "1.0.0"},
        "no role": {"apikey": sign(None), "vsn": "1.0.0"},
        "no exp": {"apikey": jwt.encode({"role": "anon"}, SECRET, algorithm="HS256"), "vsn": "1.0.0"},
        "bad vsn": {"apikey": good, "vsn": "9.9.9"},
        "no vsn": {"apikey": good},
    }
    async with (
        aiohttp.ClientSession() as session,
        session.get(shared_realtime.url(), params=given[what], headers=HANDSHAKE) as answer,
    ):
        body = "" if answer.status == 101 else await answer.text()
    assert f"HTTP/1.1 {answer.status} {answer.reason}" == recorded["text"].split(": ")[1]
    assert body == recorded["body"]


async def test_a_lost_stream_is_opened_again_and_nobody_is_notified(realtime: Any, sign: Callable[..., str]) -> None:
    """As after a restart of PostgreSQL: changes flow again, and the next frame is one of them."""
    async with connected(realtime, sign("service_role")) as client:
        await client.subscribe()
        end(realtime, END_STREAMS)
        realtime.sql("insert into scheduled_jobs (status) values ('after')")
        frame = json.loads((await client.websocket.receive(timeout=PATIENCE_SECONDS)).data)
        assert (frame["event"], frame["payload"]["data"]["record"]["status"]) == ("postgres_changes", "after")


async def test_sessions_that_postgresql_ends_are_opened_again(realtime: Any, sign: Callable[..., str]) -> None:
    """Every connection of the server is lost at once; joins, policies and changes work again by themselves."""
    async with connected(realtime, sign("service_role")) as client:
        await client.subscribe()
        end(realtime, END_SESSIONS)
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
    assert await asyncio.to_thread(server.process.wait, PATIENCE_SECONDS) == 0
    assert time.monotonic() - began < allowed(2, PATIENCE_SECONDS)
    assert slots(server) == before - 1


def test_sigkill_leaves_no_replication_slot(realtime: Any, start_realtime: Callable[..., Any]) -> None:
    """The slot is temporary: PostgreSQL drops it with the connection."""
    before = slots(realtime)
    server = start_realtime()
    assert slots(server) == before + 1
    server.process.kill()
    server.process.wait()
    until(lambda: slots(realtime) == before, "the slot is gone")


@pytest.fixture(scope="module")
def limited(start_realtime: Callable[..., Any]) -> Any:
    """Run a server that waits and limits as a hosted project does, in less time."""
    refusals = ("--refused-join-seconds", "0.4", "--refused-connection-seconds", "0.4")
    return start_realtime("--as-hosted", *refusals, "--max-events-per-second", "10", "--limit-tick-seconds", "1")


async def test_the_rate_limit_drops_changes_of_every_table_without_a_word(
    realtime: Any, limited: Any, sign: Callable[..., str]
) -> None:
    """Beyond the average no client receives anything more, whatever it watches; the channels stay joined."""
    async with (
        connected(limited, sign("service_role")) as client,
        connected(limited, sign("service_role")) as other,
    ):
        await client.subscribe()
        await other.subscribe("other_jobs")
        realtime.sql("insert into scheduled_jobs (status) select 'burst' from generate_series(1, 200)")
        for _ in range(200):  # so few that they are out before the first look, a second later
            await client.until("postgres_changes")
        await asyncio.sleep(1.1)
        realtime.sql("insert into other_jobs (name) values ('probe')")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await other.until("postgres_changes")
        await other.push("phoenix", "heartbeat", {})
        assert (await other.until("phx_reply"))["status"] == "ok"


async def test_a_refused_join_holds_up_everything_on_its_socket(realtime: Any, limited: Any) -> None:
    """As the real server, which takes 5 s: other joins and the heartbeat are answered after the refusal."""
    async with clients_of(limited) as clients:
        await clients.connect("c", "anon")
        began = time.monotonic()
        await clients.push("c", "no:1", "phx_join", {"config": {"private": True}}, "1")
        await clients.push("c", "good", "phx_join", {"config": {}}, "2")
        await clients.send("c", json.dumps({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "3"}))
        await clients.has("c", 1)
        assert time.monotonic() - began >= 0.4
        await clients.check("join_block")


def test_a_refused_connection_is_answered_late(limited: Any) -> None:
    """As the real server, which takes 2 s."""
    began = time.monotonic()
    answer = httpx.get(limited.url(), headers=HANDSHAKE)
    assert (answer.status_code, time.monotonic() - began >= 0.4) == (401, True)


def test_one_switch_sets_limits_and_delays_as_a_hosted_project_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option or a variable of the environment; a single option beside it counts more."""
    monkeypatch.setenv("REALTIME_DSN", "host=nowhere")
    monkeypatch.setenv("REALTIME_JWT_SECRET", SECRET)
    assert options([]) == Options("host=nowhere", SECRET)
    hosted = options(["--as-hosted"])
    assert (hosted.refused_join_seconds, hosted.refused_connection_seconds, hosted.events_per_second) == (5, 2, 100)
    monkeypatch.setenv("REALTIME_AS_HOSTED", "true")
    assert options([]) == hosted
    assert options(["--refused-join-seconds", "1"]).refused_join_seconds == 1


async def test_a_socket_has_a_hundred_channels(realtime: Any, limited: Any) -> None:
    """The next join is refused, as late as any other; once a channel is left, another one can be joined."""
    async with clients_of(limited) as clients:
        await clients.connect("c", "anon")
        for number in range(100):
            await clients.push("c", f"t{number}", "phx_join", {"config": {}}, str(number))
        await clients.has("c", 100)
        assert {json.loads(frame)["payload"]["status"] for frame in clients.received["c"]} == {"ok"}
        began = time.monotonic()
        await clients.join("c", "t100", {"config": {}}, "100")
        assert time.monotonic() - began >= 0.4
        [refused] = [json.loads(frame) for frame in clients.received["c"][100:]]
        reason = {"reason": "ChannelRateLimitReached: Too many channels"}
        assert (refused["ref"], refused["payload"]) == ("100", {"status": "error", "response": reason})
        await clients.push("c", "t0", "phx_leave", {}, "leave")
        await clients.has("c", 103)
        await clients.join("c", "t100", {"config": {}}, "again")
        assert json.loads(clients.received["c"][-1])["payload"]["status"] == "ok"


async def test_a_token_with_a_wrong_signature_ends_the_channel(clients: Clients, sign: Callable[..., str]) -> None:
    """The reason is the real server's name for it."""
    await clients.connect("c", "anon")
    await clients.join("c", "t", {"config": {}})
    await clients.push("c", "t", "access_token", {"access_token": sign("anon")[:-4] + "AAAA"}, "2")
    await clients.has("c", 3)
    system, closed = (json.loads(frame) for frame in clients.received["c"][1:])
    assert (system["payload"]["message"], closed["event"]) == (":signature_error", "phx_close")


async def test_a_filter_names_its_type_without_the_schema_public(
    realtime: Any, clients: Clients, sign: Callable[..., str]
) -> None:
    """As the real server's sessions have it on their path."""
    await clients.connect("c")
    binding = {"event": "*", "schema": "public", "table": "ty", "filter": "en=eq.angry"}
    await clients.join("c", "t", {"config": {"postgres_changes": [binding]}})
    await clients.has("c", 2)
    assert 'invalid input value for enum mood: "angry"' in json.loads(clients.received["c"][1])["payload"]["message"]


async def test_a_heartbeat_saves_an_idle_socket(start_realtime: Callable[..., Any], sign: Callable[..., str]) -> None:
    """The time of silence begins anew; a socket that sends nothing any more is closed."""
    server = start_realtime("--idle-seconds", "1")
    async with connected(server, sign("anon")) as client:
        beats = [time.monotonic()]
        while beats[-1] - beats[0] < 2 and not client.websocket.closed:
            await client.push("phoenix", "heartbeat", {})
            with contextlib.suppress(TypeError):  # closed: no frame, but the reason of the end
                await client.until("phx_reply")
            await asyncio.sleep(0.1)
            beats.append(time.monotonic())
        longest = max(later - earlier for earlier, later in itertools.pairwise(beats))
        assert not client.websocket.closed or longest > 0.5, "only a machine that stood still excuses an end"
        if not client.websocket.closed:
            assert (await client.websocket.receive(timeout=PATIENCE_SECONDS)).type is aiohttp.WSMsgType.CLOSE
    assert Options("", "").idle_seconds == 65


def test_another_servers_schema_is_left_alone(realtime: Any, start_realtime: Callable[..., Any]) -> None:
    """A server that is pointed to a real project's database ends, and says why; no function of it is replaced."""
    foreign = "create or replace function realtime.send(payload jsonb, event text, topic text, private boolean) {}"
    body = "returns void language sql as $$ select 'theirs' $$"
    realtime.sql("create database somebody_elses")
    dsn = make_conninfo(realtime.dsn, dbname="somebody_elses")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"create schema realtime; {foreign.format(body)}")
        with pytest.raises(AssertionError, match="the schema realtime of this database is another server's"):
            start_realtime(dsn=dsn)
        [source] = connection.execute("select prosrc from pg_proc where proname = 'send'").fetchone()
        others = connection.execute("select count(*) from pg_class where relnamespace = 'realtime'::regnamespace")
        assert (source.strip(), others.fetchone()) == ("select 'theirs'", (0,))


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
        await one.receive(timeout=PATIENCE_SECONDS)
        await two.receive(timeout=PATIENCE_SECONDS)
        realtime.sql("""select realtime.send('{"id":"x"}', 'ev', 't', false)""")
        as_json = json.loads((await one.receive(timeout=PATIENCE_SECONDS)).data)["payload"]
        frame = (await two.receive(timeout=PATIENCE_SECONDS)).data
        await one.close()
        await two.close()
    meta = json.dumps(as_json["meta"], separators=(",", ":")).encode()
    assert as_json["payload"] == {"id": "x"}
    assert frame == bytes([4, 10, 2, len(meta), 1]) + b"realtime:t" + b"ev" + meta + b'{"id": "x"}'


async def test_a_server_that_waits_for_its_database_ends_when_it_is_asked_to(tmp_path: Path):
    """It does not listen first, as it would after a while."""
    log = tmp_path / "log"
    nowhere = {"REALTIME_JWT_SECRET": SECRET, "REALTIME_DSN": "host=127.0.0.1 port=1 user=x dbname=x"}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "listener.local.realtime", "--port", "0"],
            env={**os.environ, **nowhere},
            stdout=output,
            stderr=output,
        )
        try:
            until(lambda: b"replication_lost" in log.read_bytes(), "it waits for the database")
            process.terminate()
            await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    assert process.returncode == 0
    assert b"realtime_listening" not in log.read_bytes()
