"""A websocket road to a Realtime server that mistreats frames: garbage, doubles, disorder, losses, late joins."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import websockets.asyncio.client
import websockets.asyncio.server
from websockets.exceptions import ConnectionClosed, InvalidHandshake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from random import Random

    from websockets.asyncio.connection import Connection

EVENTS = {"postgres_changes", "broadcast"}
"""The frames that carry changes: only these are doubled, disordered and lost."""
GARBAGE = ("{", "[]", '{"topic":7}', "null", '{"topic":"phoenix","event":"system","payload":[],"ref":null}')


@dataclass
class Mischief:
    """Faults of frames on their way to the client; shares are from 0 to 1."""

    dropped_share: float = 0.0
    doubled_share: float = 0.0
    reordered_share: float = 0.0
    join_delay_seconds: float = 0.0
    swallows: bool = False
    """Nothing passes any more in either direction, and the socket stays open."""


@dataclass(eq=False)
class _Socket:
    near: Connection
    joins: dict[str, str | None] = field(default_factory=dict)
    held_back: str | None = None
    is_stale: bool = False
    unwanted: Callable[[str, str], bool] = lambda *_: False


class FaultyRealtime:
    """A proxy of websockets.

    Args:
        to_port: the Realtime server's, on loopback.
        chance: decides which frames are mistreated.
    """

    def __init__(self, to_port: int, chance: Random) -> None:
        self._to_port, self._chance = to_port, chance
        self.mischief = Mischief()
        self._sockets: set[_Socket] = set()
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[FaultyRealtime]:
        """Serve until the block is left."""
        serve = websockets.asyncio.server.serve(
            self._carry, "127.0.0.1", port, compression=None, ping_interval=None, max_size=None
        )
        async with serve as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self
            server.close()

    def mark_stale(self) -> None:
        """Make every present socket stale and dumb for good: the peer is gone and its end was never received of."""
        for each in self._sockets:
            each.is_stale = True

    def drop_from_now_on(self, unwanted: Callable[[str, str], bool]) -> None:
        """Drop frames of every present socket for good, those whose topic and event are `unwanted`."""
        for each in self._sockets:
            each.unwanted = unwanted

    def cut(self) -> None:
        """Break every socket without a word."""
        for each in list(self._sockets):
            each.near.transport.abort()

    async def notify_channels(self, event: str, payload: dict[str, Any], *, is_about_join: bool = False) -> None:
        """Send a frame of the server's to every channel; `is_about_join` names the join that it is about."""
        for each in list(self._sockets):
            for topic, ref in dict(each.joins).items():
                with contextlib.suppress(ConnectionClosed):
                    await each.near.send(_frame(topic, event, payload, ref if is_about_join else None))

    async def send_garbage(self) -> None:
        """Send frames that are invalid to every socket."""
        for each in list(self._sockets):
            with contextlib.suppress(ConnectionClosed):
                for frame in GARBAGE:
                    await each.near.send(frame)

    async def expire_tokens(self) -> None:
        """Close every channel as the server does when the token of its join has expired."""
        for each in list(self._sockets):
            for topic, ref in dict(each.joins).items():
                reported = {"channel": topic.removeprefix("realtime:"), "extension": "system", "status": "error"}
                reported["message"] = "Token has expired 1 seconds ago"
                with contextlib.suppress(ConnectionClosed):
                    await each.near.send(_frame(topic, "system", reported, None))
                    await each.near.send(_frame(topic, "phx_close", {}, ref))

    async def _carry(self, near: Connection) -> None:
        path = near.request.path if near.request else "/"
        url = f"ws://127.0.0.1:{self._to_port}{path}"
        each = _Socket(near)
        self._sockets.add(each)
        try:
            async with (
                websockets.asyncio.client.connect(url, compression=None, ping_interval=None, max_size=None) as far,
                anyio.create_task_group() as both,
            ):
                both.start_soon(self._up, each, far, both.cancel_scope)
                both.start_soon(self._down, each, far, both.cancel_scope)
        except (OSError, InvalidHandshake, TimeoutError, ConnectionClosed):
            pass  # the server is not there: so is the road
        finally:
            self._sockets.discard(each)

    async def _up(self, each: _Socket, far: Connection, scope: anyio.CancelScope) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in each.near:
                if self.mischief.swallows or each.is_stale:
                    continue
                await self._note_join(each, frame)
                await far.send(frame)
        scope.cancel()

    async def _note_join(self, each: _Socket, frame: str | bytes) -> None:
        read = _read(frame)
        if read and read[1] == "phx_join":
            each.joins[read[0]] = read[2]
            if self.mischief.join_delay_seconds:
                await anyio.sleep(self.mischief.join_delay_seconds)

    async def _down(self, each: _Socket, far: Connection, scope: anyio.CancelScope) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in far:
                if not (self.mischief.swallows or each.is_stale):
                    for one in self._mistreated(each, frame):
                        await each.near.send(one)
        if each.is_stale:
            await anyio.sleep_forever()
        scope.cancel()

    def _mistreated(self, each: _Socket, frame: str | bytes) -> list[str | bytes]:
        """Give the frames to send now in place of `frame`."""
        read = _read(frame)
        if read and each.unwanted(read[0], read[1]):
            return []
        if read is None or read[1] not in EVENTS:
            return [frame]
        if self._chance.random() < self.mischief.dropped_share:
            return []
        if each.held_back is not None:
            held, each.held_back = each.held_back, None
            return [frame, held]
        if isinstance(frame, str) and self._chance.random() < self.mischief.reordered_share:
            each.held_back = frame
            return []
        return [frame, frame] if self._chance.random() < self.mischief.doubled_share else [frame]


def _read(frame: str | bytes) -> tuple[str, str, str | None] | None:
    """Give topic, event and join_ref of a text frame, in either version of the protocol."""
    if isinstance(frame, bytes):
        return None
    message: Any = json.loads(frame)
    if isinstance(message, list):
        return message[2], message[3], message[0]
    return message.get("topic", ""), message.get("event", ""), message.get("join_ref") or message.get("ref")


def _frame(topic: str, event: str, payload: dict[str, Any], ref: str | None) -> str:
    return json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref})
