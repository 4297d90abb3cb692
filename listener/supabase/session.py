"""One disposable Realtime client. It hears, or it ends: realtime-py can go deaf while it still looks connected."""

from __future__ import annotations

import asyncio  # noqa: TID251 - realtime-py's tasks are asyncio's
import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import anyio
from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent, RealtimeSubscribeStates

from listener.errors import ListenerError
from listener.supabase.hints import of_broadcast, of_change

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime import AsyncRealtimeChannel

    from listener.domain.exchange import Hint

TOPIC = "job_scheduler"
"""The private topic that the database's triggers send to."""
JOIN_SECONDS = 15.0
CLOSE_SECONDS = 1.0
CHECK_SECONDS = 5.0
ASKED_FOR = "status=in.(scheduled,paused,cancelled)"
"""Updates that a client may have made. Most are the service's own: hearing them would spend the server's limit."""


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

    async def live(self, doorbells: tuple[str, ...], tables: tuple[str, ...]) -> None:
        """Connect, join, and hear until something is wrong.

        Raises:
            SessionEndedError: always, unless cancelled.
        """
        try:
            with anyio.fail_after(JOIN_SECONDS):
                await self._client.connect()
                for channel, name in self._channels(doorbells, tables):
                    await channel.subscribe(self._follow(name))
        except TimeoutError:
            self._end("joining took too long")
        except Exception as fault:  # noqa: BLE001 - the client raises what the socket, TLS and HTTP layers raise
            self._end(f"{type(fault).__name__}: {fault}"[:300])
        while not self._ended.is_set():
            with anyio.move_on_after(CHECK_SECONDS):
                await self._ended.wait()
            self._check_listen_task()
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

    def _channels(self, doorbells: tuple[str, ...], tables: tuple[str, ...]) -> list[tuple[AsyncRealtimeChannel, str]]:
        channels = []
        if "broadcast" in doorbells:
            channels.append((self._broadcast_channel(), "broadcast"))
        if "postgres_changes" in doorbells:
            # A table that is not published silences its whole channel, so each has its own.
            channels += [(self._changes_channel(table), "postgres_changes") for table in tables]
        return channels

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
        hear = self._safely(lambda message: self._hear(of_broadcast(message["payload"])))
        return channel.on_broadcast("changed", hear)

    def _changes_channel(self, table: str) -> AsyncRealtimeChannel:
        channel = self._client.channel(f"listener-{table}-{uuid.uuid4()}")
        hear = self._safely(lambda change: self._hear(of_change(table, change["data"])))
        events = RealtimePostgresChangesListenEvent
        asked_for = ASKED_FOR if table == "scheduled_jobs" else None
        channel.on_postgres_changes(events.Insert, hear, table=table, schema="public")
        channel.on_postgres_changes(events.Update, hear, table=table, schema="public", filter=asked_for)
        channel.on_postgres_changes(events.Delete, hear, table=table, schema="public")
        # "Subscribed to PostgreSQL" comes after the join, and again after the server has lost changes.
        return channel.on_system(self._safely(lambda _: self._subscribed("postgres_changes")))

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

    def _check_listen_task(self) -> None:
        task = self._client._listen_task  # noqa: SLF001 - nobody else awaits it
        if task is None or task.done():
            self._end("the socket closed")

    def _end(self, why: str) -> None:
        if not self._ended.is_set():
            self._why = why
            self._ended.set()
