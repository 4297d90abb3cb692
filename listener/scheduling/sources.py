"""The source sync keeps one job for each row of a source that meets its condition; meetings are one source.

Takes hints; each causes a poll. Gives correct jobs, which the database writes: it holds the rows, their jobs and the
list of changes. Guarantees that every such row is checked once after the start, in the background, and every change at
the next poll at the latest; tenants take turns, also during the check at the start.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from listener.errors import StoreError
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from listener.domain.messages import Hint, Summary
    from listener.observability.health import Health
    from listener.ports import Poller, SourceStore

MEETINGS = "meeting-status"
RETRY_PAUSE_SECONDS = 2.0
LEAST_PAUSE_SECONDS = 0.05
"""Between two polls that found nothing more to do: any number of hints costs at most one poll each time."""
FAILURES_SHOWN = 20
_Newest = defaultdict[str, deque[dict[str, Any]]]
COUNTED = ("total", "jobs_scheduled", "jobs_already_exist", "errors")


class SourceSync:
    """Keeps one job for each row of a source that meets its condition.

    Args:
        store: the database, which holds the rows and their jobs.
        health: reports whether a channel is received.
        poller: reads jobs that were written.
        poll_seconds: how often to poll while a channel is received.
        stale_poll_seconds: how often to poll while no channel is received.
        meetings: whether meetings are among the sources.
    """

    def __init__(  # noqa: PLR0913 - its parts
        self,
        store: SourceStore,
        health: Health,
        poller: Poller,
        poll_seconds: float,
        stale_poll_seconds: float,
        *,
        meetings: bool = True,
    ) -> None:
        self._store, self._health, self._poller = store, health, poller
        self._poll_seconds, self._stale_poll_seconds = poll_seconds, stale_poll_seconds
        self._without = () if meetings else (MEETINGS,)
        self._checked: str | None = None  # up to which source and row
        self._turn: str | None = None  # which tenant's was the last one
        self._looks = 0  # checks that a hint still requires
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._errors: _Newest = defaultdict(lambda: deque(maxlen=FAILURES_SHOWN))  # of the check at the start
        self._failures: _Newest = defaultdict(lambda: deque(maxlen=FAILURES_SHOWN))
        self._wake = anyio.Event()
        self._summaries: dict[str, dict[str, Any]] | None = None
        self._log = structlog.get_logger("sources")

    @property
    def summary(self) -> dict[str, dict[str, Any]] | None:
        """The result of the check at the start, by source, and the newest failures; None until its end.

        A source has `total_rows`, or `total_meetings`, the counts `jobs_scheduled`, `jobs_already_exist`, `jobs_failed`
        and others, `success`, and `errors`: a list of `{"row", "reason"}`, of meetings of `{"meeting", "reason"}`, the
        last 20. `failures` are of any time: `{"key", "error"}`.
        """
        if self._summaries is None:
            return None
        names = [*self._summaries, *(name for name in self._failures if name not in self._summaries)]
        return {
            name: {**self._summaries.get(name, {}), "failures": list(self._failures.get(name, ()))} for name in names
        }

    @property
    def meetings(self) -> Mapping[str, Any] | None:
        """The summary of meetings; None until the end of the check at the start, or where they are no source."""
        return (self.summary or {}).get(MEETINGS)

    def take_hint(self, _: Hint) -> None:
        """Poll at once, and again: the database knows which rows changed, and a commit may show a moment later."""
        self._looks = 2
        self._wake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._wake = anyio.Event()
            try:
                goes_on = await self.run_once()
            except StoreError as fault:
                self._log.warning(Event.SOURCES_FAILED, error=str(fault))
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
        """Check a page of all rows, until the last page, and a part of the changed ones; return whether to go on.

        Raises:
            StoreError: one of the two requests failed; it is made again next time.
        """
        checked = self._summaries is not None or await self._check_page()
        page = await self._store.sync_changed(self._turn, self._without)
        self._turn = page.after
        self._take(page)
        if self._summaries is None:  # else the pages to come would say that these jobs were there before
            for name, counts in page.counts.items():
                self._counts[name]["jobs_scheduled"] += counts.get("jobs_scheduled", 0)
        return not checked or page.more or page.after is not None

    async def _check_page(self) -> bool:
        """Check the next page of all rows; return whether it was the last."""
        page = await self._store.sync_all(self._checked, self._without)
        self._checked = page.after
        for name, counts in page.counts.items():
            self._counts[name].update(counts)
        for name, failures in page.failures.items():
            self._errors[name].extend(failures)
        self._take(page)
        if page.after is None:
            self._summaries = {
                name: _summarised(name, counts, self._errors[name]) for name, counts in self._counts.items()
            }
            for name, summary in self._summaries.items():
                self._log.info(Event.SOURCES_CHECKED, source=name, **summary)
        return page.after is None

    def _take(self, page: Summary) -> None:
        for name, failures in page.failures.items():
            self._failures[name].extend(failures[-FAILURES_SHOWN:])
            self._log.warning(Event.SOURCE_ROWS_FAILED, source=name, rows=len(failures), failures=failures[:5])
        written = ("jobs_scheduled", "jobs_moved", "jobs_cancelled")
        if any(counts.get(key) for counts in page.counts.values() for key in written):
            self._poller.poll_now()


def _summarised(name: str, counted: Mapping[str, int], failures: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    counts = {**dict.fromkeys(COUNTED, 0), **counted}
    total, failed = counts.pop("total"), counts.pop("errors")
    found = total - counts["jobs_scheduled"] - failed
    row, rows = ("meeting", "total_meetings") if name == MEETINGS else ("row", "total_rows")
    counts |= {"jobs_already_exist": max(0, found), "jobs_failed": failed}
    errors = [{row: each["key"], "reason": each["error"]} for each in failures]
    return {rows: total, **counts, "errors": errors, "success": failed == 0}
