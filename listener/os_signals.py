"""Handles OS signals: the first SIGTERM or SIGINT starts a graceful shutdown, a second one an immediate shutdown."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import anyio
import structlog

from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sized

SHUTDOWN_SIGNALS = (signal.SIGTERM, signal.SIGINT)
ECHO_SECONDS = 1.0
"""A shutdown signal that follows so soon is the same one: a terminal and a process manager both forward it."""


def exit_on_early_signal() -> None:
    """End the process at a SIGTERM during its start, which PID 1 of a container would ignore."""
    signal.signal(signal.SIGTERM, _go)


def _go(*_: object) -> NoReturn:
    sys.exit(0)


async def drain_on_signal(drain: Callable[[anyio.Event], Awaitable[None]], runs: Sized) -> None:
    """Wait for a shutdown signal, then drain; a second one sets the event that `drain` receives.

    Args:
        drain: returns when no run is held any more; it shuts down immediately once the event is set.
        runs: the runs that this listener holds, for the log.
    """
    log = structlog.get_logger("service")
    with anyio.open_signal_receiver(*SHUTDOWN_SIGNALS) as received:
        await anext(received)
        log.info(Event.SERVICE_DRAINING, runs=len(runs))
        async with anyio.create_task_group() as tasks:
            immediate_shutdown = anyio.Event()

            async def watch_for_second_signal() -> None:
                echo_until = anyio.current_time() + ECHO_SECONDS
                await anext(received)
                while anyio.current_time() < echo_until:
                    await anext(received)
                log.warning(Event.SERVICE_IMMEDIATE_SHUTDOWN, runs=len(runs))
                immediate_shutdown.set()

            tasks.start_soon(watch_for_second_signal)
            await drain(immediate_shutdown)
            tasks.cancel_scope.cancel()
