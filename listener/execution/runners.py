"""Tasks that run one claimed run after another: creating a task costs more than most handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

    from listener.runs.claimed_run import ClaimedRun


class _Seat:
    """An idle task, and the run that wakes it."""

    __slots__ = ("claimed_run", "wake")

    def __init__(self, claimed_run: ClaimedRun) -> None:
        self.claimed_run, self.wake = claimed_run, anyio.Event()


class Runners:
    """A pool of tasks, as large as the most concurrent runs so far; idle tasks wait for the next run.

    Args:
        tasks: owns the tasks.
        execute: called with each run; it must not raise.
    """

    def __init__(self, tasks: TaskGroup, execute: Callable[[ClaimedRun], Awaitable[None]]) -> None:
        self._tasks, self._execute = tasks, execute
        self._resting: list[_Seat] = []

    def start(self, claimed_run: ClaimedRun) -> None:
        """Start the run at the loop's next turn."""
        if not self._resting:
            self._tasks.start_soon(self._work, _Seat(claimed_run))
            return
        seat = self._resting.pop()
        seat.claimed_run = claimed_run
        seat.wake.set()

    async def _work(self, seat: _Seat) -> None:
        while True:
            await self._execute(seat.claimed_run)
            seat.wake = anyio.Event()
            self._resting.append(seat)
            await seat.wake.wait()  # once it is set, cancellation comes at the next wait: the run is always executed
