"""One connection that listens to NOTIFY, used once; it also keeps the database sending them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from pydantic_core import from_json

from listener.domain.messages import NOTIFY
from listener.errors import SessionEndedError, StoreError, TransportError
from listener.postgres.connecting import connect
from listener.supabase.hints import read_hint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from listener.domain.messages import Hint
    from listener.postgres.conversation import Conversation

LISTEN = "listen job_scheduler"
WANTED_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 90.0, 30.0, 2.0
"""For how long statements are to send a NOTIFY, when that is renewed, and when again after a fault."""


class NotifySession:
    """A session of the channel `notify`, as a feed watches it.

    Args:
        url: `LISTENER_DATABASE_URL`.
        request: has the database send a NOTIFY with each statement for so many seconds; returns whether it has done so
            up to now. It may raise `StoreError`.
        on_hint: takes each hint; anybody who may connect to the database may send one.
        subscribed: called with the channel when it is subscribed, and after a time without notifications.
        went_stale: not called: without its only channel the session ends.
    """

    def __init__(
        self,
        url: str,
        request: Callable[[float], Awaitable[bool]],
        on_hint: Callable[[Hint], None],
        subscribed: Callable[[str], None],
        went_stale: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self._url, self._request = url, request
        self._on_hint, self._subscribed, self._went_stale = on_hint, subscribed, went_stale
        self._conversation: Conversation | None = None
        self._ended = anyio.Event()
        self._why = ""

    async def live(self, channels: tuple[str, ...], join_seconds: float) -> None:  # noqa: ARG002 - it has one channel
        """Connect, listen and receive until the session ends.

        Raises:
            SessionEndedError: always, unless cancelled.
        """
        try:
            with anyio.fail_after(join_seconds):
                self._conversation = await connect(self._url)
                await self._conversation.query(LISTEN)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._receive, self._conversation)
                tasks.start_soon(self._keep_wanted)
                await self._ended.wait()
                tasks.cancel_scope.cancel()
        except TimeoutError:
            self._end("connecting took too long")
        except TransportError as fault:
            self._end(str(fault))
        raise SessionEndedError(self._why)

    def mark_stale(self, channel: str, why: str) -> None:
        """End the session: it has no other channel."""
        self._end(f"{channel}: {why}")

    async def ping(self, within_seconds: float) -> None:
        """Do nothing: the kernel probes the connection itself, and the next probe is sent in a moment."""

    async def close(self) -> None:
        """Close the connection."""
        if self._conversation is not None:
            self._conversation.close()

    async def _receive(self, conversation: Conversation) -> None:
        try:
            while True:
                for payload in await conversation.payloads():
                    self._on_hint(read_hint(NOTIFY, _parsed(payload)))
        except TransportError as fault:
            self._end(f"the connection closed: {fault}")
        except Exception as fault:  # noqa: BLE001 - the receiver's: whatever it was, the session is not to be trusted
            self._end(f"callback: {type(fault).__name__}: {fault}")

    async def _keep_wanted(self) -> None:
        """Renew the request for notifications; where it had ended, changes may have been missed."""
        is_first = True
        while True:
            try:
                was_on = await self._request(WANTED_SECONDS)
            except StoreError as fault:
                if is_first:
                    self._end(str(fault))
                await anyio.sleep(RETRY_SECONDS)
                continue
            if is_first or not was_on:
                self._subscribed(NOTIFY)
            is_first = False
            await anyio.sleep(RENEW_SECONDS)

    def _end(self, why: str) -> None:
        self._why = self._why or why
        self._ended.set()


def _parsed(payload: bytes) -> object:
    try:
        return from_json(payload)
    except ValueError:
        return None
