"""The publisher writes the handlers of this listener into the catalogue.

Takes the registry's catalogue. Gives rows of `job_handlers`. Guarantees one attempt before the listener reports that it
is ready, more until one succeeds, and regular repetition, because the database deletes handlers that nobody publishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import structlog

from listener.errors import StoreError
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from listener.observability.health import Health
    from listener.ports import CatalogueStore

AWAITED = "catalogue"
FIRST_SECONDS = 3.0
"""How long readiness waits: jobs run without a catalogue, and users are refused until there is one."""
INTERVAL_SECONDS = 3600.0
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0


class Publisher:
    """Publishes the catalogue.

    Args:
        store: where it is published.
        catalogue: the rows: `name`, `description`, `payload_schema` and `exposed` of each handler.
        health: reports "not ready" before the first attempt.
        jitter: numbers from 0 to 1 that keep several publishers out of step.
    """

    def __init__(
        self,
        store: CatalogueStore,
        catalogue: Sequence[dict[str, Any]],
        health: Health,
        jitter: Callable[[], float],
    ) -> None:
        self._store, self._catalogue, self._health, self._jitter = store, catalogue, health, jitter
        self._log = structlog.get_logger("publisher")
        health.await_first(AWAITED)

    async def run(self) -> None:
        """Publish until cancelled."""
        is_published = False
        with anyio.move_on_after(FIRST_SECONDS):
            is_published = await self.run_once()
        self._health.came(AWAITED)
        pause = FIRST_PAUSE_SECONDS
        while True:
            if is_published:
                pause = FIRST_PAUSE_SECONDS
                await anyio.sleep(INTERVAL_SECONDS * (0.5 + self._jitter()))
            else:
                await anyio.sleep(pause * (0.5 + self._jitter()))
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
            is_published = await self.run_once()

    async def run_once(self) -> bool:
        """Publish; returns whether it succeeded."""
        try:
            published = await self._store.publish(self._catalogue)
        except StoreError as fault:
            self._log.warning(Event.CATALOGUE_FAILED, error=str(fault))
            return False
        self._log.debug(Event.CATALOGUE_PUBLISHED, handlers=published)
        return True
