"""Watches one job through stock `postgres_changes`; a session that ends is replaced by a new one."""

from __future__ import annotations

import logging
import math
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import anyio
from pydantic import TypeAdapter
from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent, RealtimeSubscribeStates

from listener.domain.status import JobStatus
from listener.supabase.discard import discard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime import AsyncRealtimeChannel

    from listener.client.access import Address

JOIN_SECONDS = 5.0
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 30.0
log = logging.getLogger(__name__)
INSTANT = TypeAdapter(datetime)


@dataclass(frozen=True, slots=True)
class Change:
    """A status of the job, present or past; `at` is the row's `updated_at`."""

    status: JobStatus
    at: datetime


class JobSession:
    """One Realtime client that watches one job, with the caller's rights: row level security applies to its changes.

    Args:
        address: the project, and the identity.
        job: the job's `id`.
        report: called with each change, and with None when the row has to be read: changes may have been missed.
    """

    def __init__(self, address: Address, job: int, report: Callable[[Change | None], None]) -> None:
        self._client = AsyncRealtimeClient(
            f"{address.url}/realtime/v1", address.key, auto_reconnect=False, max_retries=1
        )
        self._client.access_token = address.token
        self._channels: list[AsyncRealtimeChannel] = []
        self._job, self._report = job, report
        self.is_over = False
        self.settled = anyio.Event()

    @property
    def receiving(self) -> bool:
        """Whether Realtime confirmed the subscription."""
        return self.settled.is_set() and not self.is_over

    async def open(self) -> None:
        """Connect and join; returns when the session receives, or has ended."""
        try:
            with anyio.fail_after(JOIN_SECONDS):
                await self._client.connect()
                self._watch_socket()
                await self._channel().subscribe(self._follow)
                await self.settled.wait()
        except Exception as fault:  # noqa: BLE001 - the client raises what the socket, TLS and HTTP layers raise
            self._end(fault)

    async def close(self) -> None:
        """Stop everything that the session runs."""
        await discard(self._client, self._channels)

    def _channel(self) -> AsyncRealtimeChannel:
        channel = self._client.channel(f"job-{self._job}-{uuid.uuid4()}")
        self._channels.append(channel)
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.All,
            self._safely(self._changed),
            table="scheduled_jobs",
            schema="public",
            filter=f"id=eq.{self._job}",
        )
        return channel.on_system(self._safely(self._ready))

    def _changed(self, message: Mapping[str, Any]) -> None:
        change = message["data"]
        record = change.get("record") or {}
        if "status" in record and "updated_at" in record:
            self._report(Change(JobStatus(record["status"]), INSTANT.validate_python(record["updated_at"])))
        elif (change.get("old_record") or {}).get("id", self._job) == self._job:  # deleted, or too large to be shown
            self._report(None)

    def _ready(self, _: object) -> None:
        """Realtime confirms the subscription after the join, and again after it has lost changes."""
        if self.settled.is_set():
            self._report(None)
        self.settled.set()

    def _follow(self, state: RealtimeSubscribeStates, fault: Exception | None) -> None:
        if state is not RealtimeSubscribeStates.SUBSCRIBED:
            self._end(fault)

    def _safely(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Wrap a callback: an exception in it would silently end realtime-py's receiving."""

        def call(message: Any) -> None:  # noqa: ANN401 - realtime-py's payloads
            try:
                callback(message)
            except Exception as fault:  # noqa: BLE001 - whatever it was, the session is not to be trusted
                self._end(fault)

        return call

    def _watch_socket(self) -> None:
        task = self._client._listen_task  # noqa: SLF001 - nobody else awaits it, and it ends without telling the channels
        assert task is not None, "a connected client listens"  # noqa: S101 - narrows the type
        task.add_done_callback(lambda _: self._end(None))

    def _end(self, why: BaseException | None) -> None:
        """End the session; the watcher reads the row instead, and tries again later."""
        if not self.is_over:
            log.debug("Realtime does not deliver: %s", why)
            self.is_over = True
            if self.settled.is_set():
                self._report(None)
            self.settled.set()


class Receiver:
    """Receives the changes of a job, with a new session after each that ends; close it.

    Args:
        address: read for each session.
        job: the job's `id`.
    """

    def __init__(self, address: Callable[[], Address], job: int) -> None:
        self._address, self._job = address, job
        self._send, self._receive = anyio.create_memory_object_stream[Change | None](math.inf)
        self._session: JobSession | None = None
        self._pause_seconds, self._not_before = FIRST_PAUSE_SECONDS, -math.inf

    @property
    def receiving(self) -> bool:
        """Whether Realtime confirmed the subscription."""
        return self._session is not None and self._session.receiving

    async def connect(self) -> bool:
        """Begin a session, unless there is one or it is too early for the next.

        Returns whether the row has to be read again, since earlier changes were not received.
        """
        if self.receiving or anyio.current_time() < self._not_before:
            return False
        await self._leave()
        session = self._session = JobSession(self._address(), self._job, self._send.send_nowait)
        await session.open()
        self._pause_seconds = FIRST_PAUSE_SECONDS if self.receiving else min(self._pause_seconds * 2, MAX_PAUSE_SECONDS)
        self._not_before = anyio.current_time() + self._pause_seconds
        return True

    async def next(self, patience_seconds: float) -> Change | None:
        """Return the next change; None means that the row has to be read."""
        with anyio.move_on_after(patience_seconds):
            return await self._receive.receive()
        return None

    async def close(self) -> None:
        """Stop everything that the receiver runs."""
        await self._leave()
        self._send.close()
        self._receive.close()

    async def _leave(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()
