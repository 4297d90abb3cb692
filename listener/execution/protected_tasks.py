"""Tasks that know whose they are, so that no handler cancels a stage or another run.

A handler that cancels every task that it finds ("cleaning up") means its own. What a run has left behind at its end,
such as the tasks of a connection pool that later runs use, anybody may cancel.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - anyio does not make tasks of another class
import multiprocessing
import threading
from typing import TYPE_CHECKING, Any

import structlog

from listener.execution.reporter import identity
from listener.observability.events import Event
from listener.runs.current import current_run

if TYPE_CHECKING:
    from contextvars import Context

    from listener.runs.claimed_run import ClaimedRun


POOLED = ("AnyIO worker thread", "asyncio_")
"""Names of threads that end with the loop."""


class ProtectedTask(asyncio.Task[Any]):
    """A task of the service, of a run, or of something that a handler has started; made without code of its own."""

    run: ClaimedRun | None = None
    """The run in whose context it goes on, or None."""

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ANN401 - as asyncio has it
        """Cancel it, unless a handler asks that it does not belong to."""
        asking = current_run.get()
        if asking is None or asking is self.run or (self.run is not None and self.run.ended):
            return super().cancel(msg)
        structlog.get_logger("executor").warning(Event.RUN_CANCEL_REFUSED, **identity(asking), task=self.get_name())
        return False


def make_protected_task(loop: Any, coro: Any, context: Context | None = None, **rest: Any) -> ProtectedTask:  # noqa: ANN401 - as asyncio has it
    """Make each task of a loop; for `set_task_factory`."""
    task = ProtectedTask(coro, loop=loop, context=context, **rest)
    task.run = current_run.get() if context is None else context.get(current_run)
    return task


def run_on(loop: asyncio.AbstractEventLoop) -> ClaimedRun | None:
    """Give the run whose code the loop executes at this moment; may be asked by another thread."""
    task = asyncio.current_task(loop)
    return task.run if isinstance(task, ProtectedTask) else None


async def end_left_behind(within_seconds: float) -> list[str]:
    """Cancel the tasks that runs have left behind, and name what goes on, which the interpreter would wait for.

    That is a task that swallows its cancellation, a thread, or a child process that is no daemon.
    """
    tasks = [task for task in asyncio.all_tasks() if isinstance(task, ProtectedTask) and task.run is not None]
    for task in tasks:
        asyncio.Task.cancel(task)
    if tasks:
        await asyncio.wait(tasks, timeout=within_seconds)
    threads = [each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    children = [each for each in multiprocessing.active_children() if not each.daemon]
    return [
        *(f"task {task.get_name()}" for task in tasks if not task.done()),
        *(f"thread {each.name}" for each in threads if not each.name.startswith(POOLED)),
        *(f"process {each.name}" for each in children),
    ]
