"""The feed rings when Supabase Realtime says that rows changed.

Takes nothing. Gives hints. Guarantees that what is not heard is known not to be heard: a doorbell counts only while
something comes through it. A session that hears less than it should is replaced by a fresh one, make before break where
it still hears something; whatever may have been missed meanwhile is asked for by a hint that means "look everywhere".
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import structlog

from listener.domain.messages import Hint
from listener.observability.events import Event
from listener.supabase.watched_session import Line, Times

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from listener.observability.health import Health
    from listener.observability.metrics import Metrics
    from listener.ports import Clock

FIRST_PAUSE_SECONDS, SOON_SECONDS, MAX_PAUSE_SECONDS = 0.5, 4.0, 60.0
SOON_PAUSES = 20
"""So many sessions in a row follow one another soon, which is about a minute; an outage that lasts longer gets longer
pauses."""
LONGEST_JOIN_SECONDS = 30.0
STEADY_SECONDS = 30.0
"""A session that heard for this long was good: the next pause is short again."""
MOST_WAITING_HINTS = 1000
"""Beyond it hints are dropped, and one look makes up for all of them."""
CLIENT_LOG = "realtime._async.client"
UNREADABLE = "Unrecognized message format"


class RealtimeFeed:
    """One session after another, until cancelled.

    Args:
        url: the project's URL.
        key: the service's key.
        doorbells: `broadcast`, `postgres_changes`, or both.
        tables: whose changes `hear` takes.
        hear: takes every hint, by table.
        ring: rings a canary; answers with the doorbells that the database can ring. It may raise `StoreError`.
        health: told what is heard.
        metrics: where hints and sessions are counted.
        clock: measures how long sessions live.
        jitter: numbers from 0 to 1 that spread reconnections.
        times: how patient to be.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        *,
        url: str,
        key: str,
        doorbells: tuple[str, ...],
        tables: tuple[str, ...],
        hear: Callable[[Hint], None],
        ring: Callable[[], Awaitable[Collection[str]]],
        health: Health,
        metrics: Metrics,
        clock: Clock,
        jitter: Callable[[], float],
        times: Times | None = None,
    ) -> None:
        self._url, self._key, self._doorbells, self._tables = url, key, doorbells, tables
        self._hear, self._ring, self._health, self._metrics = hear, ring, health, metrics
        self._clock, self._jitter, self._times = clock, jitter, times or Times()
        self._waiting: MemoryObjectSendStream[Hint] | None = None
        self._lines: list[Line] = []
        self._heard: dict[str, bool] = dict.fromkeys(doorbells, False)
        self._news = anyio.Event()
        self._failures = 0
        self._log = structlog.get_logger("feed")
        self.sessions = 0
        self.state = "down"

    async def run(self) -> None:
        """Listen until cancelled; returns at once when there is nothing to listen on."""
        if not self._doorbells:
            return
        self._waiting, hints = anyio.create_memory_object_stream[Hint](MOST_WAITING_HINTS)
        with self._unreadable_counted(), self._waiting, hints:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._pass_on, hints)
                while True:
                    await self.run_once(tasks)

    async def run_once(self, tasks: TaskGroup) -> None:
        """Begin one session, keep it while it is whole and young, and pause if it was not."""
        line = self._begin(tasks)
        await self._until(lambda: line.is_settled)
        if self._keep_better(line) and await self._grows_old(line):
            self._failures = 0
            return
        lived = self._clock.monotonic() - line.born_at
        self._failures = 0 if lived > STEADY_SECONDS else self._failures + 1
        had = bool(self._lines)
        with anyio.move_on_after(pause_seconds(self._failures) * self._jitter()):
            await self._until(lambda: had and not self._lines)  # with nothing left there is no time to lose

    def _begin(self, tasks: TaskGroup) -> Line:
        self.sessions += 1
        self._metrics.feed_session_begun()
        line = Line(
            url=self._url,
            key=self._key,
            doorbells=self._doorbells,
            hear=self._take,
            ring=self._ring,
            changed=self._changed,
            look=self._look_everywhere,
            metrics=self._metrics,
            clock=self._clock,
            jitter=self._jitter,
            times=replace(self._times, join_seconds=self._join_seconds()),
        )
        self._lines.append(line)
        self._changed()
        tasks.start_soon(line.live)
        return line

    def _join_seconds(self) -> float:
        """Be more patient with a server that is slow again and again."""
        return min(self._times.join_seconds * 2.0 ** min(self._failures, SOON_PAUSES), LONGEST_JOIN_SECONDS)

    def _keep_better(self, line: Line) -> bool:
        """End whichever hears less, the older one if they hear alike; tell whether `line` is kept."""
        for other in [other for other in self._lines if other is not line]:
            if other.hearing > line.hearing or line.is_over:
                line.end()
                return False
            self._log.info(Event.FEED_SESSION_REPLACED, doorbells=sorted(line.hearing))
            other.end()
        return True

    async def _grows_old(self, line: Line) -> bool:
        """Wait until `line` has to be replaced; tell whether that is for its age."""
        with anyio.move_on_after(self._times.rotate_seconds * (0.9 + self._jitter() / 10)) as age:
            await self._until(lambda: not line.is_whole)
        return age.cancelled_caught

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._news = anyio.Event()
            await self._news.wait()

    def _changed(self) -> None:
        """Take note of what the sessions hear now."""
        why = self._lines[-1].why if self._lines else ""
        self._lines = [line for line in self._lines if not line.is_over]
        self._show_state()
        is_deafer = False
        for doorbell, heard in self._heard.items():
            hears = any(doorbell in line.hearing for line in self._lines)
            if hears and not heard:
                self._health.heard(doorbell)
            elif heard and not hears:
                is_deafer = True
            self._heard[doorbell] = hears
            if not hears:
                self._health.deaf(why, doorbell)
        if is_deafer:  # what happened after the last sign may not have been heard
            self._look_everywhere()
        self._news.set()

    def _show_state(self) -> None:
        if any(line.hearing and line.is_proved for line in self._lines):
            self.state = "hearing"
        elif any(line.joined for line in self._lines):
            self.state = "joined"
        else:
            self.state = "connecting" if self._lines else "down"
        self._metrics.feed_state(self.state)

    def _take(self, hint: Hint) -> None:
        """Take a hint from a session's callback, which must neither wait nor fail."""
        self._metrics.hints_heard(hint.source)
        assert self._waiting is not None, "sessions live while the feed runs"  # noqa: S101 - narrows the type
        try:
            self._waiting.send_nowait(hint)
        except anyio.WouldBlock:
            self._look_everywhere()

    async def _pass_on(self, hints: MemoryObjectReceiveStream[Hint]) -> None:
        async for hint in hints:
            self._hear(hint)

    def _look_everywhere(self) -> None:
        for table in self._tables:
            self._hear(Hint(source="feed", table=table))

    @contextlib.contextmanager
    def _unreadable_counted(self) -> Iterator[None]:
        """Count what realtime-py drops: it says so nowhere but in its log."""
        log, ear = logging.getLogger(CLIENT_LOG), _Unreadable(self._metrics.frame_unreadable)
        log.addHandler(ear)
        try:
            yield
        finally:
            log.removeHandler(ear)


class _Unreadable(logging.Handler):
    def __init__(self, count: Callable[[], None]) -> None:
        super().__init__()
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(UNREADABLE):
            self._count()


def pause_seconds(failures: int) -> float:
    """How long to wait at most after so many sessions in a row that did not hear as they should."""
    soon = min(FIRST_PAUSE_SECONDS * 2.0 ** (failures - 1), SOON_SECONDS) if failures else 0.0
    return min(soon * 2.0 ** max(0, failures - SOON_PAUSES), MAX_PAUSE_SECONDS)
