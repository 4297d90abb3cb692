"""The meeting source keeps one job for each upcoming meeting, due at the meeting's end.

Takes hints of changed meetings. Gives correct jobs, which the database writes: it holds both tables. Guarantees that
every upcoming meeting is checked after the start, in the background, and every change at the next poll at the latest.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from listener.domain.messages import Hint
    from listener.observability.health import Health
    from listener.ports import MeetingStore, Poller

RETRY_PAUSE_SECONDS = 2.0
NAMED = 1000
"""Meetings in one request; fewer after a request that took too long, or that one of its meetings made fail."""


class MeetingSource:
    """Keeps one job for each upcoming meeting.

    Args:
        store: the database, which holds meetings and their jobs.
        health: reports whether a channel is received.
        poller: reads jobs that were written.
        poll_seconds: how often to poll while a channel is received.
        stale_poll_seconds: how often to poll while no channel is received.
    """

    def __init__(
        self,
        store: MeetingStore,
        health: Health,
        poller: Poller,
        poll_seconds: float,
        stale_poll_seconds: float,
    ) -> None:
        self._store, self._health, self._poller = store, health, poller
        self._poll_seconds, self._stale_poll_seconds = poll_seconds, stale_poll_seconds
        self._cursor: int | None = None
        self._ids: set[str] = set()
        self._most = NAMED
        self._wake = anyio.Event()
        self.summary: Mapping[str, int | bool] | None = None
        self._log = structlog.get_logger("meetings")

    def take_hint(self, hint: Hint) -> None:
        """Take a hint: it names meetings, or requests a poll."""
        self._ids.update(hint.ids)
        self._wake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._wake = anyio.Event()
            try:
                await self.run_once()
            except StoreError as fault:
                self._log.warning(Event.MEETINGS_FAILED, error=str(fault))
                await anyio.sleep(RETRY_PAUSE_SECONDS)
                continue
            with anyio.move_on_after(self._poll_seconds if self._health.receiving else self._stale_poll_seconds):
                await self._wake.wait()

    async def run_once(self) -> None:
        """Check all meetings the first time, then only changed ones."""
        if self._cursor is None:
            await self._check_all()
            return
        if self._ids:
            await self._sync_named()
        page = await self._store.sync(self._cursor, None, None)
        cursor = page.cursor
        self._tell(page.counts)
        while page.after is not None:
            page = await self._store.sync(self._cursor, None, page.after)
            self._tell(page.counts)
        self._cursor = cursor

    async def _sync_named(self) -> None:
        """Synchronise the named meetings; they come first, because a deleted meeting is found only by its id."""
        while self._ids:
            ids = sorted(self._ids)[: self._most]
            self._ids.difference_update(ids)
            try:
                self._tell((await self._store.sync(None, ids, None)).counts)
            except StoreError as fault:
                if not fault.split_batch or fault.retryable or len(ids) > 1:  # else the faulty meeting stands alone
                    self._ids.update(ids)
                self._most = max(1, len(ids) // 2) if fault.split_batch else self._most
                raise
            self._most = min(NAMED, self._most * 2)

    async def _check_all(self) -> None:
        """Check every upcoming meeting, a page at a time, and build the summary."""
        counts: Counter[str] = Counter()
        page = await self._store.sync(None, None, None)
        cursor = page.cursor
        counts.update(page.counts)
        while page.after is not None:
            page = await self._store.sync(None, None, page.after)
            counts.update(page.counts)
        self._cursor = cursor
        self.summary = {**_REQUIRED, **counts, "success": counts["errors"] == 0}
        self._log.info(Event.MEETINGS_CHECKED, **self.summary)
        self._tell(counts)

    def _tell(self, counts: Mapping[str, int]) -> None:
        if any(counts.get(key) for key in ("jobs_scheduled", "jobs_moved", "jobs_cancelled")):
            self._poller.poll_now()


_REQUIRED = {"total_meetings": 0, "jobs_scheduled": 0, "jobs_already_exist": 0, "errors": 0}
