"""The meeting source keeps one job for each upcoming meeting, due at the meeting's end.

Takes hints; each causes a poll. Gives correct jobs, which the database writes: it holds both tables and the list of
changes. Guarantees that every upcoming meeting is checked once after the start, in the background, and every change at
the next poll at the latest; tenants take turns, also during the check at the start.
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
LEAST_PAUSE_SECONDS = 0.05
"""Between two polls that found nothing more to do: any number of hints costs at most one poll each time."""


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
        self._checked: str | None = None  # up to which meeting, by id
        self._turn: str | None = None  # which tenant's was the last one
        self._looks = 0  # that a hint still asks for
        self._counts: Counter[str] = Counter()
        self._wake = anyio.Event()
        self.summary: Mapping[str, int | bool] | None = None
        self._log = structlog.get_logger("meetings")

    def take_hint(self, _: Hint) -> None:
        """Poll at once, and again: the database knows which meetings changed, and a commit may show a moment later."""
        self._looks = 2
        self._wake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._wake = anyio.Event()
            try:
                goes_on = await self.run_once()
            except StoreError as fault:
                self._log.warning(Event.MEETINGS_FAILED, error=str(fault))
                await anyio.sleep(RETRY_PAUSE_SECONDS)
                continue
            if goes_on:
                continue
            await anyio.sleep(LEAST_PAUSE_SECONDS)
            self._looks -= 1
            if self._looks > 0:
                continue
            with anyio.move_on_after(self._poll_seconds if self._health.receiving else self._stale_poll_seconds):
                await self._wake.wait()

    async def run_once(self) -> bool:
        """Check a page of all meetings, until the last page, and a part of the changed ones; return whether to go on.

        Raises:
            StoreError: one of the two requests failed; it is made again next time.
        """
        checked = self.summary is not None or await self._check_page()
        page = await self._store.sync_changed(self._turn)
        self._turn = page.after
        self._tell(page.counts)
        if self.summary is None:  # else the pages to come would say that these jobs were there before
            self._counts["jobs_scheduled"] += page.counts.get("jobs_scheduled", 0)
        return not checked or page.more or page.after is not None

    async def _check_page(self) -> bool:
        """Check the next page of all meetings; return whether it was the last."""
        page = await self._store.sync_upcoming(self._checked)
        self._checked = page.after
        self._counts.update(page.counts)
        self._tell(page.counts)
        if page.after is None:
            counts = {**_REQUIRED, **self._counts}
            found = counts["total_meetings"] - counts["jobs_scheduled"] - counts["errors"]
            self.summary = {**counts, "jobs_already_exist": max(0, found), "success": counts["errors"] == 0}
            self._log.info(Event.MEETINGS_CHECKED, **self.summary)
        return page.after is None

    def _tell(self, counts: Mapping[str, int]) -> None:
        if any(counts.get(key) for key in ("jobs_scheduled", "jobs_moved", "jobs_cancelled")):
            self._poller.poll_now()


_REQUIRED = {"total_meetings": 0, "jobs_scheduled": 0, "jobs_already_exist": 0, "errors": 0}
