"""A few connections that calls take in turn, each with its prepared statements; `Transport` of the hedged calls.

psycopg's own pool connects in background tasks and says "no connection in time" whatever the reason was. A call has to
know the reason: a wrong password needs an operator, a restart does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from pydantic_core import from_json

from listener.errors import NotConnectedError, RefusedConnectionError
from listener.postgres.connecting import CONNECT_SECONDS, NO_SESSION, begin_session
from listener.postgres.conversation import OK, SESSION_LOST
from listener.supabase.error_codes import TRANSACTION_POOLER
from listener.supabase.rpc import Calls, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from listener.clock import DatabaseClock
    from listener.errors import StoreError
    from listener.postgres.conversation import Conversation

CONNECTIONS = 6
"""Of the 60 that a small Supabase project grants, or the 15 of its session pooler."""
LIFETIME_SECONDS, IDLE_SECONDS = 1800.0, 60.0
"""A session reads the settings of its role when it begins. One connection is kept, however idle."""
SESSION_CHANGED = {SESSION_LOST, "42P05"}
"""A prepared statement is not there, or is there already: a transaction pooler has changed the session."""


class Pool:
    """At most `size` connections; the one used last is used next.

    Args:
        url: `LISTENER_DATABASE_URL`.
        size: how many statements go on at a time; further calls wait, first come, first served.
    """

    def __init__(self, url: str, size: int = CONNECTIONS) -> None:
        self._url, self._slots = url, anyio.Semaphore(size, fast_acquire=True)
        self._idle: list[tuple[Conversation, float, float]] = []  # with the times of its begin and of its last use
        self._is_trusted, self._is_closed = False, False

    async def post(self, function: str, content: bytes) -> tuple[int, bytes]:
        """Call a function with its argument as JSON; returns a status and a body, as PostgREST would.

        Raises:
            NotConnectedError: there was no connection in time.
            ConnectionLostError: the connection broke meanwhile.
            RefusedConnectionError: an operator has to act.
        """
        try:
            self._slots.acquire_nowait()
        except anyio.WouldBlock:
            await self._wait_for_slot()
        try:
            return await self._call(function, content)
        finally:
            self._slots.release()

    async def _wait_for_slot(self) -> None:
        with anyio.move_on_after(CONNECT_SECONDS) as waiting:
            await self._slots.acquire()
        if waiting.cancelled_caught:
            message = f"{CONNECT_SECONDS:g} s passed while others had every connection"
            raise NotConnectedError(message)

    async def _call(self, function: str, content: bytes) -> tuple[int, bytes]:
        conversation, begun_at = self._take_idle() or (await self._begin(), anyio.current_time())
        status, body = await conversation.call(function, content)  # if it raises, it closes the connection
        if status != OK and from_json(body)["code"] in SESSION_CHANGED:
            conversation.close()
            self._is_trusted = False
            raise RefusedConnectionError(TRANSACTION_POOLER, NO_SESSION)
        self._put_back(conversation, begun_at)
        return status, body

    async def _begin(self) -> Conversation:
        conversation = await begin_session(self._url, suspect=not self._is_trusted)
        self._is_trusted = True
        return conversation

    def _take_idle(self) -> tuple[Conversation, float] | None:
        while self._idle:
            conversation, begun_at, _ = self._idle.pop()
            if not conversation.has_ended():
                return conversation, begun_at
            conversation.close()
        return None

    def _put_back(self, conversation: Conversation, begun_at: float) -> None:
        now = anyio.current_time()
        while self._idle and now - self._idle[0][2] > IDLE_SECONDS:
            self._idle.pop(0)[0].close()
        if self._is_closed or now - begun_at > LIFETIME_SECONDS or not conversation.is_open:
            conversation.close()
        else:
            self._idle.append((conversation, begun_at, now))

    async def close(self) -> None:
        """Close every connection; one in use is closed after its statement."""
        self._is_closed = True
        while self._idle:
            self._idle.pop()[0].close()


class DirectCalls(Calls):
    """Calls functions over connections of the listener's own.

    Args:
        url: `LISTENER_DATABASE_URL`.
        clock: as `Calls` has it, and so are the others.
        answered: as above.
        within_seconds: as above.
        connections: how many statements go on at a time.
    """

    def __init__(
        self,
        url: str,
        clock: DatabaseClock,
        answered: Callable[[str, StoreError | None], None] = ignore,
        within_seconds: Mapping[str, float] | None = None,
        *,
        connections: int = CONNECTIONS,
    ) -> None:
        super().__init__(lambda: Pool(url, connections), clock, answered, within_seconds)
