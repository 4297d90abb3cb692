"""The real server's limit on `postgres_changes`: above an average over a minute, changes are silently dropped."""

from __future__ import annotations

import time
from collections import deque

WINDOW_SECONDS = 60


class RateLimit:
    """Counts changes times subscriptions. `per_second` None admits everything."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._buckets: deque[int] = deque(maxlen=WINDOW_SECONDS)  # finished seconds, the oldest first
        self._current = 0
        self._second = 0

    def admit(self, events: int, now: float | None = None) -> bool:
        """Count `events` and return whether they may be sent; `now` is monotonic time in seconds."""
        if self._per_second is None:
            return True
        self._tick(int(time.monotonic() if now is None else now))
        if self._buckets and sum(self._buckets) / len(self._buckets) > self._per_second:
            return False
        self._current += events
        return True

    def _tick(self, second: int) -> None:
        passed = second - self._second if self._second else 0
        self._second = second
        if passed:
            self._buckets.append(self._current)
            self._buckets.extend([0] * min(passed - 1, WINDOW_SECONDS))
            self._current = 0
