"""One client's websocket: frames in, frames out, and its channels."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from aiohttp import WSMsgType

from listener.local.realtime.channel import Channel
from listener.local.realtime.joining import RefusedJoinError, join_request, token_in
from listener.local.realtime.tokens import TokenError
from listener.local.realtime.wire import Codec, Push, UserBroadcast, compact

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from aiohttp import web

    from listener.local.realtime.channel import World

MOST_WAITING_BYTES = 128 * 1024 * 1024  # a client that does not read is cut off rather than kept in memory
NORMAL_CLOSURE, GOING_AWAY = 1000, 1001
MOST_CHANNELS = 100
NO_DATABASE = "UnableToConnectToProject: Realtime was unable to connect to the project database"
NO_TOPIC = "TopicNameRequired: You must provide a topic name"
NO_PUBLIC_REPLAY = "UnableToReplayMessages: Replay is not allowed for public channels"
TOO_MANY_CHANNELS = "ChannelRateLimitReached: Too many channels"


class Socket:
    """A connected client. `token` is the one it connected with; channels that bring none of their own use it."""

    def __init__(self, websocket: web.WebSocketResponse, codec: Codec, world: World, token: str) -> None:
        self._websocket, self._world, self._token = websocket, world, token
        self.codec = codec
        self.channels: dict[str, Channel] = {}
        self._outgoing: deque[str | bytes] = deque()
        self._waiting_bytes = 0
        self._unsent = asyncio.Event()
        self._free = asyncio.Event()  # not set while a refusal holds the socket up
        self._free.set()
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, idle_seconds: float) -> None:
        """Serve the client until it leaves, or has sent nothing for `idle_seconds`."""
        async with self._group:
            self.start_soon(self._write())
            try:
                with contextlib.suppress(ConnectionError):
                    await self._read(idle_seconds)
            finally:
                for channel in list(self.channels.values()):
                    channel.drop()
                for task in self._tasks:
                    task.cancel()

    def send(self, frame: str | bytes) -> None:
        """See `Transport.send`."""
        self._outgoing.append(frame)
        self._waiting_bytes += len(frame)
        self._unsent.set()

    def start_soon(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Transport.start_soon`."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, channel: Channel) -> None:
        """See `Transport.forget`."""
        if self.channels.get(channel.topic) is channel:
            del self.channels[channel.topic]

    async def _read(self, idle_seconds: float) -> None:
        while True:
            try:
                message = await self._websocket.receive(timeout=idle_seconds)
            except TimeoutError:
                await self._websocket.close(code=NORMAL_CLOSURE)
                return
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    push = self.codec.decode(message.data)
                    if push is not None:
                        await self._handle(push)
                case WSMsgType.PING:
                    await self._websocket.pong(message.data)
                case WSMsgType.PONG:
                    pass
                case WSMsgType.CLOSE:  # the client's own code is sent back; without one, the normal code
                    await self._websocket.close(code=message.data or NORMAL_CLOSURE, drain=False)
                    return
                case _:
                    return

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):  # the reader sees it too, and ends the socket
            while self._waiting_bytes <= MOST_WAITING_BYTES:
                await self._send_waiting()
            self._outgoing.clear()
            await self._websocket.close(code=GOING_AWAY)

    async def _send_waiting(self) -> None:
        await self._unsent.wait()
        self._unsent.clear()
        while self._outgoing and self._waiting_bytes <= MOST_WAITING_BYTES:
            await self._free.wait()
            frame = self._outgoing.popleft()
            self._waiting_bytes -= len(frame)
            if isinstance(frame, str):
                await self._websocket.send_str(frame)
            else:
                await self._websocket.send_bytes(frame)

    async def _handle(self, push: Push) -> None:
        channel = self.channels.get(push.topic)
        if push.topic == "phoenix" and push.event == "heartbeat":
            self._reply(push, "ok", {})
        elif push.event == "phx_join" and push.topic.startswith("realtime:"):
            await self._join(push)
        elif push.event == "phx_leave":
            self._reply(push, "ok", {})
            if channel is not None:
                channel.close()
        elif channel is None:
            self._reply(push, "error", {"reason": "unmatched topic"})
        else:
            await self._pass_on(channel, push)

    async def _pass_on(self, channel: Channel, push: Push) -> None:
        match push.event:
            case "broadcast":
                channel.broadcast(push.payload, push.broadcast, partial(self._reply, push))
            case "presence":
                channel.present(push.payload, partial(self._reply, push))
            case "access_token":
                await channel.change_token(token_in(push.payload))

    async def _join(self, push: Push) -> None:
        previous = self.channels.get(push.topic)
        try:
            await self._admit(push)
        except (TokenError, RefusedJoinError) as refusal:
            await self._hold(self._world.refused_join_seconds)
            self._reply(push, "error", {"reason": str(refusal)})
        if previous is not None:
            previous.close()  # after the reply, as the real server: its phx_close names the old join

    async def _admit(self, push: Push) -> None:
        try:
            channel, messages = await self._channel(push)
        except psycopg.OperationalError as fault:
            raise RefusedJoinError(NO_DATABASE) from fault
        self.channels[push.topic] = channel
        self._reply(push, "ok", {"postgres_changes": channel.accepted})
        channel.open(messages)

    async def _channel(self, push: Push) -> tuple[Channel, list[UserBroadcast]]:
        """Return the channel of a join, and the messages that it wants again; raises what refuses it."""
        name = push.topic.removeprefix("realtime:")
        if not name:
            raise RefusedJoinError(NO_TOPIC)
        if len(self.channels) >= MOST_CHANNELS:
            raise RefusedJoinError(TOO_MANY_CHANNELS)
        request = join_request(name, push.payload)
        token = self._token if request.access_token is None else request.access_token
        identity = self._world.verifier.verify(token)
        await self._world.reach_database()
        channel = Channel(self._world, self, push.topic, push.join_ref, request, identity)
        if not await channel.authorise():
            not_readable = f"Unauthorized: You do not have permissions to read from this Channel topic: {name}"
            raise RefusedJoinError(not_readable)
        if request.wants_replay and not request.private:
            raise RefusedJoinError(NO_PUBLIC_REPLAY)
        return channel, await channel.replay()

    async def _hold(self, seconds: float) -> None:
        """Neither read nor send for a while, as the real server after a refusal."""
        if seconds:
            self._free.clear()
            await asyncio.sleep(seconds)
            self._free.set()

    def _reply(self, push: Push, status: str, response: object) -> None:
        payload = compact({"status": status, "response": response})
        self.send(self.codec.encode(push.topic, "phx_reply", payload, ref=push.ref, join_ref=push.join_ref))
