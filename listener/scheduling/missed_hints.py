"""Which changes were announced: what a poll finds and no hint tells of was missed.

Takes the transactions that hints name, and the revisions that polls find. Gives the number of those missed. Guarantees
that each counts once, and none that was merely announced late; its memory is bounded.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from listener.domain.job import Job

GRACE_SECONDS = 2.5
"""How long a hint may take: less than it, and a change that a poll was faster to find would be called missed."""
MOST_REMEMBERED = 10_000
"""Transactions, of hints and of changes without one."""
RUNNING = "running"


class MissedHints:
    """Compares hints with what polls find. A revision is the id of the transaction that made it.

    A transaction that changes one job several times notifies several times: its nth hint by a channel announces the nth
    revision that it may have made.
    """

    def __init__(self) -> None:
        self._announced: dict[int, None] = {}
        self._rung: Counter[tuple[str, int]] = Counter()
        self._suspects: dict[int, float] = {}
        self._since: int | None = None

    def received(self, source: str, xid: int) -> None:
        """Take note of a hint."""
        revision = xid + self._rung[source, xid]
        self._rung[source, xid] += 1
        self._suspects.pop(revision, None)
        self._remember(revision)

    @property
    def has_begun(self) -> bool:
        """Whether changes are counted."""
        return self._since is not None

    def begin(self, cursor: int, jobs: Iterable[Job]) -> None:
        """Count from here on: what was there before the first channel was received, nobody could announce."""
        self._since = cursor
        for job in jobs:
            self._remember(job.revision)

    def found(self, jobs: Iterable[Job], now: float) -> bool:
        """Take note of what a poll found; tell whether there is anything among it that no hint has told of yet."""
        unknown = {job.revision for job in jobs if self._should_have_rung(job)} - self._announced.keys()
        for revision in unknown:
            if len(self._suspects) < MOST_REMEMBERED:
                self._suspects.setdefault(revision, now)
        return bool(unknown)

    def take_missed(self, now: float) -> int:
        """Count the changes that an earlier poll found and that are still unannounced."""
        missed = [revision for revision, at in self._suspects.items() if now - at >= GRACE_SECONDS]
        for revision in missed:
            del self._suspects[revision]
            self._remember(revision)
        return len(missed)

    def forget_before(self, cursor: int) -> None:
        """Forget what no poll will find again."""
        for revision in [revision for revision in self._announced if revision < cursor]:
            del self._announced[revision]
        for key in [key for key in self._rung if key[1] < cursor and key[1] not in self._announced]:
            del self._rung[key]

    def _should_have_rung(self, job: Job) -> bool:
        """Whether a client made this revision: the service notifies nobody when it queues a run of a job."""
        waits = job.next_run_at is not None and job.next_run_at != job.due_at
        return self._since is not None and job.revision >= self._since and not waits and job.status != RUNNING

    def _remember(self, revision: int) -> None:
        self._announced[revision] = None
        if len(self._announced) > MOST_REMEMBERED:
            oldest = next(iter(self._announced))
            del self._announced[oldest]
            self._since = max(self._since or 0, oldest + 1)  # it must not be taken for missed
