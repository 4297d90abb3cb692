"""One Realtime client, used once. A channel that went stale stays stale, and a session without channels ends.

realtime-py's own recovery can leave a client stale that looks connected: it gives up after a few attempts, it
joins a topic again and takes the end of the old join for that of the new one, and forgets tasks that were cancelled.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import anyio
from realtime import RealtimePostgresChangesListenEvent, RealtimeSubscribeStates
from websockets.exceptions import ConnectionClosed

from listener.errors import SessionEndedError
from listener.supabase.discard import discard
from listener.supabase.hints import read_hint
from listener.supabase.quick_frames import QuickClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime import AsyncRealtimeChannel
    from realtime.message import SuccessSystemPayload

    from listener.domain.messages import Hint

TOPIC = "job_scheduler"
"""The private topic that the database's triggers send to."""
JOIN_SECONDS = 15.0
"""Time limit for a session that only tests the connection."""
LONGEST_REASON = 300
SIGNALS = "signals"
"""The table in schema job_scheduler that gets a row for each relevant statement, not for each changed row."""


class Session:
    """One client, one socket, unique topics.

    Args:
        url: the project's URL.
        key: the service's key.
        on_hint: takes each hint.
        subscribed: called with a channel each time Realtime confirms its subscription.
        went_stale: called with a channel that this session will not receive any more, and the reason.
    """

    def __init__(
        self,
        url: str,
        key: str,
        on_hint: Callable[[Hint], None],
        subscribed: Callable[[str], None],
        went_stale: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self._client = QuickClient(f"{url}/realtime/v1", key, auto_reconnect=False, max_retries=1)
        self._on_hint, self._subscribed, self._went_stale = on_hint, subscribed, went_stale
        self._subscriptions: dict[str, AsyncRealtimeChannel] = {}
        self._left: set[str] = set()
        self._ended = anyio.Event()
        self._why = ""

    async def live(self, channels: tuple[str, ...], join_seconds: float = JOIN_SECONDS) -> None:
        """Connect, join, and receive until no channel is left.

        Args:
            channels: `broadcast`, `postgres_changes`, or both.
            join_seconds: how long connecting, and then joining, may take.

        Raises:
            SessionEndedError: always, unless cancelled.
        """
        self._left = set(channels)
        try:
            with anyio.fail_after(join_seconds):
                await self._client.connect()
            self._watch_socket()
            await self._join_all(channels, join_seconds)
        except TimeoutError:
            self._end("connecting took too long")
        except Exception as fault:  # noqa: BLE001 - the client raises what the socket, TLS and HTTP layers raise
            self._end(_text_of(fault))
        await self._ended.wait()
        raise SessionEndedError(self._why)

    def mark_stale(self, channel: str, why: str) -> None:
        """Give a channel up; a session without channels ends."""
        if channel not in self._left or self._ended.is_set():
            return
        self._left.discard(channel)
        subscription = self._subscriptions.get(channel)
        if subscription:
            subscription.rejoin_timer.reset()  # else it takes the end of the old join for its own
        if self._left:
            self._went_stale(channel, why)
        else:
            self._end(f"{channel}: {why}")

    async def ping(self, within_seconds: float) -> None:
        """Ping the socket; without an answer in time the session ends."""
        socket = self._client._ws_connection  # noqa: SLF001 - the client has no such question
        if socket is None:
            return
        try:
            with anyio.fail_after(within_seconds):
                await (await socket.ping())
        except TimeoutError:
            self._end("the socket does not answer")
        except ConnectionClosed:
            self._end("the socket closed")

    async def close(self) -> None:
        """Stop everything that the session runs."""
        await discard(self._client, self._subscriptions.values())

    async def _join_all(self, channels: tuple[str, ...], join_seconds: float) -> None:
        makers = {"broadcast": self._broadcast_subscription, "postgres_changes": self._changes_subscription}
        async with anyio.create_task_group() as joins:
            for channel in channels:
                subscription = self._subscriptions[channel] = makers[channel]()
                joins.start_soon(self._join, subscription, channel, join_seconds)

    async def _join(self, subscription: AsyncRealtimeChannel, channel: str, join_seconds: float) -> None:
        try:
            with anyio.fail_after(join_seconds):
                await subscription.subscribe(self._follow(channel))
        except TimeoutError:
            self.mark_stale(channel, "joining took too long")
        except Exception as fault:  # noqa: BLE001 - as above
            self.mark_stale(channel, _text_of(fault))

    def _broadcast_subscription(self) -> AsyncRealtimeChannel:
        subscription = self._client.channel(
            TOPIC,
            {
                "config": {
                    "private": True,
                    "broadcast": {"ack": False, "self": False},
                    "presence": {"key": "", "enabled": False},
                }
            },
        )
        take = self._safely(lambda message: self._signal("broadcast", message.get("payload")))
        return subscription.on_broadcast("changed", take)

    def _changes_subscription(self) -> AsyncRealtimeChannel:
        subscription = self._client.channel(f"listener-{uuid.uuid4()}")
        take = self._safely(lambda change: self._signal("postgres_changes", change["data"]["record"]["message"]))
        subscription.on_postgres_changes(
            RealtimePostgresChangesListenEvent.Insert, take, table=SIGNALS, schema="job_scheduler"
        )
        return subscription.on_system(self._safely(self._take_system_frame))

    def _take_system_frame(self, frame: SuccessSystemPayload) -> None:
        """Take a system frame "Subscribed to PostgreSQL": it follows the join, and each change of the publication."""
        if frame.extension == "postgres_changes":
            self._subscribed("postgres_changes")

    def _signal(self, source: str, message: Any) -> None:  # noqa: ANN401 - any JSON
        self._on_hint(read_hint(source, message))

    def _follow(self, name: str) -> Callable[[RealtimeSubscribeStates, Exception | None], None]:
        def follow(state: RealtimeSubscribeStates, fault: Exception | None) -> None:
            if not self._client.is_connected:  # the callback runs for every channel; one reason is enough
                self._end(f"the socket closed: {fault or ''}")
            elif state is not RealtimeSubscribeStates.SUBSCRIBED:
                self.mark_stale(name, f"{state.value} {fault or ''}".strip())
            elif name == "broadcast":
                self._subscribed(name)

        return follow

    def _safely(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Wrap a callback: an exception in it would silently end realtime-py's receiving."""

        def call(message: Any) -> None:  # noqa: ANN401 - realtime-py's payloads
            try:
                callback(message)
            except Exception as fault:  # noqa: BLE001 - whatever it was, the session is not to be trusted
                self._end(f"callback: {_text_of(fault)}")

        return call

    def _watch_socket(self) -> None:
        task = self._client._listen_task  # noqa: SLF001 - nobody else awaits it, and it ends without telling the channels
        assert task is not None, "a connected client listens"  # noqa: S101 - narrows the type
        task.add_done_callback(lambda _: self._end("the socket closed"))

    def _end(self, why: str) -> None:
        if not self._ended.is_set():
            self._why = why
            self._ended.set()


def _text_of(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {fault}"[:LONGEST_REASON]
