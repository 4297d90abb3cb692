"""How many jobs of each party are in memory; pure."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from listener.domain.job import Job

NEAR = timedelta(seconds=10)
"""What is due, or is so soon, may use the memory twice over: it ought to run before what is held for later."""


class Shares:
    """The jobs of each party that a listener keeps; each counts once in the agenda and once in the queue.

    Args:
        most: how many there may be before each party is held to an equal share.
    """

    def __init__(self, most: int = 50_000) -> None:
        self.most, self.total = most, 0
        self._held: Counter[str | None] = Counter()

    def enter(self, job: Job) -> None:
        """Count a job."""
        self._held[job.party] += 1
        self.total += 1

    def leave(self, job: Job) -> None:
        """Count it no more."""
        self._held[job.party] -= 1
        self.total -= 1
        if not self._held[job.party]:
            del self._held[job.party]

    def admits(self, job: Job, now: datetime, *, listed: bool) -> bool:
        """Whether one more job may be kept.

        Always where there is memory, or its party is within its share; else, within twice the memory, if the database
        chose it, or it has a priority, or is due soon.
        """
        if self.total < self.most or self._held[job.party] * len(self._held) < self.most:
            return True
        is_urgent = listed or job.priority > 0 or (job.next_run_at is not None and job.next_run_at <= now + NEAR)
        return is_urgent and self.total < 2 * self.most
