"""The feed rings when Supabase Realtime says that rows changed.

Takes nothing. Gives hints. Guarantees only that it tries: each session has a client of its own, whatever looks wrong
ends the session, and a new one is built after a pause. Between sessions, and whenever Realtime subscribes anew, it asks
for a poll.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.domain.exchange import Hint
from listener.supabase.session import Session, SessionEndedError
from listener.telemetry import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.health import Health
    from listener.metrics import Metrics
    from listener.ports import Clock

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0
STEADY_SECONDS = 30.0
"""A session that lived this long was good: the next pause is short again."""
ROTATE_SECONDS = 20 * 3600.0
"""Hosted projects end a socket after 24 hours; a session ends itself before that."""


class RealtimeFeed:
    """One session after another, until cancelled.

    Args:
        url: the project's URL.
        key: the service's key.
        doorbells: `broadcast`, `postgres_changes`, or both.
        tables: whose changes `hear` takes.
        hear: takes every hint, by table.
        health: told what is heard.
        metrics: where hints and sessions are counted.
        clock: measures how long sessions live.
        jitter: numbers from 0 to 1 that spread reconnections.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        *,
        url: str,
        key: str,
        doorbells: tuple[str, ...],
        tables: tuple[str, ...],
        hear: Callable[[Hint], None],
        health: Health,
        metrics: Metrics,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._url, self._key, self._doorbells, self._tables = url, key, doorbells, tables
        self._hear, self._health, self._metrics = hear, health, metrics
        self._clock, self._jitter = clock, jitter
        self._log = structlog.get_logger("feed")
        self.sessions = 0

    async def run(self) -> None:
        """Listen until cancelled; returns at once when there is nothing to listen on."""
        pause = FIRST_PAUSE_SECONDS
        while self._doorbells:
            began = self._clock.monotonic()
            try:
                await self.run_once()
            except SessionEndedError as ended:
                self._health.deaf(str(ended))
                self._log.warning(Event.FEED_SESSION_ENDED, why=str(ended))
            self._look_everywhere()
            if self._clock.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await anyio.sleep(pause * self._jitter())
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def run_once(self) -> None:
        """Live through one session.

        Raises:
            SessionEndedError: it ended for another reason than its age.
        """
        self.sessions += 1
        self._metrics.feed_session_begun()
        self._metrics.feed_state("connecting")
        session = Session(self._url, self._key, self._hint, self._subscribed)
        try:
            with anyio.move_on_after(ROTATE_SECONDS):
                await session.live(self._doorbells)
        finally:
            self._metrics.feed_state("down")
            await session.close()

    def _hint(self, hint: Hint) -> None:
        self._metrics.hints_heard(hint.source)
        self._hear(hint)

    def _subscribed(self, doorbell: str) -> None:
        """Whatever happened before the subscription began was not heard."""
        self._health.heard(doorbell)
        self._metrics.feed_state("joined")
        self._log.info(Event.FEED_SESSION_OPENED, doorbell=doorbell)
        self._look_everywhere()

    def _look_everywhere(self) -> None:
        for table in self._tables:
            self._hear(Hint(source="feed", table=table))
