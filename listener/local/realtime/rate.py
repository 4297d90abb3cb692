"""The real server's limit on `postgres_changes`: above an average over a minute, changes are silently dropped."""

from __future__ import annotations

import time
from collections import deque

TICK_SECONDS = 5.0
MOST_BUCKETS = 12


class RateLimit:
    """Counts changes times subscriptions, for all clients together. `per_second` None admits everything.

    The counts are looked at once a tick: while the average of the last `MOST_BUCKETS` ticks is not below the limit, all
    changes are dropped, and none is counted. The first count begins with the first change.
    """

    def __init__(self, per_second: float | None, tick_seconds: float = TICK_SECONDS) -> None:
        self._per_second, self._tick_seconds = per_second, tick_seconds
        self._buckets: deque[int] = deque(maxlen=MOST_BUCKETS)
        self._current = 0
        self._ticks_at: float | None = None  # when the current count ends
        self._drops = False

    def admit(self, events: int, now: float | None = None) -> bool:
        """Count `events` and return whether they may be sent; `now` is monotonic time in seconds."""
        if self._per_second is None:
            return True
        self._tick(self._per_second, time.monotonic() if now is None else now)
        if not self._drops:
            self._current += events
        return not self._drops

    def _tick(self, per_second: float, now: float) -> None:
        if self._ticks_at is None:
            self._ticks_at = now + self._tick_seconds
        passed = max(0, int((now - self._ticks_at) // self._tick_seconds) + 1)
        self._ticks_at += passed * self._tick_seconds
        for _ in range(min(passed, MOST_BUCKETS + 1)):
            self._buckets.append(self._current)
            self._current = 0
            self._drops = sum(self._buckets) / (len(self._buckets) * self._tick_seconds) >= per_second
