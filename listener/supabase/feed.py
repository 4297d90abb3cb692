"""A feed delivers a hint when its channels, of Supabase Realtime or of PostgreSQL itself, report changed rows.

Takes nothing. Gives hints. Guarantees that a channel counts as receiving only while it delivers probes or signals. A
session that receives less than it should is replaced by a fresh one; the old one ends only after that if it still
receives. A resync hint for every table then makes up for changes that may have been missed meanwhile.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from listener.domain.messages import Hint
from listener.supabase.feed_log import FeedLog
from listener.supabase.watched_session import Times, WatchedSession

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from contextlib import AbstractContextManager

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from listener.observability.health import Health
    from listener.observability.metrics import Metrics
    from listener.ports import Clock
    from listener.supabase.watched_session import SessionMaker

FIRST_PAUSE_SECONDS, SOON_SECONDS, MAX_PAUSE_SECONDS = 0.5, 4.0, 60.0
SOON_PAUSES = 20
"""Failed sessions in a row with short pauses, about a minute; an outage that lasts longer gets longer
pauses."""
LONGEST_JOIN_SECONDS = 30.0
STEADY_SECONDS = 30.0
"""A session that received for this long resets the pauses."""
MOST_WAITING_HINTS = 1000
"""Beyond this number hints are dropped, and one resync replaces them."""


class ChannelFeed:
    """Runs one session after another, until cancelled.

    Args:
        name: of the metrics: `realtime` or `notify`.
        make_session: makes a session that receives the channels.
        channels: their names; without any, the feed only waits.
        tables: the tables whose changes `deliver` takes.
        deliver: receives every hint.
        send_probe: sends a probe through the channels named; returns those that the database can send on. It may
            raise `StoreError`.
        health: receives the state of the channels.
        metrics: where hints and sessions are counted.
        clock: measures how long sessions live.
        jitter: numbers from 0 to 1 that spread reconnections.
        times: intervals and time limits.
        while_running: what lasts as long as the feed.
        count_others: how many other listeners receive the same probes.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        *,
        name: str,
        make_session: SessionMaker,
        channels: tuple[str, ...],
        tables: tuple[str, ...],
        deliver: Callable[[Hint], None],
        send_probe: Callable[[Collection[str]], Awaitable[Collection[str]]],
        health: Health,
        metrics: Metrics,
        clock: Clock,
        jitter: Callable[[], float],
        times: Times | None = None,
        while_running: Callable[[], AbstractContextManager[None]] = nullcontext,
        count_others: Callable[[], int] = lambda: 0,
    ) -> None:
        self._name, self._make_session, self._channels, self._tables = name, make_session, channels, tables
        self._while_running = while_running
        self._deliver, self._request_probe, self._health, self._metrics = deliver, send_probe, health, metrics
        self._clock, self._jitter, self._times = clock, jitter, times or Times()
        self._count_others = count_others
        self._waiting: MemoryObjectSendStream[Hint] | None = None
        self._watched: list[WatchedSession] = []
        self._received: dict[str, bool] = dict.fromkeys(channels, False)
        self._news = anyio.Event()
        self._failures = 0
        self._log = FeedLog(clock)
        self.sessions = 0
        self.state = "down"

    async def run(self) -> None:
        """Run until cancelled."""
        if not self._channels:
            await anyio.sleep_forever()
        self._waiting, hints = anyio.create_memory_object_stream[Hint](MOST_WAITING_HINTS)
        with self._while_running(), self._waiting, hints:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._pass_on, hints)
                while True:
                    await self.run_once(tasks)

    def doubt(self) -> None:
        """Send a probe at once: a poll has found a change that no channel brought."""
        for watched in self._watched:
            watched.doubt()

    async def run_once(self, tasks: TaskGroup) -> None:
        """Run one session until it has to be replaced; pause afterwards if it did not receive as it should."""
        watched = self._begin(tasks)
        await self._until(lambda: watched.is_settled)
        if self._keep_better(watched) and await self._grows_old(watched):
            self._failures = 0
            return
        lived = self._clock.monotonic() - watched.born_at
        self._failures = 0 if lived > STEADY_SECONDS else self._failures + 1
        had = bool(self._watched)
        with anyio.move_on_after(pause_seconds(self._failures) * self._jitter()):
            await self._until(lambda: had and not self._watched)  # without a session, the next one is urgent

    def _begin(self, tasks: TaskGroup) -> WatchedSession:
        self.sessions += 1
        self._metrics.feed_session_begun(self._name)
        watched = WatchedSession(
            make_session=self._make_session,
            channels=self._channels,
            publish=self._publish,
            send_probe=self._request_probe,
            changed=self._changed,
            resync=self._resync_all,
            metrics=self._metrics,
            log=self._log,
            clock=self._clock,
            jitter=self._jitter,
            times=replace(self._times, join_seconds=self._join_seconds()),
            count_others=self._count_others,
        )
        self._watched.append(watched)
        self._changed()
        tasks.start_soon(watched.live)
        return watched

    def _join_seconds(self) -> float:
        """Return the time limit of the next join, longer after slow ones."""
        return min(self._times.join_seconds * 2.0 ** min(self._failures, SOON_PAUSES), LONGEST_JOIN_SECONDS)

    def _keep_better(self, watched: WatchedSession) -> bool:
        """End the session that receives less, the older one if they are equal; return whether `watched` is kept."""
        for other in [other for other in self._watched if other is not watched]:
            if other.receiving > watched.receiving or watched.is_over:
                watched.end()
                return False
            self._log.session_replaced(watched.receiving)
            other.end()
        return True

    async def _grows_old(self, watched: WatchedSession) -> bool:
        """Wait until `watched` has to be replaced; return whether the reason is its age."""
        with anyio.move_on_after(self._times.rotate_seconds * (0.9 + self._jitter() / 10)) as age:
            await self._until(lambda: not watched.is_whole)
        return age.cancelled_caught

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._news = anyio.Event()
            await self._news.wait()

    def _changed(self) -> None:
        """Update the state after a change of what the sessions receive."""
        why = self._watched[-1].why if self._watched else ""
        self._watched = [watched for watched in self._watched if not watched.is_over]
        self._show_state()
        began = not any(self._received.values())
        lost_channel = False
        for channel, received in self._received.items():
            receives = any(channel in watched.receiving for watched in self._watched)
            if receives and not received:
                self._health.received(channel)
            elif received and not receives:
                lost_channel = True
            self._received[channel] = receives
            if not receives:
                self._health.stale(why, channel)
        # Changes after its last frame may not have been received; and from the first one on, each should be.
        if lost_channel or (began and any(self._received.values())):
            self._resync_all()
        self._news.set()

    def _show_state(self) -> None:
        if any(watched.receiving and watched.is_proved for watched in self._watched):
            self.state = "receiving"
        elif any(watched.joined for watched in self._watched):
            self.state = "joined"
        else:
            self.state = "connecting" if self._watched else "down"
        self._metrics.feed_state(self._name, self.state)

    def _publish(self, hint: Hint) -> None:
        """Take a hint in a session's callback, which must neither wait nor raise."""
        self._metrics.hints_received(hint.source)
        assert self._waiting is not None, "sessions live while the feed runs"  # noqa: S101 - narrows the type
        try:
            self._waiting.send_nowait(hint)
        except anyio.WouldBlock:
            self._resync_all()

    async def _pass_on(self, hints: MemoryObjectReceiveStream[Hint]) -> None:
        async for hint in hints:
            self._deliver(hint)

    def _resync_all(self) -> None:
        for table in self._tables:
            self._deliver(Hint(source="feed", table=table))


def pause_seconds(failures: int) -> float:
    """Return the longest pause after so many sessions in a row that did not receive as they should."""
    soon = min(FIRST_PAUSE_SECONDS * 2.0 ** (failures - 1), SOON_SECONDS) if failures else 0.0
    return min(soon * 2.0 ** max(0, failures - SOON_PAUSES), MAX_PAUSE_SECONDS)
