"""A Realtime server of this folder's own, on a database of its own, and a player of recorded conversations."""

from __future__ import annotations

import asyncio  # noqa: TID251 - sockets and readers of the player; aiohttp knows nothing else
import base64
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import jwt
import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from listener.local.stack import Stack

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
RECORDINGS = REPOSITORY.parent / "shared" / "realtime"
SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"  # noqa: S105 - the one of every local Supabase
PATIENCE_SECONDS = 5.0
SETTLE_SECONDS = 0.15  # in which a frame too many would arrive
TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")


@dataclass(frozen=True)
class RealtimeServer:
    """A running server and its database; `dsn` is the superuser's."""

    port: int
    dsn: str
    process: subprocess.Popen[bytes]

    def url(self, path: str = "/realtime/v1/websocket") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def sql(self, statements: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statements)


def _now() -> float:
    return datetime.now(UTC).timestamp()  # noqa: TID251 - tokens expire on the wall clock


def token(role: str, seconds: float = 3600, **claims: object) -> str:
    """Sign a token as the recordings' project would."""
    payload = {"role": role, "iss": "supabase", "exp": int(_now() + seconds), **claims}
    return jwt.encode(payload, SECRET, algorithm="HS256")


@pytest.fixture(scope="session")
def realtime_database(embedded_stack: Stack) -> str:
    """Make a database beside the stack's own, with what a Supabase project has; its DSN."""
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as connection:
        connection.execute("create database realtime_tests")
    dsn = embedded_stack.admin_dsn.replace("dbname=postgres", "dbname=realtime_tests")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute((REPOSITORY / "listener/local/bootstrap.sql").read_bytes())
        connection.execute("grant usage on schema public to anon, authenticated, service_role")
    return dsn


@pytest.fixture(scope="session")
def start_realtime(
    realtime_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., RealtimeServer]]:
    """Start servers with the options given; all are stopped in the end."""
    servers: list[RealtimeServer] = []

    def start(*options: str) -> RealtimeServer:
        server = _start(realtime_database, tmp_path_factory.mktemp("realtime") / "log", options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=5)


@pytest.fixture(scope="session")
def shared_realtime(start_realtime: Callable[..., RealtimeServer]) -> RealtimeServer:
    """Run one server for all tests that need no options."""
    return start_realtime()


@pytest.fixture
def realtime(shared_realtime: RealtimeServer) -> RealtimeServer:
    """Give the server with the recordings' tables, empty."""
    shared_realtime.sql((HERE / "tables.sql").read_text())
    return shared_realtime


def _start(dsn: str, log: Path, options: tuple[str, ...]) -> RealtimeServer:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "REALTIME_DSN": dsn, "REALTIME_JWT_SECRET": SECRET, "REALTIME_PORT": str(port)}
    command = [sys.executable, "-m", "listener.local.realtime", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    server = RealtimeServer(port, dsn, process)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(server.url("/health")).is_success:
                return server
        time.sleep(0.02)
    raise AssertionError(log.read_text())


@dataclass
class Scene:
    """What a recording does not say: statements at a moment (milliseconds), frames of the real server's own timing."""

    hidden_sql: dict[float, str] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)  # note → statement
    ignored: Callable[[dict[str, Any]], bool] = lambda _: False
    rewritten: Callable[[str], str] = lambda frame: frame  # of what the recording expects
    faster: float = 1.0  # tokens that expire during the recording do so this many times sooner


