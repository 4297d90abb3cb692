"""The frames of `n_more_real_frames`, and clients by name that have a server say them again."""

from __future__ import annotations

import asyncio  # noqa: TID251 - aiohttp knows nothing else
import contextlib
import itertools
import json
import re
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import aiohttp
from recordings import comparable, lines_of, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE_SECONDS = 20.0
SETTLE_SECONDS = 0.15  # in which a frame too many would arrive
NOTE = "note"
CUT = "…["  # the recording leaves the rest of a long frame out
PAYLOAD = '"payload":'
NO_JSON = "notjson"  # a payload that old clients get within a frame


def frames(scenario: str) -> dict[str, list[str]]:
    """Return what the real server sent in a scenario, by connection; runs of `x` at their full length."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in lines_of("n_more_real_frames"):
        if line["scenario"] == scenario:
            found[line["conn"]].append(re.sub(r"x\*(\d+)", lambda run: "x" * int(run[1]), line["text"]))
    return dict(found)


class Clients:
    """Sockets by name, and the frames that each has received."""

    def __init__(self, server: Any, session: aiohttp.ClientSession, readers: asyncio.TaskGroup) -> None:
        self.server, self._session, self._readers = server, session, readers
        self._sockets: dict[str, aiohttp.ClientWebSocketResponse] = {}
        self.received: dict[str, list[str]] = defaultdict(list)

    async def connect(self, name: str, role: str = "service_role", *, vsn: str = "1.0.0", **claims: object) -> None:
        """Open a socket with a token of a role."""
        params = {"apikey": token(role, **claims), "vsn": vsn}
        socket = await self._session.ws_connect(self.server.url(), params=params, max_msg_size=0)
        self._sockets[name] = socket
        self._readers.create_task(self._read(name, socket))

    async def send(self, name: str, frame: str | bytes) -> None:
        """Send a frame as it is."""
        if isinstance(frame, str):
            await self._sockets[name].send_str(frame)
        else:
            await self._sockets[name].send_bytes(frame)

    async def push(self, name: str, topic: str, event: str, payload: object, ref: str) -> None:
        """Send a push of vsn 1.0.0 to a topic, given without its `realtime:`."""
        push = {"topic": f"realtime:{topic}", "event": event, "payload": payload, "ref": ref, "join_ref": ref}
        await self.send(name, json.dumps(push))

    async def join(self, name: str, topic: str, payload: object, ref: str = "1") -> None:
        """Join a topic, and wait for one frame at least."""
        before = len(self.received[name])
        await self.push(name, topic, "phx_join", payload, ref)
        await self.has(name, before + 1)

    async def has(self, name: str, count: int) -> None:
        """Wait until a client has received so many frames in all."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.received[name]) < count:
            assert time.monotonic() < deadline, f"{name} has not {count} frames: {self.received[name]}"
            await asyncio.sleep(0.002)

    async def sql(self, *statements: str) -> None:
        """Have the server's database do something, a transaction each."""
        for statement in statements:
            await asyncio.to_thread(self.server.sql, statement)

    async def leave(self, name: str) -> None:
        """Close a socket."""
        await self._sockets[name].close()

    async def check(self, scenario: str, *, is_loose: bool = False) -> None:
        """Compare what came with what the real server sent; `is_loose` where replies and events overtake each other."""
        wanted = {name: texts for name, texts in frames(scenario).items() if name != NOTE}
        for name, texts in wanted.items():
            await self.has(name, len(texts))
        await asyncio.sleep(SETTLE_SECONDS)
        for name in sorted(wanted.keys() | self.received.keys()):
            recorded, received = _pair(wanted.get(name, []), self.received[name])
            if is_loose:
                recorded, received = sorted(recorded), sorted(received)
            missing, too_many = Counter(recorded) - Counter(received), Counter(received) - Counter(recorded)
            assert recorded == received, f"{name}: missing {[*missing]}, too many {[*too_many]}, or out of order"

    async def _read(self, name: str, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            text = message.data if message.type is aiohttp.WSMsgType.TEXT else f"BIN {message.data!r}"
            self.received[name].append(text)

    async def close(self) -> None:
        """Close every socket."""
        for socket in self._sockets.values():
            await socket.close()


@contextlib.asynccontextmanager
async def clients_of(server: Any) -> AsyncIterator[Clients]:
    """Give clients of a server, and close them afterwards."""
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as readers:
        clients = Clients(server, session, readers)
        try:
            yield clients
        finally:
            await clients.close()


def _pair(recorded: list[str], received: list[str]) -> tuple[list[str], list[str]]:
    """Return both without what differs from run to run; of a frame that was cut, the payload as far as it was kept."""
    kept, seen = list(recorded), list(received)
    for index, text in enumerate(recorded[: len(received)]):
        if CUT in text:
            kept[index] = text[text.index(PAYLOAD) :].partition(CUT)[0]
            seen[index] = received[index].partition(PAYLOAD)[2][: len(kept[index]) - len(PAYLOAD)]
            seen[index] = PAYLOAD + seen[index]
    return _comparable(kept), _comparable(seen)


def _comparable(texts: list[str]) -> list[str]:
    uuids: dict[str, int] = defaultdict(itertools.count().__next__)
    return [_sorted(comparable(_ids_sorted(text), uuids)) for text in texts]


def _ids_sorted(text: str) -> str:
    return re.sub(r'"ids":\[([\d,]+)\]', lambda found: f'"ids":"{sorted(found[1].split(","))}"', text)


def _sorted(frame: str) -> str:
    """Return a frame with its keys in one order; numbers as they were written, and what is no JSON as it is."""
    try:
        message = json.loads(frame.replace(NO_JSON, f'"{NO_JSON}"'), parse_float=lambda digits: f"float {digits}")
    except ValueError:
        return frame
    return json.dumps(message, sort_keys=True, ensure_ascii=False)
