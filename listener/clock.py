"""The database's clock, estimated: what a stepped or skewed local clock says does not matter."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SAMPLE_AGE_SECONDS = 60.0
"""A sample with a shorter round trip is better, until it is this old: clocks drift."""


class DatabaseClock:
    """Follows the database's clock by the instants in its answers; the shortest round trip tells best (Cristian, 1989).

    Args:
        monotonic: seconds that never step.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        # Until the database has answered, the local clock is the best guess.
        self._offset = datetime.now(UTC).timestamp() - monotonic()  # noqa: TID251 - this is the Clock
        self._best: tuple[float, float] | None = None  # (round trip, when it was taken)

    def now(self) -> datetime:
        """The database's present instant."""
        return datetime.fromtimestamp(self.monotonic() + self._offset, UTC)

    async def sleep_until(self, instant: datetime) -> None:
        """Return at `instant` or after it, never before (loops wake early by up to a millisecond)."""
        while (remaining := (instant - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - time is the event
            await anyio.sleep(remaining)

    def observe(self, database_now: datetime, asked_at: float, answered_at: float) -> None:
        """Learn from an answer: what the database's clock said between two monotonic instants."""
        told, round_trip = database_now.timestamp(), answered_at - asked_at
        # It was said between question and answer, so an estimate outside of that is wrong by at least what lacks.
        possible = min(max(self._offset, told - answered_at), told - asked_at)
        if self._best and not self._is_better(round_trip, answered_at, corrected=abs(possible - self._offset)):
            self._offset = possible
            return
        self._best = (round_trip, answered_at)
        self._offset = told - (asked_at + answered_at) / 2

    def _is_better(self, round_trip: float, answered_at: float, corrected: float) -> bool:
        """Whether to begin anew: a correction beyond what the best left open is a step, or a sleep of this machine."""
        assert self._best is not None, "the first sample has no rival"  # noqa: S101 - the caller has looked
        best, taken_at = self._best
        return round_trip <= best or answered_at - taken_at >= SAMPLE_AGE_SECONDS or corrected > best


def milliseconds(instant: datetime) -> int:
    """Whole milliseconds since 1970, rounded down: the unit of the wheel."""
    return (instant - EPOCH) // timedelta(milliseconds=1)
