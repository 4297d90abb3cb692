"""Estimates the database's clock, so that steps and skew of the local clock do not matter."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DRIFT = 200e-6
"""Assumed drift between two clocks, per second: usual is a tenth of it, and NTP slews by at most half of it."""


def seconds_since_boot() -> float:
    """Give seconds that never step, and that go on while the machine sleeps: leases run out meanwhile.

    Linux's monotonic clock stands still then.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class DatabaseClock:
    """Estimates the database's clock by the instants in its answers; the shortest round trip is best (Cristian, 1989).

    Args:
        monotonic: seconds that never step, nor stand still.
    """

    def __init__(self, monotonic: Callable[[], float] = seconds_since_boot) -> None:
        self.monotonic = monotonic
        # Until the database has answered, the local clock is the best guess.
        self._offset = datetime.now(UTC).timestamp() - monotonic()  # noqa: TID251 - this is the Clock
        self._best: tuple[float, float] | None = None  # (by how much it may be wrong, when it was taken)

    def now(self) -> datetime:
        """The database's present instant."""
        return datetime.fromtimestamp(self.monotonic() + self._offset, UTC)

    async def sleep_until(self, instant: datetime) -> None:
        """Return at `instant` or after it, never before (loops wake early by up to a millisecond)."""
        while (remaining := (instant - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - time is the event
            await anyio.sleep(remaining)

    def observe(self, database_now: datetime, requested_at: float, answered_at: float) -> None:
        """Update the estimate from an answer: the database's time at a moment between two monotonic instants."""
        told, may_be_wrong = database_now.timestamp(), (answered_at - requested_at) / 2
        # The moment lies between request and answer: an estimate outside of that is wrong at least by the distance.
        possible = min(max(self._offset, told - answered_at), told - requested_at)
        if self._is_known_better(may_be_wrong, answered_at, lacks=abs(possible - self._offset)):
            self._offset = possible
            return
        self._best = (may_be_wrong, answered_at)
        self._offset = told - (requested_at + answered_at) / 2

    def _is_known_better(self, may_be_wrong: float, answered_at: float, lacks: float) -> bool:
        """Whether the estimate stands; a deviation beyond its possible error means a clock step, or a sleep."""
        if self._best is None:
            return False
        known, taken_at = self._best
        known += DRIFT * (answered_at - taken_at)
        return known < may_be_wrong and lacks <= known


def milliseconds(instant: datetime) -> int:
    """Whole milliseconds since 1970, rounded down: the unit of the wheel."""
    return (instant - EPOCH) // timedelta(milliseconds=1)
