"""One session under watch: what it hears is passed on, and a doorbell that does not bring a canary back is deaf.

Takes nothing. Gives hints. Guarantees that it never seems to hear for longer than a silence and an answer after it went
deaf; a database that cannot ring leaves it in doubt, and then the socket itself is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.observability.events import Event
from listener.supabase.hints import CANARY
from listener.supabase.liveness import Proof
from listener.supabase.session import Session, SessionEndedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from listener.domain.messages import Hint
    from listener.observability.metrics import Metrics
    from listener.ports import Clock

RING_SECONDS = 2.0
"""How long the request for a canary may take: a database that is slower than that proves nothing."""
RETRY_SECONDS = 1.0
PONG_SECONDS = 5.0
LAG_SECONDS = 0.25
"""A watch that wakes this late did not get the loop: then the frames that wait count first."""


@dataclass(frozen=True, slots=True)
class Times:
    """How patient a feed is, in seconds.

    Args:
        canary_seconds: how long a doorbell may be silent before a canary is rung; 0 for no canaries.
        answer_seconds: how long a canary may take. Measured: 260 ms, 510 ms at the 99th percentile.
        join_seconds: how long connecting and subscribing may take. Measured: up to 2.5 s.
        rotate_seconds: after which a session is replaced: hosted projects end a socket after 24 hours.
    """

    canary_seconds: float = 4.5
    answer_seconds: float = 2.5
    join_seconds: float = 5.0
    rotate_seconds: float = 20 * 3600.0


class Line:
    """One session and the proof that it hears.

    Args:
        url: the project's URL.
        key: the service's key.
        doorbells: `broadcast`, `postgres_changes`, or both.
        hear: takes each hint, canaries excepted.
        ring: rings a canary; answers with the doorbells that the database can ring.
        changed: called whenever what is heard has changed.
        look: called at each subscription: what happened before it was not heard.
        metrics: where canaries and deaf doorbells are counted.
        clock: measures silences.
        jitter: numbers from 0 to 1.
        times: how patient to be.
    """

    def __init__(  # noqa: PLR0913 - the feed names each
        self,
        *,
        url: str,
        key: str,
        doorbells: tuple[str, ...],
        hear: Callable[[Hint], None],
        ring: Callable[[], Awaitable[Collection[str]]],
        changed: Callable[[], None],
        look: Callable[[], None],
        metrics: Metrics,
        clock: Clock,
        jitter: Callable[[], float],
        times: Times,
    ) -> None:
        self._doorbells, self._hear, self._ring, self._changed = doorbells, hear, ring, changed
        self._look, self._metrics, self._clock, self._times = look, metrics, clock, times
        self._session = Session(url, key, self._hint, self._subscribed, self._deafened)
        self.born_at = clock.monotonic()
        subscribe_by = self.born_at + times.join_seconds
        self._proof = Proof(doorbells, times.canary_seconds, times.answer_seconds, subscribe_by, jitter)
        self._scope = anyio.CancelScope()
        self._news = anyio.Event()
        self._not_before = 0.0
        self._log = structlog.get_logger("feed")
        self._undecided = set(doorbells)
        self.joined: set[str] = set()
        self.hearing: set[str] = set()
        self.why = "no canary has come back yet"
        self.is_proved = False
        self.is_over = False

    @property
    def is_settled(self) -> bool:
        """Whether it is known of each doorbell if it hears."""
        return self.is_over or not self._undecided

    @property
    def is_whole(self) -> bool:
        """Whether every doorbell that the database can ring is heard."""
        return not self.is_over and self.hearing.issuperset(self._doorbells)

    async def live(self) -> None:
        """Live until the session ends or `end` is called; `why` tells the reason."""
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._watch)
                    try:
                        await self._session.live(self._doorbells, self._times.join_seconds)
                    except SessionEndedError as ended:
                        self.why = str(ended)
                        self._log.warning(Event.FEED_SESSION_ENDED, why=self.why)
                    tasks.cancel_scope.cancel()
        finally:
            self.is_over = True
            self.hearing.clear()
            self.joined.clear()
            self._changed()
            await self._session.close()

    def end(self) -> None:
        """End the session, because another one took over."""
        self._scope.cancel()

    def _hint(self, hint: Hint) -> None:
        if self._proof.heard(hint.source, self._clock.monotonic()):
            self._news.set()
        if not self.is_proved:
            self.is_proved = True
            self._changed()
        self._hears(hint.source)
        if hint.table != CANARY:
            self._hear(hint)

    def _subscribed(self, doorbell: str) -> None:
        self._proof.subscribed(doorbell, self._clock.monotonic())
        self.joined.add(doorbell)
        if not self._times.canary_seconds:  # there is no better proof to wait for
            self._hears(doorbell)
        self._news.set()
        self._changed()
        self._look()

    def _hears(self, doorbell: str) -> None:
        if doorbell in self.joined and doorbell not in self.hearing:
            self.hearing.add(doorbell)
            self._undecided.discard(doorbell)
            self._log.info(Event.FEED_SESSION_OPENED, doorbell=doorbell)
            self._changed()

    def _deafened(self, doorbell: str, why: str) -> None:
        self._proof.forget(doorbell)
        for names in (self.joined, self.hearing, self._undecided):
            names.discard(doorbell)
        self._metrics.doorbell_deaf(doorbell)
        self._log.warning(Event.FEED_DOORBELL_DEAF, doorbell=doorbell, why=why)
        self._changed()

    async def _watch(self) -> None:
        while True:
            now = self._clock.monotonic()
            for doorbell, why in self._proof.take_lost(now).items():
                self._session.deafen(doorbell, why)
            due = self._proof.canary_due()
            if due is not None and max(due, self._not_before) <= now:
                await self._ring_canary()
            else:
                await self._sleep(due)

    async def _sleep(self, due: float | None) -> None:
        """Sleep until something has to be done, or something was subscribed or answered."""
        self._news = anyio.Event()
        moments = [max(due, self._not_before)] if due is not None else []
        deadline = self._proof.deadline()
        until = min([*moments, deadline] if deadline is not None else moments, default=None)
        if until is None:
            await self._news.wait()
            return
        with anyio.move_on_after(max(0.0, until - self._clock.monotonic())):
            await self._news.wait()
        late = self._clock.monotonic() - until
        if late > LAG_SECONDS:
            self._proof.excuse(late)

    async def _ring_canary(self) -> None:
        began = self._clock.monotonic()
        try:
            with anyio.fail_after(RING_SECONDS):
                rung = await self._ring()
        except (StoreError, TimeoutError) as fault:
            self._metrics.canary_rung("unsent")
            self.why = f"a canary could not be rung: {fault or 'no answer in time'}"
            self._log.debug(Event.FEED_CANARY_UNSENT, error=self.why)
            self._not_before = self._clock.monotonic() + RETRY_SECONDS
            self._changed()
            await self._session.ping(PONG_SECONDS)
            return
        self._metrics.canary_rung("rung")
        self._proof.rung(rung, began, self._clock.monotonic())
        self._cannot_hear(set(self._doorbells) - set(rung))

    def _cannot_hear(self, doorbells: set[str]) -> None:
        """Wait no longer for what the database never rings."""
        self._doorbells = tuple(name for name in self._doorbells if name not in doorbells)
        if doorbells & self._undecided:
            self._undecided -= doorbells
            self._changed()
        if not self._doorbells:
            for doorbell in doorbells:
                self._session.deafen(doorbell, "this database cannot ring it")
