"""Detects changes found by polling without a prior notification.

Takes the transactions that hints name, and the revisions that polls find. Gives the number of missed changes.
Guarantees that each counts once, and that a change with a late hint does not count; its memory is bounded.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from listener.domain.job import Job

GRACE_SECONDS = 2.5
"""How long a hint may take. With less, a change that a poll found first would count as missed."""
MOST_REMEMBERED = 10_000
"""Transactions, of hints and of changes without one."""
RUNNING = "running"


class MissedHints:
    """Compares hints with the revisions that polls find. A revision is the id of the transaction that made it.

    A transaction that changes one job several times notifies several times: its nth hint by a channel announces the nth
    revision that it may have made.
    """

    def __init__(self) -> None:
        self._announced: dict[int, None] = {}
        self._hinted: Counter[tuple[str, int]] = Counter()
        self._suspects: dict[int, float] = {}
        self._since: int | None = None

    def received(self, source: str, xid: int) -> None:
        """Record a hint."""
        revision = xid + self._hinted[source, xid]
        self._hinted[source, xid] += 1
        self._suspects.pop(revision, None)
        self._remember(revision)

    @property
    def has_begun(self) -> bool:
        """Whether changes are counted."""
        return self._since is not None

    def begin(self, cursor: int, jobs: Iterable[Job]) -> None:
        """Count from now on: no channel could announce changes from before the first channel was received."""
        self._since = cursor
        for job in jobs:
            self._remember(_xid(job))

    def found(self, jobs: Iterable[Job], now: float) -> bool:
        """Record the jobs that a poll found; return whether one of them has no hint yet."""
        unknown = {_xid(job) for job in jobs if self._needs_hint(job)} - self._announced.keys()
        for revision in unknown:
            if len(self._suspects) < MOST_REMEMBERED:
                self._suspects.setdefault(revision, now)
        return bool(unknown)

    def excuse(self, jobs: Iterable[Job]) -> None:
        """Record jobs that a poll found while notifications were muted: no hint of them follows."""
        for job in jobs:
            self._suspects.pop(job.revision, None)
            self._remember(job.revision)

    def take_missed(self, now: float) -> int:
        """Return the number of changes that an earlier poll found and that still have no hint."""
        missed = [revision for revision, at in self._suspects.items() if now - at >= GRACE_SECONDS]
        for revision in missed:
            del self._suspects[revision]
            self._remember(revision)
        return len(missed)

    def forget_before(self, cursor: int) -> None:
        """Forget transactions that no later poll will find again."""
        for revision in [revision for revision in self._announced if revision < cursor]:
            del self._announced[revision]
        for key in [key for key in self._hinted if key[1] < cursor and key[1] not in self._announced]:
            del self._hinted[key]

    def _needs_hint(self, job: Job) -> bool:
        """Whether a client made this revision: the service notifies nobody when it queues a run of a job."""
        waits = job.next_run_at is not None and job.next_run_at != job.due_at
        return self._since is not None and _xid(job) >= self._since and not waits and job.status != RUNNING

    def _remember(self, revision: int) -> None:
        self._announced[revision] = None
        if len(self._announced) > MOST_REMEMBERED:
            oldest = next(iter(self._announced))
            del self._announced[oldest]
            self._since = max(self._since or 0, oldest + 1)  # so that the forgotten one does not count as missed


def _xid(job: Job) -> int:
    """Return the transaction that changed the job, as far as an older database shows it."""
    return job.revision if job.changed_in is None else job.changed_in
