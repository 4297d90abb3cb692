"""The reflector reads the table: it lists jobs, then polls changes, and lists again from time to time (relist).

Takes hints, which may be late, doubled or lost, and pages of rows. Gives rows to the reconciler. Guarantees that a
change is seen at the next poll at the latest, whatever the channels missed: the cursor has the transactions that were
open at the last poll, so that no commit falls behind it. Of many changes, `LeftToPeers` has what is left to others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.domain.messages import NOTIFY
from listener.domain.snapshot import Snapshot
from listener.errors import StoreError
from listener.observability.events import Event
from listener.scheduling.missed_hints import MissedHints
from listener.scheduling.muter import Mute
from listener.scheduling.reading import read_jobs

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from datetime import datetime, timedelta

    from listener.domain.messages import Hint, Page
    from listener.observability.health import Health
    from listener.observability.metrics import Metrics
    from listener.ports import Clock, Doubter, HintSink, JobStore
    from listener.scheduling.left_to_peers import LeftToPeers
    from listener.scheduling.reconciler import Reconciler

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.25, 10.0
LEAST_RELIST_SECONDS = 0.5
WARY_SECONDS = 10.0
"""How long to poll as if no channel were received after a hint that may stand for thousands of rows, or a change
without a hint: Realtime drops changes silently after so many, and a probe needs some seconds to detect that."""
LEAST_POLL_SECONDS = 0.05
"""Between two polls that hints request, however many hints there are."""
MOST_ANNOUNCED = 500
"""Jobs a second that are claimed because a channel names them; beyond that number a poll reads the table first."""
MOST_AHEAD = 1_000_000
"""Transactions beyond the last poll: a hint that names a later one was not sent by this database."""
MUTED_SHARE = 2
"""While notifications are muted, at most one part in so many of the time is for polls, however much each reads."""
POLL = "poll"
LIST_SHARE = 4
"""If memory limits the lists, they follow one another closely: at most one part in so many of the time is for them."""


class Reflector:
    """Lists, then watches.

    Args:
        store: where rows are read.
        reconciler: takes them.
        left_out: what polls leave to other listeners.
        clock: the database's.
        health: receives the result of each poll; reports whether a channel is received.
        metrics: where polls are counted.
        horizon: how far ahead rows are read.
        horizon_jobs: how many rows are kept in memory; of more than that each party gets a share.
        poll_seconds: how often to poll while a channel is received.
        stale_poll_seconds: how often to poll while no channel is received.
        relist_seconds: how often to list anew.
        sink: receives the hints that polls bring, like those of the channels; None where no stage takes hints.
        mute: what is known of mutes.
        muted_poll_seconds: how often to poll while notifications are muted.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        *,
        store: JobStore,
        reconciler: Reconciler,
        left_out: LeftToPeers,
        clock: Clock,
        health: Health,
        metrics: Metrics,
        horizon: timedelta,
        horizon_jobs: int,
        poll_seconds: float,
        stale_poll_seconds: float,
        relist_seconds: float,
        sink: HintSink | None = None,
        mute: Mute | None = None,
        muted_poll_seconds: float = 0.05,
    ) -> None:
        self._store, self._reconciler, self._clock, self._left_out = store, reconciler, clock, left_out
        self._health, self._metrics = health, metrics
        self._horizon, self._horizon_jobs = horizon, horizon_jobs
        self._poll_seconds, self._stale_poll_seconds = poll_seconds, stale_poll_seconds
        self._relist_seconds, self._sink = relist_seconds, sink
        self._mute, self._muted_poll_seconds = mute or Mute(clock), muted_poll_seconds
        self.doubter: Doubter | None = None
        self._cursor: Snapshot | None = None
        self._dirty = False
        self._reported: int | None = None
        self._announcing_since, self._announced = 0.0, 0
        self._polled_at = -LEAST_POLL_SECONDS
        self._missed_hints = MissedHints()
        self._was_notified = False  # whether NOTIFY was received when the last poll began
        self._wary_until = 0.0
        self._wake = anyio.Event()
        self._relist_at = 0.0
        self._relist_pause = LEAST_RELIST_SECONDS
        self._poll_at = 0.0
        self._log = structlog.get_logger("reflector")

    def take_hint(self, hint: Hint) -> None:
        """Take a hint. A poll's hint has the table's content; any other may be forged, and causes a poll or a claim."""
        if hint.source == POLL:
            self._reconciler.forget(hint.gone)
        elif not self._needs_no_look(hint):
            self.look_up(hint)

    def look_up(self, hint: Hint) -> None:
        """Poll as soon as possible for what a channel reports, and once more if that did not show its transaction."""
        self._reported = hint.xid
        self.poll_now()

    def _needs_no_look(self, hint: Hint) -> bool:
        """Whether all that a channel reports is known, or claimed at once."""
        if hint.xid is not None and self._cursor is not None:
            if hint.xid < self._cursor.end + MOST_AHEAD:
                self._missed_hints.received(hint.xid)
            if self._cursor.shows(hint.xid) and not hint.jobs:
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
        """Run until cancelled; if the database does not answer, try again at growing intervals."""
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
                self._dirty = True  # the changes hinted at meanwhile are not read yet
                await self._rest(pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
                continue
            await self._wait()

    async def _rest(self, seconds: float) -> None:
        """Wait after a fault, or until a hint: a channel that is received again means that the database may be back."""
        self._wake = anyio.Event()
        await anyio.sleep(FIRST_PAUSE_SECONDS)
        with anyio.move_on_after(seconds - FIRST_PAUSE_SECONDS):
            await self._wake.wait()

    async def run_once(self) -> None:
        """List or poll, whichever is due; read what was left to other listeners, if it is time."""
        await self._left_out.run_once()
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
        if not (lists and self._poll_at):  # no list shows what was cancelled, and lists may follow one another closely
            self._poll_at = started + self._interval(started)
        self._metrics.polled(self._clock.monotonic() - started)
        self._health.poll_succeeded()

    def _interval(self, started: float) -> float:
        """Return how long after the start of a poll the next one is due."""
        trusts = self._health.receiving and started >= self._wary_until
        usual = self._poll_seconds if trusts else self._stale_poll_seconds
        if self._is_notified(started) or not self._mute.covers(started):
            return usual
        took = self._clock.monotonic() - started
        return min(usual, max(self._muted_poll_seconds, MUTED_SHARE * took))

    def _is_notified(self, since: float) -> bool:
        """Whether NOTIFY is received, and was not muted after this time."""
        return self._health.receives(NOTIFY) and not self._mute.covers_notify(since)

    async def poll(self) -> None:
        """Read the changes since the last poll."""
        since, self._dirty, self._polled_at = self._polled_at, False, self._clock.monotonic()
        reported, self._reported = self._reported, None
        assert self._cursor is not None, "a list comes before a poll"  # noqa: S101 - run_once ensures it
        until = self._reconciler.armed_until
        is_first = self._health.receiving and not self._missed_hints.has_begun
        was_notified, self._was_notified = self._was_notified, self._health.receives(NOTIFY)
        self._metrics.changes_missed(self._missed_hints.take_missed(self._clock.monotonic()))
        page = await self._take(self._store.poll(self._cursor, until, None, self._left_out.first_page))
        cursor = page.snapshot or Snapshot.before(page.cursor)
        self._compare(page, since, is_first=is_first, was_notified=was_notified)
        while page.after is not None:
            share = self._left_out.share()
            page = await self._take(self._store.poll(self._cursor, until, page.after, None, share))
            self._compare(page, since, is_first=is_first, was_notified=was_notified)
        self._cursor = cursor
        self._missed_hints.forget_before(cursor.begin)
        # A channel reports a commit shortly before it shows.
        self._dirty |= reported is not None and not cursor.shows(reported)

    def _compare(self, page: Page, since: float, *, is_first: bool, was_notified: bool) -> None:
        """Check whether hints preceded the changes that a poll found; counting starts at the first poll after one.

        While Realtime is muted or spared, only a listener that has received NOTIFY since the last poll expects hints.
        """
        self._mute.polled(page)
        if is_first:
            self._missed_hints.begin(page.cursor, page.jobs)
        elif self._mute.covers(since) and not (was_notified and self._is_notified(since)):
            self._missed_hints.excuse(page.jobs)
        elif self._missed_hints.found(page.jobs, self._clock.monotonic()):
            self._beware()
            if self.doubter is not None:
                self.doubter.doubt()

    def _beware(self) -> None:
        self._wary_until = self._clock.monotonic() + WARY_SECONDS

    async def _take(self, reading: Awaitable[Page]) -> Page:
        """Read a page and pass its rows on."""
        requested_at = self._clock.monotonic()
        page = await reading
        self._reconciler.apply(page.jobs, requested_at)
        for hint in page.hints:
            if self._sink is not None:
                self._sink.deliver(hint)
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
        if self._cursor is None or cursor.begin < self._cursor.begin:  # the latter: it is another database by now
            self._cursor = cursor
        self._left_out.forget()

    async def _list_due(self, until: datetime) -> Snapshot:
        self._reconciler.armed_until = self._reconciler.complete_until = until
        listing = await self._store.due(until, self._horizon_jobs)
        self._reconciler.complete_until = min(listing.complete_until, self._reconciler.complete_until)
        self._metrics.due_not_armed("memory", listing.left_out)
        await read_jobs(listing.ids, self._store, self._reconciler, self._clock)
        return listing.snapshot or Snapshot.before(listing.cursor)

    async def _wait(self) -> None:
        if not self._dirty:
            await self._wait_for_news()
        left = self._polled_at + LEAST_POLL_SECONDS - self._clock.monotonic()
        if self._dirty and left > 0:
            await anyio.sleep(left)

    async def _wait_for_news(self) -> None:
        self._wake = anyio.Event()
        left = (self._reconciler.complete_until - self._clock.now()).total_seconds()
        # The next list comes before what was left out is due: half of what is left, but never a busy loop.
        now = self._clock.monotonic()
        self._relist_at = min(self._relist_at, now + max(left / 2, self._relist_pause))
        until = min(self._relist_at, self._poll_at, now + self._left_out.pause_seconds)
        with anyio.move_on_after(max(0.0, until - now)):
            await self._wake.wait()
