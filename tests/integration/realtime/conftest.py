"""A Realtime server of this folder's own, on a database of its own, and a player of recorded conversations."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from given_stack import needs_embedded
from psycopg.conninfo import make_conninfo
from recording_player import Player, Scene
from recordings import SECRET, token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from listener.local.stack import Stack

HERE = Path(__file__).parent
START_SECONDS = 60.0
REPOSITORY = HERE.parents[2]


@dataclass(frozen=True)
class RealtimeServer:
    """A running server and its database; `dsn` is the superuser's."""

    port: int
    dsn: str
    process: subprocess.Popen[bytes]
    log: Path

    def url(self, path: str = "/realtime/v1/websocket") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def sql(self, statements: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statements)


@pytest.fixture(scope="session")
def realtime_database(embedded_stack: Stack) -> str:
    """Make a database beside the stack's own, with what a Supabase project has; its DSN."""
    needs_embedded(embedded_stack, "it is a test of the embedded Realtime server")
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as connection:
        connection.execute("create database realtime_tests")
    dsn = make_conninfo(embedded_stack.admin_dsn, dbname="realtime_tests")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute((REPOSITORY / "listener/local/bootstrap.sql").read_bytes())
        connection.execute("grant usage on schema public to anon, authenticated, service_role")
    return dsn


@pytest.fixture(scope="session")
def start_realtime(
    realtime_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., RealtimeServer]]:
    """Start servers with the options given; all are stopped in the end.

    Tests make tables anew: by default the servers do not look at what is published, and do not deliver it.
    """
    servers: list[RealtimeServer] = []

    def start(*options: str, dsn: str = realtime_database, port: int = 0) -> RealtimeServer:
        options = ("--tables-check-seconds", "86400", *options)
        server = _start(dsn, tmp_path_factory.mktemp("realtime") / "log", options, port or free_port())
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=20)


@pytest.fixture(scope="session")
def shared_realtime(start_realtime: Callable[..., RealtimeServer]) -> RealtimeServer:
    """Run one server for all tests that need no options."""
    return start_realtime()


@pytest.fixture
def realtime(shared_realtime: RealtimeServer) -> RealtimeServer:
    """Give the server with the recordings' tables, empty."""
    shared_realtime.sql((HERE / "tables.sql").read_text())
    return shared_realtime


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _start(dsn: str, log: Path, options: tuple[str, ...], port: int) -> RealtimeServer:
    environment = {**os.environ, "REALTIME_DSN": dsn, "REALTIME_JWT_SECRET": SECRET, "REALTIME_PORT": str(port)}
    command = [sys.executable, "-m", "listener.local.realtime", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    server = RealtimeServer(port, dsn, process, log)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(server.url("/health")).is_success:
                return server
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise AssertionError(log.read_text())


@pytest.fixture
def play(realtime: RealtimeServer) -> Callable[..., Any]:
    """Play a recording; returns the player."""

    async def player(name: str, scene: Scene | None = None, server: RealtimeServer | None = None) -> Player:
        player = Player(name, scene or Scene(), server or realtime)
        await player.play()
        return player

    return player


@pytest.fixture(scope="session")
def free_ports() -> Callable[[], int]:
    """Give `free_port`."""
    return free_port


@pytest.fixture
def scene() -> type[Scene]:
    """Give the class."""
    return Scene


@pytest.fixture
def sign() -> Callable[..., str]:
    """Give `token`."""
    return token
