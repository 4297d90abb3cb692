"""The alert evaluator has the database evaluate the alert rules.

Takes from each heartbeat whether there are rules. Gives alerts, and jobs that send them. Guarantees that nothing is
called while there are no rules, and that each run counts once, also where several listeners evaluate: the database lets
one at a time, every ten seconds at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.observability.metrics import Metrics
    from listener.ports import AlertStore

INTERVAL_SECONDS = 10.0
"""After a failure; else the database says when to ask again."""
JITTER_SECONDS = 0.3


class AlertEvaluator:
    """Evaluates alert rules while there are any.

    Args:
        store: where they are evaluated.
        metrics: where alerts are counted.
        jitter: numbers from 0 to 1 that keep several evaluators out of step.
    """

    def __init__(self, store: AlertStore, metrics: Metrics, jitter: Callable[[], float]) -> None:
        self._store, self._metrics, self._jitter = store, metrics, jitter
        self._has_alerts = False
        self._wake = anyio.Event()
        self._log = structlog.get_logger("alert_evaluator")

    def notice(self, *, has_alerts: bool) -> None:
        """Take from a heartbeat whether there is anything to evaluate."""
        self._has_alerts = has_alerts
        if has_alerts:
            self._wake.set()

    @property
    def is_evaluating(self) -> bool:
        """Whether there is anything to evaluate, as the last heartbeat answered."""
        return self._has_alerts

    async def run(self) -> None:
        """Evaluate until cancelled."""
        while True:
            await self._wake.wait()
            pause = INTERVAL_SECONDS
            try:
                pause = await self.run_once()
            except StoreError as fault:
                self._log.warning(Event.ALERTS_NOT_EVALUATED, error=str(fault))
            await anyio.sleep(pause + JITTER_SECONDS * self._jitter())
            if not self._has_alerts:
                self._wake = anyio.Event()

    async def run_once(self) -> float:
        """Evaluate once; returns the seconds until the next evaluation.

        Raises:
            StoreError: the database did not answer; the next evaluation reads what this one did not.
        """
        done = await self._store.evaluate()
        self._metrics.alerts_evaluated(done.opened, done.resolved, done.deliveries)
        if done.opened or done.resolved or done.deliveries:
            self._log.info(
                Event.ALERTS_EVALUATED, opened=done.opened, resolved=done.resolved, deliveries=done.deliveries
            )
        return done.wait_seconds
