"""A session whose channels are watched: it passes hints on; a channel that does not deliver a probe is stale.

Takes nothing. Gives hints. Guarantees that a stale channel counts as receiving for at most one silence and one answer
time, and after a doubt for one answer time. If the database cannot send probes, the channels' state is unknown; then
the socket itself is pinged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import anyio
import structlog

from listener.errors import SessionEndedError, StoreError
from listener.observability.events import Event
from listener.supabase.hints import PROBE
from listener.supabase.liveness import Liveness

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from listener.domain.messages import Hint
    from listener.observability.metrics import Metrics
    from listener.ports import Clock
    from listener.supabase.feed_log import FeedLog

SEND_SECONDS = 2.0
"""Time limit of the request for a probe: a slower database proves nothing."""
RETRY_SECONDS = 1.0
PONG_SECONDS = 5.0
LAG_SECONDS = 0.25
"""A wake-up this late means a busy loop: waiting frames are then read before a channel counts as stale."""


class WatchableSession(Protocol):
    """One connection that receives channels, used once; a channel that went stale stays stale."""

    async def live(self, channels: tuple[str, ...], join_seconds: float) -> None:
        """Connect, subscribe, and receive until no channel is left; raises `SessionEndedError`."""
        ...

    def mark_stale(self, channel: str, why: str) -> None:
        """Give a channel up; a session without channels ends."""
        ...

    async def ping(self, within_seconds: float) -> None:
        """End the session if the other end does not answer in time."""
        ...

    async def close(self) -> None:
        """Stop everything that the session runs."""
        ...


class SessionMaker(Protocol):
    """Makes sessions."""

    def __call__(
        self, on_hint: Callable[[Hint], None], subscribed: Callable[[str], None], went_stale: Callable[[str, str], None]
    ) -> WatchableSession:
        """Make a session that takes hints, confirmed subscriptions and stale channels, with reasons, to these."""
        ...


@dataclass(frozen=True, slots=True)
class Times:
    """Intervals and time limits of a feed, in seconds.

    Args:
        probe_seconds: how long a channel may be silent before a probe is sent; beside two other listeners, the ones
            after the first may be silent for twice as long; 0 for no probes.
        answer_seconds: how long a probe may take. Measured: 260 ms, 510 ms at the 99th percentile.
        join_seconds: how long connecting and subscribing may take. Measured: up to 2.5 s. Supabase answers a refused
            join after 5 s, and every other join on that socket only then.
        rotate_seconds: the age at which a session is replaced: hosted projects end a socket after 24 hours.
    """

    probe_seconds: float = 82.0
    answer_seconds: float = 2.5
    join_seconds: float = 7.0
    rotate_seconds: float = 20 * 3600.0


class WatchedSession:
    """One session and its liveness.

    Args:
        make_session: makes the session.
        channels: the channels that it receives.
        publish: receives each hint, probes excepted.
        send_probe: sends a probe through the channels named; returns those that the database can send on.
        changed: called whenever a channel starts or stops being received.
        resync: called at each subscription: earlier changes were not received.
        metrics: where probes and stale channels are counted.
        log: where it is logged what becomes of the session.
        clock: measures silences.
        jitter: numbers from 0 to 1.
        times: intervals and time limits.
        count_others: how many other listeners receive the same probes.
    """

    def __init__(  # noqa: PLR0913 - the feed names each
        self,
        *,
        make_session: SessionMaker,
        channels: tuple[str, ...],
        publish: Callable[[Hint], None],
        send_probe: Callable[[Collection[str]], Awaitable[Collection[str]]],
        changed: Callable[[], None],
        resync: Callable[[], None],
        metrics: Metrics,
        log: FeedLog,
        clock: Clock,
        jitter: Callable[[], float],
        times: Times,
        count_others: Callable[[], int],
    ) -> None:
        self._channels, self._publish, self._request_probe, self._changed = channels, publish, send_probe, changed
        self._resync, self._metrics, self._clock, self._times = resync, metrics, clock, times
        self._session = make_session(self._hint, self._subscribed, self._went_stale)
        self.born_at = clock.monotonic()
        subscribe_by = self.born_at + times.join_seconds
        self._liveness = Liveness(
            channels, times.probe_seconds, times.answer_seconds, subscribe_by, jitter, count_others
        )
        self._scope = anyio.CancelScope()
        self._news = anyio.Event()
        self._not_before = 0.0
        self._log = log
        self._undecided = set(channels)
        self._unsendable: set[str] = set()
        self._awaited: set[str] = set()  # sendable again, and not yet received
        self.joined: set[str] = set()
        self.receiving: set[str] = set()
        self.why = "no probe has come back yet"
        self.is_proved = False
        self.is_over = False

    @property
    def is_settled(self) -> bool:
        """Whether it is known of each channel if it is received."""
        return self.is_over or not self._undecided

    @property
    def is_whole(self) -> bool:
        """Whether every channel that the database can send on is received, or was sendable again just now."""
        accounted_for = self.receiving | self._unsendable | self._awaited
        return not self.is_over and accounted_for.issuperset(self._channels)

    async def live(self) -> None:
        """Run until the session ends or `end` is called; `why` is the reason."""
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._watch)
                    try:
                        await self._session.live(self._channels, self._times.join_seconds)
                    except SessionEndedError as ended:
                        self.why = str(ended)
                        self._log.session_ended(self.why)
                    tasks.cancel_scope.cancel()
        finally:
            self.is_over = True
            self.receiving.clear()
            self.joined.clear()
            self._changed()
            await self._session.close()

    def end(self) -> None:
        """End the session, because another one replaces it."""
        self._scope.cancel()

    def doubt(self) -> None:
        """Send a probe at once: a poll has found a change that no channel brought."""
        self._liveness.doubt(self._clock.monotonic())
        self._news.set()

    def _hint(self, hint: Hint) -> None:
        through = hint.ids if hint.table == PROBE else None
        if self._liveness.received(hint.source, self._clock.monotonic(), through):
            self._news.set()
        if not self.is_proved:
            self.is_proved = True
            self._changed()
        self._receives(hint.source)
        if hint.table != PROBE:
            self._publish(hint)

    def _subscribed(self, channel: str) -> None:
        self._liveness.subscribed(channel, self._clock.monotonic())
        self.joined.add(channel)
        if not self._times.probe_seconds:  # without probes the subscription is the only proof
            self._receives(channel)
        self._news.set()
        self._changed()
        self._resync()

    def _receives(self, channel: str) -> None:
        if channel in self.joined - self.receiving:
            self.receiving.add(channel)
            self._undecided.discard(channel)
            self._awaited.discard(channel)
            self._log.session_opened(channel)
            self._changed()

    def _went_stale(self, channel: str, why: str) -> None:
        self._liveness.forget(channel)
        for names in (self.joined, self.receiving, self._undecided, self._awaited):
            names.discard(channel)
        self._metrics.channel_stale(channel)
        self._log.channel_stale(channel, why)
        self._changed()

    async def _watch(self) -> None:
        while True:
            now = self._clock.monotonic()
            for channel, why in self._liveness.take_lost(now).items():
                self._session.mark_stale(channel, why)
            due = self._liveness.probe_due()
            if due is not None and max(due, self._not_before) <= now:
                await self._send_probe(self._liveness.due_channels(now))
            else:
                await self._sleep(due)

    async def _sleep(self, due: float | None) -> None:
        """Sleep until the next deadline, or until a channel was subscribed or received."""
        self._news = anyio.Event()
        moments = [max(due, self._not_before)] if due is not None else []
        deadline = self._liveness.deadline()
        until = min([*moments, deadline] if deadline is not None else moments, default=None)
        if until is None:
            await self._news.wait()
            return
        with anyio.move_on_after(max(0.0, until - self._clock.monotonic())):
            await self._news.wait()
        late = self._clock.monotonic() - until
        if late > LAG_SECONDS:
            self._liveness.excuse(late)

    async def _send_probe(self, channels: list[str]) -> None:
        began = self._clock.monotonic()
        try:
            with anyio.fail_after(SEND_SECONDS):
                possible = await self._request_probe(channels)
        except (StoreError, TimeoutError) as fault:
            self._metrics.probe_sent("unsent")
            self.why = f"a probe could not be sent: {fault or 'no answer in time'}"
            structlog.get_logger("feed").debug(Event.FEED_PROBE_UNSENT, error=self.why)
            self._not_before = self._clock.monotonic() + RETRY_SECONDS
            self._changed()
            await self._session.ping(PONG_SECONDS)
            return
        self._metrics.probe_sent("sent")
        self._liveness.sent(channels, possible, began, self._clock.monotonic())
        self._note_sendable(set(possible))

    def _note_sendable(self, possible: set[str]) -> None:
        """Expect nothing of a channel that the database cannot send on, as long as it cannot."""
        before, self._unsendable = self._unsendable, set(self._channels) - possible
        self._awaited |= (before - self._unsendable) & (self.joined - self.receiving)
        lost = self._unsendable & (self.receiving | self._undecided | self._awaited)
        if lost:
            self.why = f"this database cannot send on {', '.join(sorted(lost))}"
            for channel in sorted(lost):
                self._log.channel_stale(channel, self.why)
            for names in (self.receiving, self._undecided, self._awaited):
                names.difference_update(self._unsendable)
            self._changed()
        if self._unsendable.issuperset(self._channels):
            for channel in self._channels:
                self._session.mark_stale(channel, "this database cannot send on it")
