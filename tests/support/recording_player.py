"""A player that has the same said to a server as a recording has, and compares what it answers.

Each line is followed as soon as the answers that the recording has before it have come. Compared are frames, their
order on each topic, the status of each handshake, and with which code and reason a socket was closed; times are not.
"""

from __future__ import annotations

import ast
import asyncio  # noqa: TID251 - aiohttp knows nothing else
import base64
import contextlib
import itertools
import json
import re
import socket
import struct
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import jwt
from recordings import (
    ABNORMAL,
    CLOSED,
    SECRET,
    TOKEN,
    UNTOLD,
    Line,
    comparable,
    fates,
    frame_of,
    inserted,
    insertions,
    issued,
    lacks,
    lines_of,
    note,
    now,
    topic_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = 10.0
SETTLE_SECONDS = 0.15  # in which a frame too many would arrive
NOBODY_SECONDS = 0.02  # in which a handshake that was swallowed is given up
NONE_GIVEN = "1005"  # a close frame without a code


class Server(Protocol):
    """Where a recording is played to."""

    def url(self, path: str = "/realtime/v1/websocket") -> str:
        """Return an address of it."""
        ...

    def sql(self, statements: str) -> None:
        """Have its database do something."""
        ...


@dataclass
class Scene:
    """Facts that a recording lacks, or that belong to the real server's own timing.

    Args:
        hidden_sql: statements by moment, in milliseconds.
        instead: statements by note.
        happens: further notes by moment.
        acts: what is done at a note, by its first words.
        ignored: lines to leave out.
        rewritten: changes what the recording expects.
        faster: tokens that expire during the recording do so this many times sooner.
        inserts: rows that the recording reports are inserted before it does, so many in a transaction; 0 for none.
        is_loose: changes and other frames may overtake one another.
    """

    hidden_sql: dict[float, str] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    happens: dict[float, str] = field(default_factory=dict)
    acts: dict[str, Callable[[Player], Awaitable[None]]] = field(default_factory=dict)
    ignored: Callable[[Line], bool] = lambda _: False
    rewritten: Callable[[str], str] = lambda frame: frame
    faster: float = 1.0
    inserts: int = 0
    is_loose: bool = False


class Player:
    """Plays one recording and keeps what came back. `server_of` names the server of a socket that has another one."""

    def __init__(self, name: str, scene: Scene, server: Server) -> None:
        self.server, self.scene = server, scene
        self.server_of: dict[int, Server] = {}
        self._lines = [line for line in lines_of(name) if not scene.ignored(line)]
        self._lines += [note(t, f"SQL: {sql}") for t, sql in scene.hidden_sql.items()]
        self._lines += [note(t, text) for t, text in scene.happens.items()]
        self._lines += list(insertions(self._lines, scene.inserts)) if scene.inserts else []
        self._lines.sort(key=lambda line: line["t_ms"])
        self._began = max(issued(line) - line["t_ms"] / 1000 for line in self._lines if TOKEN.search(line["text"]))
        self._ends = self._began + self._lines[-1]["t_ms"] / 1000
        self._signed_again: dict[str, str] = {}
        self.sockets: dict[int, aiohttp.ClientWebSocketResponse] = {}
        self._readers: dict[int, asyncio.Task[None]] = {}
        self.expected: dict[int, list[str]] = defaultdict(list)
        self.received: dict[int, list[str]] = defaultdict(list)
        self._expected_fates = dict(fates(self._lines))
        self._fates: dict[str, str] = {}

    async def play(self) -> None:
        """Play to the end; every line waits for the answers that the recording has before it."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as readers:
            try:
                for line in self._lines:
                    await self._follow(line, session, readers)
                await self._caught_up()
                await asyncio.sleep(SETTLE_SECONDS)
            finally:
                for number in self.sockets:
                    await self._abort(number)

    def lost(self) -> list[int]:
        """Return the ids of the rows that were inserted and that no socket received."""
        heard = [row["id"] for line in self._lines if (row := inserted(line))]
        return sorted(set(range(1, max(heard))) - set(heard))

    def differences(self) -> dict[str, Any]:
        """Return, by socket and topic, what should have come and did not, and what should not have."""
        found: dict[str, Any] = {}
        for number in sorted(self.expected.keys() | self.received.keys()):
            wanted, seen = self._sorted(self.expected[number]), self._sorted(self.received[number])
            for topic in sorted(wanted.keys() | seen.keys()):
                recorded, received = Counter(wanted.get(topic, [])), Counter(seen.get(topic, []))
                if wanted.get(topic) != seen.get(topic):
                    faults = {"missing": [*(recorded - received)], "too many": [*(received - recorded)]}
                    found[f"{number} {topic}"] = faults if any(faults.values()) else "out of order"
        for what in self._expected_fates.keys() | self._fates.keys():
            if self._expected_fates.get(what) != self._fates.get(what):
                found[what] = {"recorded": self._expected_fates.get(what), "seen": self._fates.get(what)}
        return found

    async def _follow(self, line: Line, session: aiohttp.ClientSession, readers: asyncio.TaskGroup) -> None:
        if line["dir"] == "s>c":
            self.expected[line["conn"]].append(self.scene.rewritten(frame_of(line)))
        else:
            await self._caught_up()
            await self._act(line, session, readers)

    async def _act(self, line: Line, session: aiohttp.ClientSession, readers: asyncio.TaskGroup) -> None:
        number = line.get("conn", 0)
        if line["dir"] == "note":
            await self._do(line["text"])
        elif line["dir"] == "c>s":
            await self._say(number, self._signed_anew(line), is_binary=line.get("bin", False))
        elif line["text"].startswith("GET "):
            await self._connect(number, self._signed_anew(line).split()[1], session, readers)
        elif found := CLOSED.match(line["text"]):
            await self._close(number, found[1], found[2], ast.literal_eval(found[3]) or "")

    async def _do(self, reported: str) -> None:
        for words, act in self.scene.acts.items():
            if reported.startswith(words):
                await act(self)
        statement = self.scene.instead.get(reported) or (reported[5:] if reported.startswith("SQL: ") else None)
        for each in statement.split(";;") if statement else ():
            await asyncio.to_thread(self.server.sql, each)

    async def _say(self, number: int, text: str, *, is_binary: bool) -> None:
        if is_binary:
            await self.sockets[number].send_bytes(base64.b64decode(text))
        else:
            with contextlib.suppress(ConnectionError):  # as the recorded clients, which did not know yet
                await self.sockets[number].send_str(text)

    async def _connect(
        self, number: int, target: str, session: aiohttp.ClientSession, readers: asyncio.TaskGroup
    ) -> None:
        url, what = self.server_of.get(number, self.server).url(target), f"{number} status"
        is_swallowed = what not in self._expected_fates
        try:
            async with asyncio.timeout(NOBODY_SECONDS if is_swallowed else PATIENCE_SECONDS):
                self.sockets[number] = await session.ws_connect(url, autoclose=False)
        except aiohttp.WSServerHandshakeError as fault:
            self._fates[what] = str(fault.status)
        except TimeoutError:
            assert is_swallowed, f"no answer to {number}"
        else:
            self._fates[what] = "101"
            self._readers[number] = readers.create_task(self._read(number))

    async def _close(self, number: int, closer: str, code: str, reason: str) -> None:
        """Close as the client did; where the server was the first to close, or answered, wait until it does."""
        reader = self._readers[number]
        if closer == "client" and not reader.done():
            if code in UNTOLD or f"{number} closed" not in self._expected_fates:
                await self._abort(number)
            else:
                body = b"" if code == NONE_GIVEN else struct.pack("!H", int(code)) + reason.encode()
                await self.sockets[number].send_frame(body, aiohttp.WSMsgType.CLOSE)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait([reader])

    async def _abort(self, number: int) -> None:
        """Be gone without a word."""
        if not self._readers[number].done():
            self._readers[number].cancel()
            with contextlib.suppress(OSError):
                self.sockets[number].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        await self.sockets[number].close()

    async def _read(self, number: int) -> None:
        websocket = self.sockets[number]
        while True:
            message = await websocket.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    self.received[number].append(message.data)
                case aiohttp.WSMsgType.BINARY:
                    self.received[number].append(f"binary {message.data!r}")
                case aiohttp.WSMsgType.CLOSE:
                    self._fates[f"{number} closed"] = f"{message.data} {message.extra!r}"
                    await websocket.close(code=message.data or aiohttp.WSCloseCode.OK)
                    return
                case _:
                    self._fates[f"{number} closed"] = f"{ABNORMAL} ''"
                    return

    async def _caught_up(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(lacks(self.received[number], frames) for number, frames in self.expected.items()):
            if time.monotonic() > deadline:
                raise AssertionError(json.dumps(self.differences(), indent=1))
            await asyncio.sleep(0.002)

    def _signed_anew(self, line: Line) -> str:
        moment = self._began + line["t_ms"] / 1000
        since = str(int((now() - 3600) * 1000))
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
            claims["exp"] = now() + left / (self.scene.faster if claims["exp"] <= self._ends else 1)
        return jwt.encode(claims, SECRET, algorithm="HS256")

    def _sorted(self, frames: list[str]) -> dict[str, list[str]]:
        """Return frames by topic, without what differs from run to run; topics do not wait for each other."""
        uuids = defaultdict(itertools.count().__next__)
        topics: dict[str, list[str]] = defaultdict(list)
        for frame in frames:
            kind = " changes" if self.scene.is_loose and '"ids":' in frame else ""
            topics[topic_of(frame) + kind].append(comparable(frame, uuids))
        return dict(topics)
