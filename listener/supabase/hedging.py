"""Hedged requests: a call that takes far longer than its like is repeated on a fresh connection.

A connection may be dead without anybody's knowing: a gateway that went away, a half-open road. Whoever waits for its
time limit waits for nothing. The first answer counts; a refusal of a repetition does not, for it may come of the first.
"""

from __future__ import annotations

from contextvars import copy_context
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import aiohttp
import anyio
import anyio.lowlevel
import sniffio
import structlog

from listener.errors import TransportError
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T")
SUCCESS = range(200, 300)
FAULTS = (aiohttp.ClientError, TimeoutError, TransportError)
LEAST_SECONDS, MANY_TIMES = 1.0, 8
"""A call is repeated after so long at the earliest, and after so many times what its like take."""
REPEAT_SECONDS, FEW_TIMES = 2.5, 2
"""A call is repeated after so long at the latest, and again each time, unless its like take half of that."""
DECAY = 0.9


class Durations:
    """How long calls of each function take: the longest of late."""

    def __init__(self) -> None:
        self._longest: dict[str, float] = {}

    def add(self, function: str, seconds: float) -> None:
        """Take the duration of a call that was answered."""
        self._longest[function] = max(seconds, self._longest.get(function, 0.0) * DECAY)

    def pauses(self, function: str) -> Iterator[float]:
        """Give the seconds to wait before each repetition of a call."""
        longest = self._longest.get(function, 0.0)
        latest = max(REPEAT_SECONDS, FEW_TIMES * longest)
        return chain([min(max(LEAST_SECONDS, MANY_TIMES * longest), latest)], repeat(latest))


async def hedged(attempt: Callable[[int], Awaitable[T]], pauses: Iterator[float]) -> T:
    """Give the first answer of attempts 0, 1, …, each begun after its pause; two at most go on, the first and the last.

    Raises:
        aiohttp.ClientError, TimeoutError, TransportError: all attempts under way have failed.
    """
    first_pause = next(pauses, None)
    if first_pause is None:
        return await attempt(0)
    return await _Hedge(attempt, pauses).run(first_pause)


class _Hedge(Generic[T]):
    """The caller's own task makes the first attempt, and a timer begins the others: a task costs more than a timer."""

    def __init__(self, attempt: Callable[[int], Awaitable[T]], pauses: Iterator[float]) -> None:
        self._attempt, self._pauses = attempt, pauses
        self._answers: list[T] = []
        self._faults: list[Exception] = []
        self._going_on = {0}
        self._made, self._is_repeating = 1, False

    async def run(self, first_pause: float) -> T:
        loop: Any = anyio.lowlevel.current_token().native_token
        context = copy_context()
        context.run(sniffio.current_async_library_cvar.set, "asyncio")  # a timer is no task, which anyio looks for
        async with anyio.create_task_group() as self._tasks:
            timer = loop.call_later(first_pause, self._begin_to_repeat, context=context)
            try:
                await self._make(0)
            finally:
                timer.cancel()
        if self._answers:
            return self._answers[0]
        if len(self._faults) == self._made == 1:
            raise self._faults[0]
        message = f"no answer to {self._made} requests, at last {self._faults[-1]!r}"
        raise TimeoutError(message)  # any of them may have been carried out

    def _begin_to_repeat(self) -> None:
        self._is_repeating = True
        self._tasks.start_soon(self._repeat)

    async def _repeat(self) -> None:
        for number, pause in enumerate(self._pauses, 1):
            scope = anyio.CancelScope()
            self._going_on.add(number)
            self._made += 1
            self._tasks.start_soon(self._make_again, number, scope)
            await anyio.sleep(pause)
            if number in self._going_on:
                self._going_on.discard(number)
                scope.cancel()

    async def _make_again(self, number: int, scope: anyio.CancelScope) -> None:
        with scope:
            await self._make(number)

    async def _make(self, number: int) -> None:
        try:
            self._answers.append(await self._attempt(number))
        except FAULTS as fault:
            self._faults.append(fault)
        self._going_on.discard(number)
        if self._is_repeating and (self._answers or not self._going_on):
            self._tasks.cancel_scope.cancel()


class Transport(Protocol):
    """Connections to the project: over HTTP, or to its database."""

    async def post(self, function: str, content: bytes) -> tuple[int, bytes]:
        """Send the argument of a function; return the HTTP status of the answer, and its body."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


@dataclass(eq=False)
class _Pool:
    transport: Transport
    calls: int = 0


class Connections:
    """The pool of connections to the project; its successor, once a call has been answered by a fresh one only.

    Args:
        make: opens a pool.
    """

    def __init__(self, make: Callable[[], Transport]) -> None:
        self._make = make
        self._current = _Pool(make())
        self._fresh: _Pool | None = None
        self._log = structlog.get_logger("rpc")

    def current(self) -> _Pool:
        """Give the pool in use."""
        return self._current

    def other_than(self, pool: _Pool) -> _Pool:
        """Give a pool that has no connection of `pool`: the one in use by now, or a fresh one."""
        if self._current is not pool:
            return self._current
        if self._fresh is None:
            self._fresh = _Pool(self._make())
        return self._fresh

    async def post(self, pool: _Pool, function: str, content: bytes) -> tuple[int, bytes]:
        """Give the status and the body of the answer."""
        pool.calls += 1
        try:
            answer = await pool.transport.post(function, content)
            if pool is self._fresh and answer[0] in SUCCESS:
                self._log.warning(Event.CONNECTIONS_REPLACED, function=function)
                self._current, self._fresh = pool, None
            return answer
        finally:
            pool.calls -= 1
            if not pool.calls and pool is not self._current:
                await self._close(pool)

    async def _close(self, pool: _Pool) -> None:
        """Close a pool that nobody uses any more, with what is dead in it."""
        self._fresh = None if pool is self._fresh else self._fresh
        with anyio.CancelScope(shield=True):
            await pool.transport.close()

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in filter(None, (self._current, self._fresh)):
            await pool.transport.close()