class Player:
    """Plays one recording against a server and keeps what came back."""

    def __init__(self, server: RealtimeServer, name: str, scene: Scene) -> None:
        self._server, self._scene = server, scene
        lines = [json.loads(line) for line in (RECORDINGS / f"{name}.jsonl").read_text().splitlines()]
        hidden = [{"t_ms": t, "dir": "note", "text": f"SQL: {sql}"} for t, sql in scene.hidden_sql.items()]
        self._lines = sorted(
            [line for line in lines if not scene.ignored(line)] + hidden, key=lambda line: line["t_ms"]
        )
        self._began = max(_issued(line) - line["t_ms"] / 1000 for line in self._lines if TOKEN.search(line["text"]))
        self._ends = self._began + self._lines[-1]["t_ms"] / 1000
        self._signed_again: dict[str, str] = {}
        self._sockets: dict[int, aiohttp.ClientWebSocketResponse] = {}
        self.expected: dict[int, list[str]] = defaultdict(list)
        self.received: dict[int, list[str]] = defaultdict(list)

    async def play(self) -> None:
        """Play to the end; every line waits for the answers that the recording has before it."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as readers:
            try:
                for line in self._lines:
                    await self._follow(line, session, readers)
                await self._caught_up()
                await asyncio.sleep(SETTLE_SECONDS)
            finally:
                for websocket in self._sockets.values():
                    await websocket.close()

    async def _follow(self, line: dict[str, Any], session: aiohttp.ClientSession, readers: asyncio.TaskGroup) -> None:
        if line["dir"] == "s>c":
            self.expected[line["conn"]].append(self._scene.rewritten(_frame(line)))
        else:
            await self._caught_up()
            await self._act(line, session, readers)

    async def _act(self, line: dict[str, Any], session: aiohttp.ClientSession, readers: asyncio.TaskGroup) -> None:
        text, number = self._signed_anew(line), line.get("conn", 0)
        if line["dir"] == "note":
            statement = self._scene.instead.get(text) or (text[5:] if text.startswith("SQL: ") else None)
            if statement:
                await asyncio.to_thread(self._run, statement)
        elif line["dir"] == "c>s":
            if line.get("bin"):
                await self._sockets[number].send_bytes(base64.b64decode(text))
            else:
                await self._sockets[number].send_str(text)
        elif text.startswith("GET "):
            self._sockets[number] = await session.ws_connect(self._server.url(text.split()[1]))
            readers.create_task(self._read(number))
        elif text.startswith("client closed code=1000"):
            await self._sockets[number].close()

    async def _read(self, number: int) -> None:
        async for message in self._sockets[number]:
            binary = message.type is aiohttp.WSMsgType.BINARY
            self.received[number].append(f"binary {message.data!r}" if binary else message.data)

    async def _caught_up(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(_lacks(self.received[number], frames) for number, frames in self.expected.items()):
            if time.monotonic() > deadline:
                raise AssertionError(json.dumps(self.differences(), indent=1))
            await asyncio.sleep(0.002)

    def _run(self, statement: str) -> None:
        for each in statement.split(";;"):
            self._server.sql(each)

    def _signed_anew(self, line: dict[str, Any]) -> str:
        moment = self._began + line["t_ms"] / 1000
        since = str(int((_now() - 3600) * 1000))
        text = re.sub(r'("since": )\d+', rf"\g<1>{since}", line["text"])
        return TOKEN.sub(lambda found: self._signed(found[0], moment), text)

    def _signed(self, original: str, moment: float) -> str:
        try:
            claims = jwt.decode(
                original, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False}
            )
        except jwt.InvalidTokenError:
            return original
        if original not in self._signed_again:
            self._signed_again[original] = self._renewed(claims, moment)
        return self._signed_again[original]

    def _renewed(self, claims: dict[str, Any], moment: float) -> str:
        if "exp" in claims:
            left = claims["exp"] - moment
            claims["exp"] = _now() + left / (self._scene.faster if claims["exp"] <= self._ends else 1)
        return jwt.encode(claims, SECRET, algorithm="HS256")

    def differences(self) -> dict[str, Any]:
        """Return, by socket and topic, frames that should have come and did not, and those that should not have."""
        found = {}
        for number, frames in self.expected.items():
            wanted, seen = Player.sorted(frames), Player.sorted(self.received[number])
            for topic in sorted(wanted.keys() | seen.keys()):
                recorded, received = Counter(wanted.get(topic, [])), Counter(seen.get(topic, []))
                if wanted.get(topic) != seen.get(topic):
                    faults = {"missing": [*(recorded - received)], "too many": [*(received - recorded)]}
                    found[f"{number} {topic}"] = faults if any(faults.values()) else "out of order"
        return found

    @staticmethod
    def sorted(frames: list[str]) -> dict[str, list[str]]:
        """Return frames by topic, without what differs from run to run; topics do not wait for each other."""
        uuids = defaultdict(itertools.count().__next__)
        topics: dict[str, list[str]] = defaultdict(list)
        for frame in frames:
            topics[_topic(frame)].append(_comparable(frame, uuids))
        return dict(topics)


@pytest.fixture
def play(realtime: RealtimeServer) -> Callable[..., Any]:
    """Play a recording; returns the player."""

    async def player(name: str, scene: Scene | None = None, server: RealtimeServer | None = None) -> Player:
        player = Player(server or realtime, name, scene or Scene())
        await player.play()
        return player

    return player


def _issued(line: dict[str, Any]) -> float:
    claims = [jwt.decode(found, options={"verify_signature": False}) for found in TOKEN.findall(line["text"])]
    return max((each["iat"] for each in claims if "iat" in each), default=0)


def _lacks(received: list[str], wanted: list[str]) -> bool:
    return len(received) < len(wanted) or bool(Counter(map(_topic, wanted)) - Counter(map(_topic, received)))


def _frame(line: dict[str, Any]) -> str:
    return f"binary {base64.b64decode(line['text'])!r}" if line.get("bin") else line["text"]


def _topic(frame: str) -> str:
    if frame.startswith("binary"):
        return "binary"
    message = json.loads(frame)
    return str(message["topic"] if isinstance(message, dict) else message[2])


def _comparable(frame: str, uuids: dict[str, int]) -> str:
    frame = re.sub(r'"ids":\[([\d,]+)\]', lambda found: f'"ids":{sorted(found[1].split(","))}', frame)
    frame = re.sub(r'"commit_timestamp":"[-\d]{10}T[:\d]{8}\.\d{3}Z"', '"commit_timestamp":"T"', frame)
    frame = re.sub(r'"created_at": "[-\d]{10}T[:\d]{8}(\.\d{1,6})?\+00:00"', '"created_at": "T"', frame)
    frame = re.sub(r'"phx_ref":"[\w-]{16}"', '"phx_ref":"R"', frame)
    frame = re.sub(r"has expired \d+ seconds", "has expired N seconds", frame)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda found: f"uuid{uuids[found[0]]}", frame)


@pytest.fixture
def scene() -> type[Scene]:
    """Give the class, which a test cannot import: tests are no package."""
    return Scene


@pytest.fixture
def sign() -> Callable[..., str]:
    """Give `token`."""
    return token
