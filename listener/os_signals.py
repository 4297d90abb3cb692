"""Handles OS signals: the first SIGTERM or SIGINT starts a graceful shutdown, a second one an immediate shutdown."""

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
KEEP_SECONDS = 1.0
"""How often to see that the handlers are the service's: a handler of a job on the loop can replace them."""
ECHO_SECONDS = 1.0
"""A shutdown signal that follows so soon is the same one: a terminal and a process manager both forward it."""


class EarlySignal(SystemExit):
    """A shutdown signal came before there was anything to drain."""


def exit_on_early_signal() -> None:
    """End the process at a shutdown signal during its start; PID 1 of a container would ignore SIGTERM."""
    for each in SHUTDOWN_SIGNALS:
        signal.signal(each, _go)


def _go(*_: object) -> NoReturn:
    raise EarlySignal(0)


class _ShutdownSignals:
    """Counts shutdown signals where they arrive: a handler may block the loop, and may go on blocking it.

    Args:
        received: called at once with false at the first signal and true at the second, whatever the main thread does.
    """

    def __init__(self, received: Callable[[bool], object]) -> None:
        self._received = received
        self._loop: Any = anyio.lowlevel.current_token().native_token
        self._first_at: float | None = None
        self._is_second = False
        self.first, self.second = anyio.Event(), anyio.Event()

    def __call__(self, *_: object) -> None:
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
            self._received(False)  # noqa: FBT003 - as documented
            self._loop.call_soon_threadsafe(self.first.set)
        elif now >= self._first_at + ECHO_SECONDS and not self._is_second:
            self._is_second = True
            self._received(True)  # noqa: FBT003 - as documented
            self._loop.call_soon_threadsafe(self.second.set)

    def keep(self) -> None:
        """Handle the signals again that somebody else handles meanwhile, or ignores."""
        lost = [each for each in SHUTDOWN_SIGNALS if signal.getsignal(each) is not self]
        for each in lost:
            signal.signal(each, self)
        if lost:
            names = [each.name for each in lost]
            structlog.get_logger("service").warning(Event.SERVICE_SIGNALS_RESTORED, signals=names)


async def drain_on_signal(
    drain: Callable[[anyio.Event], Awaitable[None]], runs: Sized, received: Callable[[bool], object] = lambda _: None
) -> None:
    """Wait for a shutdown signal, then drain; a second one sets the event that `drain` receives.

    Args:
        drain: returns when no run is held any more; it shuts down immediately once the event is set.
        runs: the runs that this listener holds, for the log.
        received: called at once at the first signal (false) and at the second (true).
    """
    log = structlog.get_logger("service")
    signals = _ShutdownSignals(received)
    before = {each: signal.signal(each, signals) for each in SHUTDOWN_SIGNALS}
    try:
        while not signals.first.is_set():
            with anyio.move_on_after(KEEP_SECONDS):
                await signals.first.wait()
            signals.keep()
        log.info(Event.SERVICE_DRAINING, runs=len(runs))
        async with anyio.create_task_group() as tasks:

            async def watch_for_second_signal() -> None:
                await signals.second.wait()
                log.warning(Event.SERVICE_IMMEDIATE_SHUTDOWN, runs=len(runs))

            tasks.start_soon(watch_for_second_signal)
            await drain(signals.second)
            tasks.cancel_scope.cancel()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
