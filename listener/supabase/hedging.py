"""Hedged requests: a call that takes far longer than its like is repeated on a fresh connection.

A connection may be dead without anybody's knowing: a gateway that went away, a half-open road. Whoever waits for its
time limit waits for nothing. The first answer counts; a refusal of a repetition does not, for it may come of the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import anyio
import structlog

from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T")
SUCCESS = range(200, 300)
FAULTS = (aiohttp.ClientError, TimeoutError)
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
        aiohttp.ClientError, TimeoutError: all attempts under way have failed.
    """
    answers: list[T] = []
    faults: list[Exception] = []
    scopes: dict[int, anyio.CancelScope] = {}
    attempts = 1

    async def run(number: int) -> None:
        with scopes[number]:
            try:
                answers.append(await attempt(number))
            except FAULTS as fault:
                faults.append(fault)
            del scopes[number]
            if answers or not scopes:
                tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        scopes[0] = anyio.CancelScope()
        tasks.start_soon(run, 0)
        for number, pause in enumerate(pauses, 1):
            await anyio.sleep(pause)
            if number - 1 in scopes and number > 1:
                scopes.pop(number - 1).cancel()
            scopes[number] = anyio.CancelScope()
            attempts += 1
            tasks.start_soon(run, number)
    if answers:
        return answers[0]
    if len(faults) == attempts == 1:
        raise faults[0]
    message = f"no answer to {attempts} requests, at last {faults[-1]!r}"
    raise TimeoutError(message)  # any of them may have been carried out


@dataclass(eq=False)
class _Pool:
    session: aiohttp.ClientSession
    calls: int = 0


class Connections:
    """The pool of connections to the project; its successor, once a call has been answered by a fresh one only.

    Args:
        make: opens a pool.
    """

    def __init__(self, make: Callable[[], aiohttp.ClientSession]) -> None:
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
        """Give the status and the body of the answer; a redirect is not followed, for the key would travel with it."""
        pool.calls += 1
        try:
            async with pool.session.post(function, data=content, allow_redirects=False) as response:
                answer = response.status, await response.read()
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
            await pool.session.close()

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in filter(None, (self._current, self._fresh)):
            await pool.session.close()
