"""Drains a listener: stops claiming, lets runs finish, hands the other runs back, writes all results, and leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from listener.errors import StoreError
from listener.execution.run_result import SHUTDOWN
from listener.observability.events import Event

if TYPE_CHECKING:
    from listener.app.stages import Stages
    from listener.runs.held_runs import HeldRuns

LOOK_SECONDS = 0.02
LEAVE_SECONDS = 1.0
"""Time limit of the request that announces this listener's departure, at the start of the drain."""
INTERRUPT_SECONDS = 7.0
"""Time limit at the end of the drain, for runs that were cancelled (a thread has five seconds) and last writes."""
LONGEST_SECONDS = LEAVE_SECONDS + INTERRUPT_SECONDS
"""Time limit of the whole drain, without the time that runs are granted."""


async def drain(
    stages: Stages, runs: HeldRuns, within_seconds: float, immediate_shutdown: anyio.Event | None = None
) -> None:
    """Let runs finish for `within_seconds`, then hand the others back: another listener starts them at once.

    Args:
        stages: the stages to drain.
        runs: the runs that this listener holds.
        within_seconds: how long runs may go on.
        immediate_shutdown: when this is set, runs are stopped at once.
    """
    dispatcher, completer = stages.dispatcher, stages.completer
    dispatcher.drain()
    with anyio.move_on_after(LEAVE_SECONDS):  # the other listeners should take over at once
        await leave(stages)
    with anyio.move_on_after(within_seconds):
        while not dispatcher.is_idle and not (immediate_shutdown and immediate_shutdown.is_set()):  # noqa: ASYNC110 - shutdown only
            await anyio.sleep(LOOK_SECONDS)
    runs.cancel(runs.execution_ids, SHUTDOWN)
    with anyio.move_on_after(INTERRUPT_SECONDS):
        while completer.unwritten or not dispatcher.is_idle:  # noqa: ASYNC110 - shutdown only
            await anyio.sleep(LOOK_SECONDS)
        await leave(stages)


async def leave(stages: Stages) -> None:
    """Announce that this listener leaves, so that the other listeners take over its jobs."""
    try:
        await stages.lease_keeper.leave()
    except StoreError as fault:  # the other listeners notice when the last heartbeat is too old
        structlog.get_logger("service").warning(Event.LEASES_NOT_EXTENDED, error=str(fault))
