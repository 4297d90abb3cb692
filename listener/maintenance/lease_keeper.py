"""The lease keeper keeps this listener's claims alive.

Takes the runs that are held. Gives extended leases, and, once it has joined, a heartbeat that the other listeners
see; it passes their heartbeats to `Peers`, and to the alert evaluator whether there are rules. Guarantees that a
handler is stopped before its lease could pass to another listener: a claim is trusted for less time than the database
grants it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.execution.in_parts import in_parts
from listener.execution.run_result import LEASE_LOST
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.domain.messages import Held
    from listener.observability.metrics import Metrics
    from listener.ports import AlertSwitch, Clock, LeaseStore
    from listener.runs.held_runs import HeldRuns
    from listener.scheduling.peers import Peers

TRUSTED_SHARE = 0.8
"""The part of a lease that is relied on; the rest is for round trips and for clocks that disagree."""
CALL_SHARE = 0.25
"""How long one request may take, in leases: less than an interval, so that it is known to have failed."""
WATCH_SHARE = 0.05
"""How often, in leases, the trust is checked, also while a request for an extension hangs."""
BELIEVED_SHARE = 0.5
"""How long a heartbeat counts, in leases. Wrongly taking a listener for dead only causes a duplicate claim attempt."""
BATCH = 1000
LEAST_PAUSE_SECONDS = 0.1
"""Between two heartbeats: any number of hints costs so many."""
RETRY_SHARE = 5
"""After a failed extension the next one comes this much sooner."""


class LeaseKeeper:
    """Extends leases three times per lease.

    Args:
        store: where leases are extended.
        runs: what is held.
        runs: the runs that this listener holds.
        metrics: where lost leases are counted.
        peers: receives the heartbeats of the other listeners.
        alerts: receives whether there are alert rules.
        lease_seconds: how long a claim is good.
        receives_notify: whether this listener receives NOTIFY just now; where all do, the database spares Realtime.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the composition root names each
        self,
        store: LeaseStore,
        runs: HeldRuns,
        clock: Clock,
        metrics: Metrics,
        peers: Peers,
        alerts: AlertSwitch,
        lease_seconds: float,
        receives_notify: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store, self._runs, self._clock, self._metrics = store, runs, clock, metrics
        self._peers, self._alerts, self._receives_notify = peers, alerts, receives_notify
        self._interval = lease_seconds / 3
        self._trusted = lease_seconds * TRUSTED_SHARE
        self._watch = lease_seconds * WATCH_SHARE
        self.listeners: list[str] = []
        self._shares = False
        self._wake = anyio.Event()
        self._log = structlog.get_logger("lease_keeper")

    def join(self) -> None:
        """Take a share of the jobs, and send a heartbeat at once so that the others see it."""
        self._shares = True
        self.heartbeat_now()

    async def leave(self) -> None:
        """Leave one's share to the other listeners.

        Raises:
            StoreError: the others were not notified; they notice when the last heartbeat is too old.
        """
        self._shares = False
        await self._store.leave()

    def heartbeat_now(self) -> None:
        """Send a heartbeat, and read those of the others, as soon as possible."""
        self._wake.set()

    async def run(self) -> None:
        """Extend until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._stop_in_time)
            while True:
                pause, self._wake = self._interval, anyio.Event()
                try:
                    with anyio.fail_after(self._interval):  # a connection that hangs is left for a new one
                        await self.run_once()
                except (StoreError, TimeoutError) as fault:
                    self._log.warning(Event.LEASES_NOT_EXTENDED, error=str(fault) or "no answer in time")
                    pause = self._interval / RETRY_SHARE
                await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        await anyio.sleep(min(LEAST_PAUSE_SECONDS, seconds))
        with anyio.move_on_after(seconds):
            await self._wake.wait()

    async def _stop_in_time(self) -> None:
        while True:
            await anyio.sleep(self._watch)
            self.stop_untrusted()

    async def run_once(self) -> None:
        """Send a heartbeat, extend every lease held, and stop the runs whose lease is lost.

        Raises:
            StoreError: not all were extended. If one run made its batch fail, the others of the batch were extended.
        """
        held, refused = self._runs.held, None
        for start in range(0, max(1, len(held)), BATCH):
            async for _, fault in in_parts(held[start : start + BATCH], self._extend):
                if fault is not None and not fault.split_batch:
                    raise fault
                refused = fault or refused
        if refused is not None:
            raise refused

    async def _extend(self, held: list[Held]) -> None:
        requested_at = self._clock.monotonic()
        receives_notify = self._receives_notify()
        extended = await self._store.extend(held, shares=self._shares, receives_notify=receives_notify)
        self.listeners = list(extended.listeners)
        self._peers.received(extended.listeners, extended.handlers)
        self._alerts.notice(has_alerts=extended.has_alerts)
        self._runs.trust(set(held).difference(extended.lost, extended.unsure), requested_at)
        # A run that ended while the request was under way is not lost, and no longer held either.
        self._stop(extended.lost, "the database has given it up")

    def stop_untrusted(self) -> None:
        """Stop runs whose last extension, or claim, is too long ago to be trusted."""
        stale = self._runs.trusted_before(self._clock.monotonic() - self._trusted)
        self._stop(stale, "the database did not answer in time")

    def _stop(self, claims: list[Held], why: str) -> None:
        lost = self._runs.lose(claims, LEASE_LOST)
        if lost:
            self._metrics.leases_lost(lost)
            self._log.warning(Event.LEASE_LOST, runs=lost, why=why)
