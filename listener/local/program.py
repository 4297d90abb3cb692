"""Keeps one program of the stack running: starts it, waits until it is ready, restarts it when it dies, stops it.

Every program is on a leash (`leash.py`): it dies with this process, even when that is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import structlog

from listener.local.errors import ProgramFailedError, lone_fault
from listener.local.keys import open_private

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

LEASH = Path(__file__).with_name("leash.py")
FIRST_BACKOFF_SECONDS = 0.1  # doubled at each death, so that a program that cannot start does not burn the machine
LONGEST_BACKOFF_SECONDS = 5.0
HEALTHY_SECONDS = 10.0  # a program that ran so long starts again without delay
READY_POLL_SECONDS = 0.02

log = structlog.get_logger()


@dataclass(frozen=True)
class Program:
    """A program to run. `ready` returns whether it serves; `owner` is (uid, gid) to run as, None for our own."""

    name: str
    command: Sequence[str]
    log_file: Path
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict)
    owner: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    ready_seconds: float = 20.0
    stop_seconds: float = 2.0
    before_start: Callable[[], Awaitable[None]] | None = None


def leashed(command: Sequence[str], death_signal: signal.Signals, owner: tuple[int, int] | None) -> list[str]:
    """Return the command that runs `command` as `owner`, sent `death_signal` when the calling thread is gone."""
    uid, gid = owner or (-1, -1)
    terms = [int(death_signal), os.getpid(), uid, gid]
    return [sys.executable, "-I", "-S", str(LEASH), *map(str, terms), *command]


@contextlib.asynccontextmanager
async def running(*programs: Program) -> AsyncIterator[None]:
    """Run `programs` side by side until the block is left, restarting each that dies; enter it once all are ready.

    Cancellation from outside ends the block first and the programs after it, so that nested blocks stop in their order.

    Raises:
        ProgramFailedError: One ended, or did not become ready, at its first start.
    """
    keepers = [_Keeper(program) for program in programs]
    with lone_fault():
        async with anyio.create_task_group() as tasks:
            try:
                for keeper in keepers:
                    tasks.start_soon(keeper.run)
                for keeper in keepers:
                    await keeper.ready.wait()
                yield
            finally:
                for keeper in keepers:
                    keeper.scope.cancel()


class _Keeper:
    """Keeps one program running until its own scope, which is shielded from all others, is cancelled."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.ready = anyio.Event()
        self.scope = anyio.CancelScope(shield=True)

    async def run(self) -> None:
        with self.scope:
            await _keep_running(self.program, self.ready.set)


async def _keep_running(program: Program, on_ready: Callable[[], None]) -> None:
    await _run_until_death(program, on_ready)
    backoff = FIRST_BACKOFF_SECONDS
    while True:
        await anyio.sleep(backoff)
        began = anyio.current_time()
        try:
            await _run_until_death(program, lambda: log.info("program_restarted", program=program.name))
        except (ProgramFailedError, OSError) as fault:
            log.warning("program_not_restarted", program=program.name, reason=str(fault))
        healthy = anyio.current_time() - began > HEALTHY_SECONDS
        backoff = FIRST_BACKOFF_SECONDS if healthy else min(2 * backoff, LONGEST_BACKOFF_SECONDS)


async def _run_until_death(program: Program, on_ready: Callable[[], None]) -> None:
    if program.before_start is not None:
        await program.before_start()
    process = await _start(program)
    try:
        await _wait_until_ready(program, process)
        on_ready()
        code = await process.wait()
    finally:
        with anyio.CancelScope(shield=True):
            await _stop(program, process)
    log.warning("program_died", program=program.name, cause=_cause(code), log=str(program.log_file))


async def _start(program: Program) -> Process:
    with open_private(program.log_file) as log_file:
        return await asyncio.create_subprocess_exec(
            *leashed(program.command, program.death_signal, program.owner),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            env={**os.environ, **program.environment},
            start_new_session=True,  # a terminal's Ctrl-C goes to us alone; we stop the programs in their order
        )


async def _wait_until_ready(program: Program, process: Process) -> None:
    with anyio.move_on_after(program.ready_seconds):
        while process.returncode is None:
            if await program.ready():
                return
            await anyio.sleep(READY_POLL_SECONDS)
        raise ProgramFailedError(program.name, f"did not start, {_cause(process.returncode)}", program.log_file)
    raise ProgramFailedError(program.name, f"was not ready after {program.ready_seconds:g} s", program.log_file)


async def _stop(program: Program, process: Process) -> None:
    for order in (program.stop_signal, signal.SIGQUIT, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(order)
        with anyio.move_on_after(program.stop_seconds if order is program.stop_signal else 0.5):
            await process.wait()


def _cause(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
