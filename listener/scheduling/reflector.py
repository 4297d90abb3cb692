"""The reflector keeps up with the table: it lists, then polls what changed, and lists anew from time to time.

Takes hints, which may be late, doubled or lost, and pages of rows. Gives rows to the reconciler. Guarantees that a
change is seen at the next poll at the latest, whatever the channels missed: the cursor is the oldest transaction that
was open at the last look, so that no commit slips in behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.observability.events import Event
from listener.scheduling.missed_hints import MissedHints

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime, timedelta

    from listener.domain.messages import Hint, Page
    from listener.observability.health import Health
    from listener.observability.metrics import Metrics
    from listener.ports import Clock, JobStore
    from listener.scheduling.reconciler import Reconciler

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.25, 10.0
LEAST_RELIST_SECONDS = 0.5
WARY_SECONDS = 10.0
"""How long to poll as if stale after a hint that may stand for thousands of rows, or a change without one: Realtime
drops changes without a word after so many, and a probe needs some seconds to tell."""
LEAST_POLL_SECONDS = 0.05
"""Between two polls that hints ask for: any number of them costs so many."""
MOST_ANNOUNCED = 500
"""Jobs a second that are claimed because a channel names them; beyond them a poll finds what is true of it."""
MOST_AHEAD = 1_000_000
"""Transactions beyond the last look: a hint that names a later one was not sent by this database."""
POLL = "poll"
LIST_SHARE = 4
"""Lists that memory cuts short follow one another closely: at most one part in so many goes into reading them."""


class Reflector:
    """List, then watch.

    Args:
        store: where rows are read.
        reconciler: takes them.
        clock: the database's.
        health: told of polls; tells whether a channel is received.
        metrics: where polls are counted.
        horizon: how far ahead rows are read.
        horizon_jobs: how many rows are armed at most; more of them shorten the horizon.
        poll_seconds: how often to poll while a channel is received.
        stale_poll_seconds: how often while none is.
        relist_seconds: how often to list anew.
        deliver: takes the hints that polls bring, as it does those of the channels.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        *,
        store: JobStore,
        reconciler: Reconciler,
        clock: Clock,
        health: Health,
        metrics: Metrics,
        horizon: timedelta,
        horizon_jobs: int,
        poll_seconds: float,
        stale_poll_seconds: float,
        relist_seconds: float,
        deliver: Callable[[Hint], None] = lambda _: None,
    ) -> None:
        self._store, self._reconciler, self._clock = store, reconciler, clock
        self._health, self._metrics = health, metrics
        self._horizon, self._horizon_jobs = horizon, horizon_jobs
        self._poll_seconds, self._stale_poll_seconds = poll_seconds, stale_poll_seconds
        self._relist_seconds, self._deliver = relist_seconds, deliver
        self._cursor: int | None = None
        self._dirty = False
        self._told: int | None = None
        self._announcing_since, self._announced = 0.0, 0
        self._polled_at = -LEAST_POLL_SECONDS
        self._missed_hints = MissedHints()
        self._wary_until = 0.0
        self._wake = anyio.Event()
        self._relist_at = 0.0
        self._relist_pause = LEAST_RELIST_SECONDS
        self._poll_at = 0.0
        self._log = structlog.get_logger("reflector")

    def take_hint(self, hint: Hint) -> None:
        """Take a hint. A poll's tells what the table says; any other may be forged, and causes a look or a claim."""
        if hint.source == POLL:
            self._reconciler.forget(hint.gone)
        elif not self._needs_no_look(hint):
            self.look_up(hint)

    def look_up(self, hint: Hint) -> None:
        """Poll as soon as possible for what a channel tells, and once more if that did not show its transaction."""
        self._told = hint.xid
        self.poll_now()

    def _needs_no_look(self, hint: Hint) -> bool:
        """Whether all that a channel tells is known, or claimed at once."""
        if hint.xid is not None and self._cursor is not None:
            if hint.xid < self._cursor + MOST_AHEAD:
                self._missed_hints.received(hint.source, hint.xid)
            if hint.xid < self._cursor and not hint.jobs:
                return True
        if hint.jobs:
            return self._may_announce(len(hint.jobs)) and min(map(self._reconciler.announce, hint.jobs))
        if hint.xid is not None and not hint.gone:
            self._beware()
        return False

    def _may_announce(self, jobs: int) -> bool:
        """Whether so many more may be claimed without a look this second."""
        now = self._clock.monotonic()
        if now >= self._announcing_since + 1:
            self._announcing_since, self._announced = now, 0
        self._announced += jobs
        return self._announced <= MOST_ANNOUNCED

    def poll_now(self) -> None:
        """Poll as soon as possible."""
        self._dirty = True
        self._wake.set()

    async def run(self) -> None:
        """Reflect until cancelled; a database that does not answer is asked again, at growing intervals."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self.run_once()
                if pause > FIRST_PAUSE_SECONDS:
                    self._log.info(Event.POLL_RECOVERED)
                pause = FIRST_PAUSE_SECONDS
            except StoreError as fault:
                self._health.poll_failed(str(fault))
                self._metrics.poll_failed()
                self._log.warning(Event.POLL_FAILED, error=str(fault), retry_in_seconds=pause)
                self._dirty = True  # what was hinted meanwhile is not known yet
                await self._rest(pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
                continue
            await self._wait()

    async def _rest(self, seconds: float) -> None:
        """Wait after a fault, or until a hint: a channel that is received again tells of a database that is back."""
        self._wake = anyio.Event()
        await anyio.sleep(FIRST_PAUSE_SECONDS)
        with anyio.move_on_after(seconds - FIRST_PAUSE_SECONDS):
            await self._wake.wait()

    async def run_once(self) -> None:
        """List or poll, whichever is due."""
        started = self._clock.monotonic()
        lists = started >= self._relist_at or self._cursor is None
        if lists:
            await self.relist()
            self._relist_at = started + self._relist_seconds
            self._relist_pause = max(LEAST_RELIST_SECONDS, LIST_SHARE * (self._clock.monotonic() - started))
        elif self._dirty or started >= self._poll_at:
            await self.poll()
        else:
            return
        trusts = self._health.receiving and started >= self._wary_until
        if not (lists and self._poll_at):  # no list shows what was cancelled, and lists may follow one another closely
            self._poll_at = started + (self._poll_seconds if trusts else self._stale_poll_seconds)
        self._metrics.polled(self._clock.monotonic() - started)
        self._health.poll_succeeded()

    async def poll(self) -> None:
        """Read what changed since the last look."""
        self._dirty, self._polled_at = False, self._clock.monotonic()
        told, self._told = self._told, None
        assert self._cursor is not None, "a list comes before a poll"  # noqa: S101 - run_once ensures it
        until = self._reconciler.armed_until
        is_first = self._health.receiving and not self._missed_hints.has_begun
        self._metrics.changes_missed(self._missed_hints.take_missed(self._clock.monotonic()))
        page = await self._take(self._store.poll(self._cursor, until, None))
        cursor = page.cursor
        self._compare(page, is_first=is_first)
        while page.after is not None:
            page = await self._take(self._store.poll(self._cursor, until, page.after))
            self._compare(page, is_first=is_first)
        self._cursor = cursor
        self._missed_hints.forget_before(cursor)
        self._dirty |= told is not None and told >= cursor  # a channel tells of a commit shortly before it shows

    def _compare(self, page: Page, *, is_first: bool) -> None:
        """Look whether hints have told of what a poll found; the first one that a channel preceded begins with it."""
        if is_first:
            self._missed_hints.begin(page.cursor, page.jobs)
        elif self._missed_hints.found(page.jobs, self._clock.monotonic()):
            self._beware()

    def _beware(self) -> None:
        self._wary_until = self._clock.monotonic() + WARY_SECONDS

    async def _take(self, reading: Awaitable[Page]) -> Page:
        """Read a page and pass its rows on."""
        requested_at = self._clock.monotonic()
        page = await reading
        self._reconciler.apply(page.jobs, requested_at)
        for hint in page.hints:
            self._deliver(hint)
        return page

    async def relist(self) -> None:
        """Read all jobs within the horizon, and those that have no due instant yet."""
        # A hint may mean a cancelled job, which no list shows: a poll still has to follow.
        self._dirty = self._dirty and self._cursor is not None
        until = self._clock.now() + self._horizon
        cursor = await self._list_due(until)
        page = await self._take(self._store.unplanned(None))
        while page.after is not None:
            page = await self._take(self._store.unplanned(page.after))
        self._cursor = min(cursor, self._cursor) if self._cursor is not None else cursor

    async def _list_due(self, until: datetime) -> int:
        self._reconciler.armed_until = self._reconciler.urgent_until = until
        page = await self._take(self._store.due(until, None))
        cursor, listed = page.cursor, len(page.jobs)
        while page.after is not None and listed < self._horizon_jobs:
            page = await self._take(self._store.due(until, page.after))
            listed += len(page.jobs)
        if page.after is not None:  # memory is full: see no further than the last row, and list again before it is due
            self._see_no_further_than(page.jobs[-1].next_run_at or until)
            await self._take(self._store.urgent(until))  # those do not wait until all that is older was run
        return cursor

    def _see_no_further_than(self, until: datetime) -> None:
        self._reconciler.armed_until = until

    async def _wait(self) -> None:
        if not self._dirty:
            await self._wait_for_news()
        left = self._polled_at + LEAST_POLL_SECONDS - self._clock.monotonic()
        if self._dirty and left > 0:
            await anyio.sleep(left)

    async def _wait_for_news(self) -> None:
        self._wake = anyio.Event()
        left = (self._reconciler.armed_until - self._clock.now()).total_seconds()
        # The next list comes before the last armed job: half of what is left, but never a busy loop.
        now = self._clock.monotonic()
        self._relist_at = min(self._relist_at, now + max(left / 2, self._relist_pause))
        with anyio.move_on_after(max(0.0, min(self._relist_at, self._poll_at) - now)):
            await self._wake.wait()
