"""A clock whose monotonic seconds a test moves."""

from __future__ import annotations

from listener.execution.worker import CarriedClock


class MovedClock(CarriedClock):
    """Stands still until a test sets `seconds`."""

    seconds = 0.0

    def monotonic(self) -> float:
        """Return the seconds that the test has set."""
        return self.seconds
