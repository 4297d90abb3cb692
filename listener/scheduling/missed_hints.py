"""Detects changes found by polling without a prior notification.

Takes the transactions that hints name, and those of the changes that polls find. Gives the number of missed changes.
Guarantees that each counts once, and that a change with a late hint does not count; its memory is bounded.
"""

from __future__ import annotations

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
    """Compares the transactions that hints name with those whose changes polls find."""

    def __init__(self) -> None:
        self._announced: dict[int, None] = {}
        self._suspects: dict[int, float] = {}
        self._since: int | None = None

    def received(self, xid: int) -> None:
        """Record a hint."""
        self._suspects.pop(xid, None)
        self._remember(xid)

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
        for xid in unknown:
            if len(self._suspects) < MOST_REMEMBERED:
                self._suspects.setdefault(xid, now)
        return bool(unknown)

    def excuse(self, jobs: Iterable[Job]) -> None:
        """Record jobs that a poll found while notifications were muted: no hint of them follows."""
        for job in jobs:
            self._suspects.pop(_xid(job), None)
            self._remember(_xid(job))

    def take_missed(self, now: float) -> int:
        """Return the number of changes that an earlier poll found and that still have no hint."""
        missed = [xid for xid, at in self._suspects.items() if now - at >= GRACE_SECONDS]
        for xid in missed:
            del self._suspects[xid]
            self._remember(xid)
        return len(missed)

    def forget_before(self, cursor: int) -> None:
        """Forget transactions that no later poll will find again."""
        for xid in [xid for xid in self._announced if xid < cursor]:
            del self._announced[xid]

    def _needs_hint(self, job: Job) -> bool:
        """Whether a client made this change: the service notifies nobody when it queues a run of a job."""
        waits = job.next_run_at is not None and job.next_run_at != job.due_at
        return self._since is not None and _xid(job) >= self._since and not waits and job.status != RUNNING

    def _remember(self, xid: int) -> None:
        self._announced[xid] = None
        if len(self._announced) > MOST_REMEMBERED:
            oldest = next(iter(self._announced))
            del self._announced[oldest]
            self._since = max(self._since or 0, oldest + 1)  # so that the forgotten one does not count as missed


def _xid(job: Job) -> int:
    """Return the transaction that changed the job, as far as an older database shows it."""
    return job.revision if job.changed_in is None else job.changed_in
