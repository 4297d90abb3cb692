"""Clients see the recorded messages while Realtime or PostgreSQL is away, and after a connection went dead."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the player's
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from faulty_proxy import Mode, TcpRoad, running_proxy
from mortal_parts import Mortal, Postgres, Road, anything_answers
from patience import until
from recording_player import Player
from recordings import insertion, token

from listener.local.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

pytestmark = pytest.mark.stack

TABLES = (Path(__file__).parent / "tables.sql").read_text()
HEARTBEAT = json.dumps({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": None})
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    "Sec-WebSocket-Version": "13",
}
KILLED_FROM_OUTSIDE = {
    "h_js_kill_short": {7000: "SERVER DOWN -9", 12000: "SERVER UP"},
    "h_js_kill_long": {7000: "SERVER DOWN -9", 50000: "SERVER UP"},
}
"""Fields that those recordings do not note."""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[], int]) -> Iterator[Postgres]:
    """Run a PostgreSQL that no other test uses."""
    folder = tmp_path_factory.mktemp("postgres")
    postgres = Postgres(folder, free_ports())
    postgres.make()
    yield postgres
    postgres.stop()
    StateFolder.at(folder).discard_outside()


@pytest.fixture(scope="module")
def mortal(
    start_realtime: Callable[..., Any], free_ports: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mortal]:
    """Run a server behind a gateway of its own."""
    mortal, folder = Mortal(start_realtime, free_ports()), tmp_path_factory.mktemp("gateway")
    environment = {
        "GATEWAY_PORT": str(mortal.road.port),
        "GATEWAY_KEYS": json.dumps({mortal.road.key: token("anon")}),
        "GATEWAY_REST_SOCKET": str(folder / "nobody"),
        "GATEWAY_AUTH_SOCKET": str(folder / "nobody"),
        "GATEWAY_REALTIME_PORT": str(mortal.server.port),
    }
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "listener.local.gateway"]
        gateway = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    until(lambda: anything_answers(mortal.road.url()), "the gateway answers")
    yield mortal
    gateway.terminate()
    gateway.wait(timeout=10)


def in_thread(act: Callable[[Player], Any]) -> Callable[[Player], Awaitable[None]]:
    """Let an act wait without holding up the sockets."""

    async def run(player: Player) -> None:
        await asyncio.to_thread(act, player)

    return run


def insert_lost(player: Player) -> None:
    """Insert the rows that no client of the recording received."""
    player.server.sql(insertion(player.lost(), "r"))


def is_healthy(server: Any) -> bool:
    """Return whether changes flow to a server."""
    return httpx.get(server.url("/health")).is_success


@pytest.mark.parametrize("name", ["h_kill9_short", "h_kill9_long", "h_term_short", "h_js_kill_short", "h_js_kill_long"])
async def test_clients_of_a_server_that_dies_see_what_was_recorded(
    name: str, realtime: Any, mortal: Mortal, scene: Any
) -> None:
    """No close frame where it was killed, 1012 where it was asked to end; 502 while it is away; then all anew.

    Commits made meanwhile are delivered to nobody.
    """

    def start_too_late(player: Player) -> None:
        insert_lost(player)
        mortal.start_again()

    acts = {
        "SERVER DOWN -9": in_thread(lambda _: mortal.end(signal.SIGKILL)),
        "SERVER DOWN -TERM": in_thread(lambda _: mortal.end(signal.SIGTERM)),
        "SERVER UP": in_thread(start_too_late),
    }
    player = Player(name, scene(acts=acts, happens=KILLED_FROM_OUTSIDE.get(name, {}), inserts=500), mortal.road)
    await player.play()
    assert player.differences() == {}


async def test_a_server_that_dies_within_a_handshake_is_a_bad_gateway_too(realtime: Any, mortal: Mortal) -> None:
    """As one that is away: a client that got no answer at all could not distinguish a dead server from a dead line."""
    mortal.end(signal.SIGKILL)
    port = mortal.server.port
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port):
        answer = await asyncio.to_thread(
            httpx.get, mortal.road.url("/realtime/v1/websocket?apikey="), headers=HANDSHAKE
        )
    mortal.start_again()
    assert answer.status_code == 502


def interruption(postgres: Postgres, *servers: Any) -> dict[str, Callable[[Player], Awaitable[None]]]:
    """Return the acts at the notes of a PostgreSQL that goes and comes back."""

    def stop(_: Player) -> None:
        postgres.stop()
        until(lambda: not any(map(is_healthy, servers)), "Realtime has noticed")

    async def start(player: Player) -> None:
        """Hold Realtime while rows are inserted that it must be too late for."""
        first = servers[0].process
        first.send_signal(signal.SIGSTOP)
        try:
            postgres.start()
            insert_lost(player)
        finally:
            first.send_signal(signal.SIGCONT)
        until(lambda: is_healthy(servers[0]), "Realtime streams again")

    away, back = in_thread(stop), start  # not in a thread: PostgreSQL ends with the thread that started it
    return {"SERVER DOWN": away, "PG STOP": away, "SERVER UP": back, "PG START": back}


@pytest.fixture(scope="module")
def beside_it(postgres: Postgres, start_realtime: Callable[..., Any]) -> Any:
    """Run a server on that PostgreSQL."""
    return start_realtime(dsn=postgres.dsn)


async def test_a_restart_of_postgresql_shows_in_nothing_but_silence(
    postgres: Postgres, beside_it: Any, scene: Any
) -> None:
    """The socket stays, heartbeats are answered, no frame reports it, and what was committed meanwhile is lost."""
    postgres.do(TABLES)
    player = Player("h_pg_restart", scene(acts=interruption(postgres, beside_it), inserts=500), beside_it)
    await player.play()
    assert player.differences() == {}


async def test_a_database_that_is_away_longer_refuses_joins_and_then_sockets(
    postgres: Postgres, beside_it: Any, start_realtime: Callable[..., Any], scene: Any
) -> None:
    """A subscriber receives again afterwards; a join is refused meanwhile, and later a handshake, with 500.

    The third socket of the recording comes after the project is forgotten: it goes to a server that forgets sooner.
    """
    postgres.do(TABLES)
    forgetful = start_realtime("--remembered-seconds", "0.1", dsn=postgres.dsn)

    def forget(_: Player) -> None:
        until(lambda: httpx.get(forgetful.url()).status_code == 500, "the project is forgotten")

    acts = {**interruption(postgres, beside_it, forgetful), "forgotten": in_thread(forget)}
    player = Player("h4_pg_down_70s", scene(acts=acts, happens={46000: "forgotten"}, inserts=500), beside_it)
    player.server_of[3] = forgetful
    await player.play()
    assert player.differences() == {}


def dead_line(proxy: Any) -> dict[str, Callable[[Player], Awaitable[None]]]:
    """Return the acts at the notes of a line that goes dead for those who are connected."""

    async def die(player: Player) -> None:
        proxy.mode = Mode.HALF_OPEN
        await asyncio.to_thread(insert_lost, player)

    async def recover(_: Player) -> None:
        proxy.mode = Mode.PASS

    return {"BLACKHOLE on": die, "BLACKHOLE off": recover, "off": recover}


def is_unseen(line: dict[str, Any]) -> bool:
    """Report a line that only the far end of a dead line saw."""
    return line.get("conn") == 1 and line["text"].startswith("server closed")


async def test_a_client_that_gives_a_dead_line_up_hears_again_once_handshakes_get_through(
    realtime: Any, scene: Any
) -> None:
    """Until then every handshake is swallowed; what was sent into the line is lost."""
    async with running_proxy(TcpRoad(to_port=realtime.port)) as proxy:
        road = Road(realtime, proxy.port)
        player = Player("h_js_blackhole", scene(acts=dead_line(proxy), ignored=is_unseen, inserts=500), road)
        await player.play()
    assert player.differences() == {}


async def test_a_server_closes_a_dead_line_for_its_silence_and_its_client_never_knows(
    realtime: Any, start_realtime: Callable[..., Any], scene: Any
) -> None:
    """The client's heartbeats do not get through; its next socket receives again."""
    server = start_realtime("--idle-seconds", "3")

    async def beat(player: Player) -> None:
        await player.sockets[1].send_str(HEARTBEAT)

    def wait_for_the_end(_: Player) -> None:
        until(lambda: not httpx.get(server.url("/health")).json()["connected_clients"], "the server has closed it")

    happens = {25061: "beat", 66066: "the server closes"}
    async with running_proxy(TcpRoad(to_port=server.port)) as proxy:
        acts = {**dead_line(proxy), "beat": beat, "the server closes": in_thread(wait_for_the_end)}
        road = Road(server, proxy.port)
        player = Player("h6_py_blackhole", scene(acts=acts, happens=happens, ignored=is_unseen, inserts=500), road)
        await player.play()
    assert player.differences() == {}
