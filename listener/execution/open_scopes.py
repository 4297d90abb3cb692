"""Leaves anyio's cancel scopes that a handler has left open, or that cancel a task that does not stop.

anyio cancels a task in a cancelled scope at each turn of the loop until it has left the scope. A handler that enters a
scope and never leaves it, or swallows its cancellation, would keep the loop turning without a pause.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - reads of a task what anyio does not expose
from typing import TYPE_CHECKING, Any

from anyio._backends._asyncio import CancelScope as LoopScope
from anyio._backends._asyncio import _task_states

if TYPE_CHECKING:
    from anyio import CancelScope


def scope_for(seconds: float | None) -> CancelScope:
    """Make a scope that ends after so many seconds, or never.

    It is of the loop's own class: `anyio.CancelScope` finds that out for each, which took as long as all else it does.
    """
    scope = LoopScope()
    if seconds is not None:
        limit(scope, seconds)
    return scope


def limit(scope: CancelScope, seconds: float) -> None:
    """Let a scope end after so many seconds from now."""
    scope.deadline = asyncio.get_running_loop().time() + seconds


def leave_open_scopes() -> None:
    """Take the present task, which is about to end, out of every scope that it is still in."""
    task = asyncio.current_task()
    state = _task_states.get(task) if task is not None else None
    scope: Any = state.cancel_scope if state is not None else None
    while scope is not None:
        scope._tasks.discard(task)  # noqa: SLF001 - anyio has no other way
        scope = scope._parent_scope  # noqa: SLF001


def stop_cancelling(scope: CancelScope) -> None:
    """Stop cancelling tasks that did not stop when this scope was cancelled."""
    handle = getattr(scope, "_cancel_handle", None)
    if handle is not None:
        handle.cancel()


def is_about_to_be_cancelled(scope: CancelScope) -> bool:
    """Whether the task that entered the scope was cancelled, and would learn of it at its next wait."""
    return bool(getattr(getattr(scope, "_host_task", None), "_must_cancel", False))
