"""The pinger reports to a monitor outside that this listener is ready: a dead-man's switch.

Takes the health. Gives pings, and at most one `fail` for each outage. Guarantees that a monitor that does not answer
delays nothing else: the pinger has a task and a connection of its own, and every ping has a time limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import PingFailedError
from listener.masking.redaction import redact_text
from listener.observability.events import Event

if TYPE_CHECKING:
    from listener.observability.health import Health
    from listener.observability.metrics import Metrics
    from listener.ports import Clock, Monitor

LOOK_SECONDS = 1.0
AGAIN_SECONDS = 10.0
"""A ping that was not taken is repeated after this time: monitors allow a minute or more."""
FAULT_SECONDS = 30.0
"""How long the listener may be not ready before it says so; until then the monitor only gets no ping."""


class Pinger:
    """Pings while the listener is ready, and reports why it is not.

    Args:
        monitor: takes the pings.
        health: says whether the listener is ready.
        clock: measures the intervals.
        metrics: counts the pings.
        interval_seconds: how often it pings.
    """

    def __init__(
        self, monitor: Monitor, health: Health, clock: Clock, metrics: Metrics, interval_seconds: float
    ) -> None:
        self._monitor, self._health, self._clock, self._metrics = monitor, health, clock, metrics
        self._interval_seconds = interval_seconds
        self._next_at = self._unready_since = 0.0
        self._was_ready, self._is_reported, self._is_taken = True, False, True
        self._log = structlog.get_logger("pinger")

    async def run(self) -> None:
        """Announce the start, then ping until cancelled."""
        await self._send("start")
        while True:
            await self.run_once()
            await anyio.sleep(LOOK_SECONDS)

    async def run_once(self) -> None:
        """Send the ping that is due, if one is."""
        fault, now = self._health.fault(), self._clock.monotonic()
        if fault is None:
            if now >= self._next_at or not self._was_ready:
                taken = await self._send()
                self._next_at = now + (self._interval_seconds if taken else min(self._interval_seconds, AGAIN_SECONDS))
            self._was_ready, self._is_reported = True, False
            return
        if self._was_ready:
            self._was_ready, self._unready_since = False, now
        if not self._is_reported and not self._health.draining and now - self._unready_since >= FAULT_SECONDS:
            self._is_reported = True
            await self.report(fault)

    async def report(self, why: str) -> None:
        """Report to the monitor that this listener fails."""
        await self._send("fail", redact_text(why))

    async def _send(self, act: str = "", text: str = "") -> bool:
        """Send a ping; return whether the monitor took it. Only the first of several failures is logged."""
        try:
            await self._monitor.ping(act, text)
        except PingFailedError as fault:
            self._metrics.pinged("unsent")
            if self._is_taken:
                self._log.warning(Event.HEARTBEAT_UNSENT, act=act or "ready", error=str(fault))
            self._is_taken = False
            return False
        self._metrics.pinged("sent")
        if not self._is_taken:
            self._log.info(Event.HEARTBEAT_RECOVERED)
        self._is_taken = True
        return True
