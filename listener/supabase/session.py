"""One disposable Realtime client. It hears, or it ends: realtime-py can go deaf while it still looks connected."""

from __future__ import annotations

import asyncio  # noqa: TID251 - realtime-py's tasks are asyncio's
import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import anyio
from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent, RealtimeSubscribeStates

from listener.errors import ListenerError
from listener.supabase.hints import read_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime import AsyncRealtimeChannel

    from listener.domain.exchange import Hint

TOPIC = "job_scheduler"
"""The private topic that the database's triggers send to."""
JOIN_SECONDS = 15.0
CLOSE_SECONDS = 1.0
SIGNALS = "signals"
"""The table in schema job_scheduler that gets a row for each statement that matters, not for each row changed."""


class SessionEndedError(ListenerError):
    """A Realtime session came to its end; the message says why."""


class Session:
    """One client, one socket, unique topics.

    Args:
        url: the project's URL.
        key: the service's key.
        hear: takes each hint.
        subscribed: told which doorbell works, each time Realtime says so.
    """

    def __init__(self, url: str, key: str, hear: Callable[[Hint], None], subscribed: Callable[[str], None]) -> None:
        self._client = AsyncRealtimeClient(f"{url}/realtime/v1", key, auto_reconnect=False, max_retries=1)
        self._hear, self._subscribed = hear, subscribed
        self._ended = anyio.Event()
        self._why = ""

    async def live(self, doorbells: tuple[str, ...]) -> None:
        """Connect, join, and hear until something is wrong.

        Raises:
            SessionEndedError: always, unless cancelled.
        """
        try:
            with anyio.fail_after(JOIN_SECONDS):
                await self._client.connect()
                self._watch_socket()
                for channel, name in self._channels(doorbells):
                    await channel.subscribe(self._follow(name))
        except TimeoutError:
            self._end("joining took too long")
        except Exception as fault:  # noqa: BLE001 - the client raises what the socket, TLS and HTTP layers raise
            self._end(f"{type(fault).__name__}: {fault}"[:300])
        await self._ended.wait()
        raise SessionEndedError(self._why)

    async def close(self) -> None:
        """Leave nothing running: the client's own `close` forgets tasks and may wait for a dead peer."""
        with anyio.CancelScope(shield=True):
            client = self._client
            tasks = [task for task in (client._listen_task, client._heartbeat_task) if task]  # noqa: SLF001
            for channel in client.channels.values():
                channel.rejoin_timer.reset()
                channel.join_push.destroy()
                tasks += channel._background_tasks  # noqa: SLF001
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            socket = client._ws_connection  # noqa: SLF001
            with anyio.move_on_after(CLOSE_SECONDS), contextlib.suppress(Exception):
                await client.close()
            if socket is not None:
                socket.transport.abort()

    def _channels(self, doorbells: tuple[str, ...]) -> list[tuple[AsyncRealtimeChannel, str]]:
        makers = {"broadcast": self._broadcast_channel, "postgres_changes": self._changes_channel}
        return [(makers[doorbell](), doorbell) for doorbell in doorbells]

    def _broadcast_channel(self) -> AsyncRealtimeChannel:
        channel = self._client.channel(
            TOPIC,
            {
                "config": {
                    "private": True,
                    "broadcast": {"ack": False, "self": False},
                    "presence": {"key": "", "enabled": False},
                }
            },
        )
        hear = self._safely(lambda message: self._signal("broadcast", message["payload"]))
        return channel.on_broadcast("changed", hear)

    def _changes_channel(self) -> AsyncRealtimeChannel:
        channel = self._client.channel(f"listener-{uuid.uuid4()}")
        hear = self._safely(lambda change: self._signal("postgres_changes", change["data"]["record"]["message"]))
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.Insert, hear, table=SIGNALS, schema="job_scheduler"
        )
        # "Subscribed to PostgreSQL" comes after the join, and again after the server has lost changes.
        return channel.on_system(self._safely(lambda _: self._subscribed("postgres_changes")))

    def _signal(self, source: str, message: Mapping[str, Any]) -> None:
        self._hear(read_signal(source, message))

    def _follow(self, name: str) -> Callable[[RealtimeSubscribeStates, Exception | None], None]:
        def follow(state: RealtimeSubscribeStates, fault: Exception | None) -> None:
            if state is not RealtimeSubscribeStates.SUBSCRIBED:
                self._end(f"{name}: {state.value} {fault or ''}".strip())
            elif name == "broadcast":
                self._subscribed(name)

        return follow

    def _safely(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Wrap: an exception in a callback would end realtime-py's listening without a word."""

        def call(message: Any) -> None:  # noqa: ANN401 - realtime-py's payloads
            try:
                callback(message)
            except Exception as fault:  # noqa: BLE001 - whatever it was, the session is not to be trusted
                self._end(f"callback: {type(fault).__name__}: {fault}")

        return call

    def _watch_socket(self) -> None:
        task = self._client._listen_task  # noqa: SLF001 - nobody else awaits it, and it ends without telling the channels
        assert task is not None, "a connected client listens"  # noqa: S101 - narrows the type
        task.add_done_callback(lambda _: self._end("the socket closed"))

    def _end(self, why: str) -> None:
        if not self._ended.is_set():
            self._why = why
            self._ended.set()
