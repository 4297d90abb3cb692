"""What the service knows of its own health; `/readyz` says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from listener.ports import Clock

STALE_POLL_SECONDS = 30.0
"""A service that has not seen its database for this long is not ready."""
STALE_POLLS = 3
"""Unless it polls so seldom that this many polls take longer."""


class Health:
    """The state of the database and of the doorbells, as the stages last saw them.

    Args:
        clock: dates what is told.
        doorbells: the names of the doorbells that should be heard; without any, the poll alone counts.
        poll_seconds: the longest time between two polls that are meant to be.
    """

    def __init__(self, clock: Clock, doorbells: tuple[str, ...] = (), poll_seconds: float = 0) -> None:
        self._clock = clock
        self._stale_seconds = max(STALE_POLL_SECONDS, STALE_POLLS * poll_seconds)
        self._draining = False
        self._polled_at: float | None = None
        self._poll_fault: str | None = None
        self._heard = dict.fromkeys(doorbells, False)
        self._feed_fault = "not connected yet"
        self._awaited: set[str] = set()

    @property
    def hears(self) -> bool:
        """Whether at least one doorbell is heard."""
        return any(self._heard.values())

    @property
    def doorbells(self) -> dict[str, bool]:
        """Each doorbell and whether it is heard."""
        return dict(self._heard)

    def poll_succeeded(self) -> None:
        """Note that the database answered."""
        self._polled_at, self._poll_fault = self._clock.monotonic(), None

    def poll_failed(self, fault: str) -> None:
        """Note that it did not."""
        self._poll_fault = fault

    def heard(self, doorbell: str) -> None:
        """Note that a doorbell is heard: it has brought a canary, or a signal."""
        self._heard[doorbell] = True

    def deaf(self, fault: str, doorbell: str | None = None) -> None:
        """Note that a doorbell is not heard, or that none is."""
        for name in [doorbell] if doorbell else list(self._heard):
            self._heard[name] = False
        self._feed_fault = fault

    def await_first(self, what: str) -> None:
        """Note that the service is not ready before this came."""
        self._awaited.add(what)

    def came(self, what: str) -> None:
        """Note that it came, or that it is not to be waited for any longer."""
        self._awaited.discard(what)

    def drain(self) -> None:
        """Note that the service is going: what asks for its readiness is not to count on it any more."""
        self._draining = True

    def fault(self) -> str | None:
        """Why the service is not ready, or None."""
        if self._draining:
            return "draining"
        if self._poll_fault is not None:
            return f"database: {self._poll_fault}"
        if self._polled_at is None:
            return "database: not read yet"
        age = self._clock.monotonic() - self._polled_at
        if age > self._stale_seconds:
            return f"database: last read {age:.0f} s ago"
        if self._heard and not self.hears:
            return f"feed: {self._feed_fault}"
        if self._awaited:
            return f"{', '.join(sorted(self._awaited))}: not yet"
        return None
