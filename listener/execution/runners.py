"""Runs each claimed run in a task and a context of its own, so that a handler's leftovers affect no other run."""

from __future__ import annotations

import asyncio  # noqa: TID251 - anyio's task groups give no task a context of its own
import decimal
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from listener.runs.current import current_run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

    from listener.runs.claimed_run import ClaimedRun


class Runners:
    """The tasks of the runs in progress.

    They belong to no stage: a stage that fails and comes back finds its runs where they were. Each context begins as
    the service's was when it started, with what the handlers' modules had set.

    Args:
        execute: called with each run.
        ended: called when the task of a run has ended, for whatever reason.
    """

    def __init__(
        self,
        execute: Callable[[ClaimedRun], Coroutine[Any, Any, None]],
        ended: Callable[[ClaimedRun], None],
    ) -> None:
        self._execute, self._ended = execute, ended
        self._base: Context = copy_context()
        is_set = any(
            variable.name == "decimal_context" for variable in self._base
        )  # else each run gets one when it asks
        self._arithmetic = self._base.run(decimal.getcontext) if is_set else None
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """The number of tasks that have not ended."""
        return len(self._tasks)

    def start(self, claimed_run: ClaimedRun) -> None:
        """Start the run at the loop's next turn."""
        context = self._base.copy()
        context.run(self._enter, claimed_run)
        task = asyncio.get_running_loop().create_task(self._execute(claimed_run), context=context)
        self._tasks.add(task)
        task.add_done_callback(partial(self._end, claimed_run), context=self._base)

    def _enter(self, claimed_run: ClaimedRun) -> None:
        current_run.set(claimed_run)
        if self._arithmetic is not None:
            decimal.setcontext(self._arithmetic.copy())  # of all that a context holds, this alone is changed in place

    def _end(self, claimed_run: ClaimedRun, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the run's report has it
        self._ended(claimed_run)
