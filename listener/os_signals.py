"""What the operating system asks for by signals: a graceful shutdown, and at the second signal an immediate one."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import anyio.lowlevel
import structlog

from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sized

SHUTDOWN_SIGNALS = (signal.SIGTERM, signal.SIGINT)
ECHO_SECONDS = 1.0
"""An order that follows so soon is the same one: a terminal and whatever runs the service both pass it on."""


class EarlySignal(SystemExit):
    """A signal came before there was anything to drain."""


def exit_on_early_signal() -> None:
    """End the process at a signal during its start; the first process of a container would not notice SIGTERM."""
    for each in SHUTDOWN_SIGNALS:
        signal.signal(each, _go)


def _go(*_: object) -> NoReturn:
    raise EarlySignal(0)


class _Orders:
    """Counts the orders where they come in: the loop may be held up by a handler, and may stay so.

    Args:
        ordered: told of the first order (false) and of the second (true), at once, amid whatever the main thread does.
    """

    def __init__(self, ordered: Callable[[bool], object]) -> None:
        self._ordered = ordered
        self._loop: Any = anyio.lowlevel.current_token().native_token
        self._first_at: float | None = None
        self._is_second = False
        self.first, self.second = anyio.Event(), anyio.Event()

    def __call__(self, *_: object) -> None:
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
            self._ordered(False)  # noqa: FBT003 - as documented
            self._loop.call_soon_threadsafe(self.first.set)
        elif now >= self._first_at + ECHO_SECONDS and not self._is_second:
            self._is_second = True
            self._ordered(True)  # noqa: FBT003 - as documented
            self._loop.call_soon_threadsafe(self.second.set)


async def drain_on_signal(
    drain: Callable[[anyio.Event], Awaitable[None]], runs: Sized, ordered: Callable[[bool], object] = lambda _: None
) -> None:
    """Wait for an order, then drain; a second order sets the event that `drain` is given.

    Args:
        drain: returns when nothing is held any more; it makes immediate_shutdown once the event is set.
        runs: what is held, for the log.
        ordered: as `_Orders` has it.
    """
    log = structlog.get_logger("service")
    orders = _Orders(ordered)
    before = {each: signal.signal(each, orders) for each in SHUTDOWN_SIGNALS}
    try:
        await orders.first.wait()
        log.info(Event.SERVICE_DRAINING, runs=len(runs))
        async with anyio.create_task_group() as tasks:

            async def watch_for_second_signal() -> None:
                await orders.second.wait()
                log.warning(Event.SERVICE_IMMEDIATE_SHUTDOWN, runs=len(runs))

            tasks.start_soon(watch_for_second_signal)
            await drain(orders.second)
            tasks.cancel_scope.cancel()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
