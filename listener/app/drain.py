"""How a listener goes: it claims nothing more, lets runs end, hands back the rest, writes everything, and leaves."""

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
"""How long saying so may take at the beginning of the end."""
INTERRUPT_SECONDS = 7.0
"""How long a run that was told to stop (a thread has five seconds), and the last writes, may take at the end."""
LONGEST_SECONDS = LEAVE_SECONDS + INTERRUPT_SECONDS
"""How long all of it may take beside what runs are granted."""


async def drain(
    stages: Stages, runs: HeldRuns, within_seconds: float, immediate_shutdown: anyio.Event | None = None
) -> None:
    """Let runs end for so long, and hand back the others: another listener starts them at once.

    Args:
        stages: what is to come to rest.
        runs: what is held.
        within_seconds: how long runs may go on.
        immediate_shutdown: once it is set, they may not any more.
    """
    dispatcher, completer = stages.dispatcher, stages.completer
    dispatcher.drain()
    with anyio.move_on_after(LEAVE_SECONDS):  # the others are to take over at once
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
    """Leave this listener's share to the others."""
    try:
        await stages.lease_keeper.leave()
    except StoreError as fault:  # the others find out by themselves
        structlog.get_logger("service").warning(Event.LEASES_NOT_EXTENDED, error=str(fault))
