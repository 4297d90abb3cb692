"""The muter keeps notifications within what Realtime's plans allow: it mutes them while they are many.

Takes hints, and passes each on. Gives requests to mute notifications for some seconds, in which the reflector polls at
short intervals. Guarantees that it asks only after more notifications than its allowance, at most once a second; the
database decides, which counts what it has sent itself. Network drivers do the same with interrupts:
https://docs.kernel.org/networking/napi.html
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import anyio
import structlog

from listener.domain.messages import NOTIFY
from listener.errors import StoreError
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from datetime import datetime

    from listener.domain.messages import Hint, Page
    from listener.observability.metrics import Metrics
    from listener.ports import Clock, HintSink, MuteStore, Poller

BURST = 250
"""Notifications that may come at once before the allowance counts."""
NOTIFY_PER_MINUTE, NOTIFY_BURST = 3000.0, 1000
"""Commits that send a NOTIFY wait for one another. Measured, eight writers: a third of the commits without."""
LONGEST_MUTE_SECONDS = 60.0
"""The database grants no longer one."""
GRACE_SECONDS = 1.0
"""How long polls go on at short intervals after a mute: a statement that was not announced may commit after its end."""
LEAST_PAUSE_SECONDS = 1.0
"""Between two requests."""


class Mute:
    """Until when no statement notifies the listeners, as far as this listener knows.

    Args:
        clock: the database's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.until = self.notify_until = self.spared_until = -math.inf  # monotonic

    def learned(self, until: datetime | None, notify_until: datetime | None = None) -> None:
        """Note what the database says of Realtime, and of NOTIFY; None: nothing is muted."""
        self.until = max(self.until, self._monotonic(until))
        self.notify_until = max(self.notify_until, self._monotonic(notify_until))

    def polled(self, page: Page) -> None:
        """Note what a poll says. That Realtime is spared may end sooner than an earlier one said."""
        is_mute = page.muted_until != page.spared_until
        self.learned(page.muted_until if is_mute else None, page.notify_muted_until)
        self.spared_until = self._monotonic(page.spared_until)

    def _monotonic(self, until: datetime | None) -> float:
        if until is None:
            return -math.inf
        return self._clock.monotonic() + (until - self._clock.now()).total_seconds()

    @property
    def is_on(self) -> bool:
        """Whether statements do not notify the listeners through Realtime; it is muted, or spared."""
        return self._clock.monotonic() < max(self.until, self.spared_until)

    def covers(self, since: float) -> bool:
        """Whether a change after this monotonic time may have come without a notification through Realtime."""
        return since < max(self.until, self.spared_until) + GRACE_SECONDS

    @property
    def is_on_notify(self) -> bool:
        """Whether statements send no NOTIFY."""
        return self._clock.monotonic() < self.notify_until

    def covers_notify(self, since: float) -> bool:
        """Whether a change after this monotonic time may have come without a NOTIFY, because of a mute."""
        return since < self.notify_until + GRACE_SECONDS


class Allowance:
    """A token bucket: so many notifications a minute for long, and a burst at once; beyond that it is in debt.

    Args:
        per_minute: how many a minute.
        now: the monotonic time.
        burst: how many at once.
    """

    def __init__(self, per_minute: float, now: float, burst: int = BURST) -> None:
        self._per_second, self._burst = per_minute / 60, burst
        self._tokens, self._at = float(burst), now

    def spend(self, now: float, empty_at: float = -math.inf) -> None:
        """Note a notification; at `empty_at` another listener's allowance was empty, and so was this one."""
        self._refill(now)
        left = min(self._tokens, max(0.0, now - empty_at) * self._per_second)
        self._tokens = max(left - 1, -LONGEST_MUTE_SECONDS * self._per_second)

    def debt_seconds(self, now: float) -> float:
        """Return how long no notification may come until the debt is paid."""
        self._refill(now)
        return max(0.0, -self._tokens / self._per_second)

    def _refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now


class Muter:
    """Counts notifications, and mutes them when they are too many.

    Args:
        store: the database, which grants mutes.
        sink: takes every hint.
        poller: polls as soon as a mute begins.
        mute: what is known of mutes.
        clock: the database's.
        metrics: where requests are counted.
        channels: the channels whose hints count, each for itself: a notification comes through all.
        per_minute: how many notifications a minute may come for long; 0: any number.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        *,
        store: MuteStore,
        sink: HintSink,
        poller: Poller,
        mute: Mute,
        clock: Clock,
        metrics: Metrics,
        channels: Collection[str],
        per_minute: float,
    ) -> None:
        self._store, self._sink, self._poller, self._mute = store, sink, poller, mute
        self._clock, self._metrics = clock, metrics
        counted = channels if per_minute else ()
        self._allowances = {channel: Allowance(per_minute, clock.monotonic()) for channel in counted}
        self._notify_allowance = Allowance(NOTIFY_PER_MINUTE, clock.monotonic(), NOTIFY_BURST)
        self._wake = anyio.Event()
        self._log = structlog.get_logger("muter")

    def deliver(self, hint: Hint) -> None:
        """Take a hint, and pass it on."""
        allowance, now = self._allowances.get(hint.source), self._clock.monotonic()
        if allowance is not None:
            if hint.source == NOTIFY:
                self._notify_allowance.spend(now, self._mute.notify_until)
            if not (hint.source == NOTIFY and self._mute.is_on):  # Realtime was spared those
                allowance.spend(now, self._mute.until)
            if self._is_in_debt():
                self._wake.set()
        self._sink.deliver(hint)

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await self.run_once()
            await anyio.sleep(LEAST_PAUSE_SECONDS)

    async def run_once(self) -> None:
        """Ask for a mute of Realtime, and of NOTIFY, if the debt is not paid yet."""
        if self._owes_realtime():
            until = await self._ask(self._store.mute, self._debt_seconds())
            self._mute.learned(until)
        if self._owes_notify():
            seconds = self._notify_allowance.debt_seconds(self._clock.monotonic())
            self._mute.learned(None, await self._ask(self._store.mute_notify, seconds))

    async def _ask(self, mute: Callable[[float], Awaitable[datetime | None]], seconds: float) -> datetime | None:
        try:
            until = await mute(seconds)
        except StoreError as fault:
            self._log.debug(Event.MUTE_FAILED, error=str(fault))
            return None
        self._metrics.mute_answered("granted" if until else "refused")
        if until:
            self._poller.poll_now()
        return until

    def _is_in_debt(self) -> bool:
        return self._owes_realtime() or self._owes_notify()

    def _owes_realtime(self) -> bool:
        return not self._mute.is_on and self._debt_seconds() > 0

    def _owes_notify(self) -> bool:
        return not self._mute.is_on_notify and self._notify_allowance.debt_seconds(self._clock.monotonic()) > 0

    def _debt_seconds(self) -> float:
        now = self._clock.monotonic()
        return max((each.debt_seconds(now) for each in self._allowances.values()), default=0.0)
