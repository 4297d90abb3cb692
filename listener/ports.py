"""What the stages need of the world, as protocols. Adapters live in `listener.supabase`; tests bring their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


class Clock(Protocol):
    """The database's clock, as well as it is known here. UTC at the edges, monotonic inside."""

    def now(self) -> datetime:
        """The database's present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps; only differences mean anything."""
        ...

    async def sleep_until(self, instant: datetime) -> None:
        """Return at `instant` or after it, never before."""
        ...
