"""The timekeeper sleeps until the next job is near.

Takes the agenda. Gives jobs to the dispatcher when their time is near. Guarantees that none waits longer than that,
also when the estimate of the database's clock is corrected meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.domain.job import Job
    from listener.pipeline.agenda import Agenda


class Timekeeper:
    """Moves jobs from the agenda to `give`.

    Args:
        agenda: what is armed.
        give: takes the jobs whose time is near, earliest first.
    """

    def __init__(self, agenda: Agenda, give: Callable[[list[Job]], None]) -> None:
        self._agenda, self._give = agenda, give

    async def run(self) -> None:
        """Keep time until cancelled."""
        while True:
            await self._agenda.wait()
            self.run_once()

    def run_once(self) -> int:
        """Give out what is due now, and tell how much it was."""
        due = self._agenda.take_due()
        if due:
            self._give(due)
        return len(due)
