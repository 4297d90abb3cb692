"""The watchdog detects a loop that lags, and due work that no stage takes up.

Takes the agenda and the dispatcher. Gives the lag of the loop, and the time for which work waits although slots are
free. Guarantees that a stage that hangs without an exception is reported: the supervisor cannot detect it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from listener.clock import milliseconds
from listener.observability.health import PATIENCE_SECONDS

if TYPE_CHECKING:
    from listener.execution.dispatcher import Dispatcher
    from listener.observability.health import Health
    from listener.observability.metrics import Metrics
    from listener.ports import Clock
    from listener.scheduling.agenda import Agenda

INTERVAL_SECONDS = 0.25


class Watchdog:
    """Checks four times a second.

    Args:
        clock: measures the lag and the overdue time.
        health: receives both.
        metrics: receives both.
        agenda: what is armed.
        dispatcher: what is ready.
    """

    def __init__(self, clock: Clock, health: Health, metrics: Metrics, agenda: Agenda, dispatcher: Dispatcher) -> None:
        self._clock, self._health, self._metrics = clock, health, metrics
        self._agenda, self._dispatcher = agenda, dispatcher
        self._progress, self._progress_at = -1, 0.0

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            self.run_once()
            await anyio.sleep(INTERVAL_SECONDS)

    def run_once(self) -> None:
        """Check once."""
        self._metrics.loop_lagged(self._health.expect_heartbeat(INTERVAL_SECONDS))
        overdue = max(self._overdue_in_agenda(), self._stalled())
        self._health.work_waits(overdue)
        self._metrics.work_waits(overdue)
        self._dispatcher.abandon_stuck()
        waiting, starved = self._dispatcher.delayed(PATIENCE_SECONDS)
        self._health.starves(starved)
        for reason, count in waiting.items():
            self._metrics.due_not_armed(reason, count)

    def _overdue_in_agenda(self) -> float:
        """Seconds since the earliest armed job should have been given out: the timekeeper is late, or hangs."""
        due = self._agenda.next_due()
        return max(0.0, (milliseconds(self._clock.now()) - due) / 1000) if due is not None else 0.0

    def _stalled(self) -> float:
        """Seconds since the dispatcher had its last answer, if it could claim or waits for one."""
        now, progress = self._clock.monotonic(), self._dispatcher.answered
        if progress != self._progress or not self._dispatcher.has_cause_to_claim:
            self._progress, self._progress_at = progress, now
        return now - self._progress_at
