"""Runs a plain handler in a thread. A thread cannot be killed, so it is asked to stop, then abandoned after a grace."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from listener.execution.forks import leave_if_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack


class State(Enum):
    """The state of the call; changed under a lock, since the loop and the thread both read it."""

    WAITING = auto()
    RUNNING = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class _Raised:
    """The exception that the function raised."""

    error: BaseException


class ThreadCall:
    """One call in a worker thread.

    An abandoned call keeps its slots until its thread has really ended, so abandoned threads cannot pile up beyond the
    limit.
    """

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._function, self._arguments = function, arguments
        self._lock = threading.Lock()
        self._state = State.WAITING
        self._loop: Any = anyio.lowlevel.current_token().native_token  # for the one call that does not wait
        self._ended = anyio.Event()
        self._callback: Callable[[], None] | None = None
        self._watched = False

    async def run(self) -> Any:  # noqa: ANN401 - the handler's result
        """Call the function and return its result; when cancelled, return at once and leave the thread to `settle`."""
        unlimited = anyio.CapacityLimiter(float("inf"))  # the executor has counted this call already
        value = await anyio.to_thread.run_sync(self._body, abandon_on_cancel=True, limiter=unlimited)
        if isinstance(value, _Raised):
            raise value.error
        return value

    async def settle(self, grace_seconds: float) -> bool:
        """After a cancellation, wait for the thread; return whether it has ended."""
        with self._lock:
            if self._state is not State.RUNNING:
                self._state = State.ENDED
                return True
            self._watched = True
        with anyio.move_on_after(grace_seconds, shield=True):
            await self._ended.wait()
        return self._ended.is_set()

    def when_ended(self, callback: Callable[[ExitStack], None], slots: ExitStack) -> None:
        """Return the slots of an abandoned call, on the loop, once its thread has ended."""
        self._callback = functools.partial(callback, slots)

    def _body(self) -> Any:  # noqa: ANN401 - the handler's result
        with self._lock:
            if self._state is not State.WAITING:
                return None  # cancelled before a thread took it
            self._state = State.RUNNING
        try:
            return self._function(*self._arguments)
        except BaseException as error:  # noqa: BLE001 - some kinds mean something to tasks, and would not arrive as they are
            return _Raised(error)
        finally:
            leave_if_child()
            with self._lock:
                self._state = State.ENDED
                watched = self._watched
            if watched:
                self._notify_loop()

    def _notify_loop(self) -> None:
        """Wake the loop without waiting for it: it may have stopped."""
        try:
            self._loop.call_soon_threadsafe(self._on_end)
        except RuntimeError:
            return  # the loop is closed

    def _on_end(self) -> None:
        self._ended.set()
        if self._callback is not None:
            self._callback()
