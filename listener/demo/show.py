"""Runs the demo from its start to its exit code."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from rich.console import Console
from rich.live import Live

from listener.clock import DatabaseClock
from listener.demo.audience import signed_in, watch
from listener.demo.board import Board, Line
from listener.demo.director import Director
from listener.demo.outcome_check import OutcomeCheck, judge
from listener.demo.scenes import scenes
from listener.local.errors import lone_fault
from listener.local.program import running
from listener.local.services import listener_program
from listener.local.stack import Stack, running_stack
from listener.local.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from supabase import AsyncClient

USER = "demo"
HANDLERS = "handlers,listener.demo.handlers"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130  # a shell's exit code of a program that Ctrl-C has ended
PLAY_SECONDS = 40.0
SETTLE_SECONDS = 3.0
LOOK_SECONDS = 0.1
FRAMES_PER_SECOND = 10


async def play() -> int:
    """Run the demo; return the exit code.

    Raises:
        ListenerError: the stack or the listener did not start, or Realtime does not deliver.
    """
    console, folder = Console(highlight=False), _new_folder()
    codes: list[int] = []
    try:
        with lone_fault(), anyio.open_signal_receiver(*STOP_SIGNALS) as signals:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_stop_at, signals, tasks.cancel_scope)
                codes.append(await _on_stage(console, folder))
                tasks.cancel_scope.cancel()
        codes.append(INTERRUPTED)
    finally:
        _tidy(console, folder, keep_logs=codes[:1] in ([], [1]))
    return codes[0]


def _tidy(console: Console, folder: Path, *, keep_logs: bool) -> None:
    """Remove the demo's folder; after a failure keep its logs."""
    StateFolder(folder.resolve()).discard_outside()
    logs = list(folder.glob("*.log")) if keep_logs else []
    for path in set(folder.iterdir()) - set(logs):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    if logs:
        console.print(f"the logs stay in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="listener-demo-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user when this is root
    return folder


async def _stop_at(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return


async def _on_stage(console: Console, folder: Path) -> int:
    console.print("starting PostgreSQL, PostgREST, Realtime and the listener …", style="dim")
    began = anyio.current_time()
    async with running_stack(folder) as stack, _listener(folder, stack), signed_in(stack, USER) as client:
        console.print(f"up after {anyio.current_time() - began:.1f} s; [bold]{USER}[/bold] signs in and inserts jobs\n")
        outcome = await _perform(console, client)
    _sum_up(console, outcome)
    return 1 if outcome.faults else 0


def _listener(folder: Path, stack: Stack) -> contextlib.AbstractAsyncContextManager[None]:
    """Run the service as in production, in a process of its own, with the demo's handlers."""
    environment = {**stack.environment(), "LISTENER_HANDLERS": HANDLERS}
    return running(listener_program(StateFolder.at(folder), environment))


async def _perform(console: Console, client: AsyncClient) -> OutcomeCheck:
    clock = DatabaseClock()
    began = anyio.current_time()
    board = Board(partial(_print_transition, console, began))
    await watch(client, board)
    opening = clock.now()
    board.announce(scenes(opening))
    director = Director(client, board, clock, opening)
    with _shown(console, board), anyio.move_on_after(PLAY_SECONDS):
        await director.play()
        while board.missing:  # noqa: ASYNC110 - the board is what Realtime makes of it
            await anyio.sleep(LOOK_SECONDS)
    return await _judge_settled(client, board, director)


async def _judge_settled(client: AsyncClient, board: Board, director: Director) -> OutcomeCheck:
    """Check the outcomes; the last runs may need a moment until they are written."""
    until = anyio.current_time() + SETTLE_SECONDS
    while True:
        outcome = await judge(client, board, director.meeting)
        if not outcome.faults or anyio.current_time() > until:
            return outcome
        await anyio.sleep(LOOK_SECONDS)


@contextlib.contextmanager
def _shown(console: Console, board: Board) -> Iterator[None]:
    """Show the board in a terminal; elsewhere print a line for each transition."""
    if not console.is_terminal:
        yield
        return
    with Live(board, console=console, refresh_per_second=FRAMES_PER_SECOND):
        yield


def _print_transition(console: Console, began: float, line: Line) -> None:
    if console.is_terminal:
        return
    seconds = anyio.current_time() - began
    console.print(f"{seconds:5.1f} s  {line.scene.name:<17} {_words(line)}", markup=False, soft_wrap=True)


def _words(line: Line) -> str:
    due, status, late, runs, attempt, news = line.cells()
    facts = {"due": due, "late": late, "runs": runs, "attempt": attempt, "→": news}
    return f"{status:<10} " + ", ".join(f"{name} {fact}" for name, fact in facts.items() if fact)


def _sum_up(console: Console, outcome: OutcomeCheck) -> None:
    for fault in outcome.faults:
        console.print(f"[bold red]✗[/bold red] {fault}", soft_wrap=True)
    jobs = len({run["scheduled_job_id"] for run in outcome.runs})
    result = (
        "[bold red]not[/bold red] as it should be" if outcome.faults else "[bold green]all[/bold green] as it should be"
    )
    console.print(
        f"\n{jobs} jobs, {len(outcome.runs)} runs in the ledger: {result}. "
        f"Started late by {outcome.lateness(0.5):.0f} ms (p50), {outcome.lateness(0.99):.0f} ms (p99).",
        soft_wrap=True,
    )
    up = "make up" if (Path(__file__).parents[2] / "Makefile").exists() else "listener up"
    console.print(f"Next: [bold]{up}[/bold] keeps the stack running and shows how to insert jobs of your own.")
