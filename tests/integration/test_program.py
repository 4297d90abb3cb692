"""Programs are started, kept and stopped in order, whatever they do."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from listener.local.errors import ProgramFailedError
from listener.local.program import Program, running

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import pathlib, signal, sys, time
journal, name, seconds = pathlib.Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
def note(what):
    with journal.open("a") as file:
        print(what, name, file=file)
def stop(*_):
    time.sleep(seconds)
    note("stopped")
    sys.exit()
signal.signal(signal.SIGTERM, stop)
note("started")
while True:
    time.sleep(1)
"""


class Bench:
    """Makes programs that write down what happens to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal"

    def program(self, name: str, seconds_to_stop: float = 0.0, script: str = SCRIPT) -> Program:
        """Return a program that takes so long to stop."""

        async def ready() -> bool:
            return f"started {name}" in self.lines()

        command = [sys.executable, "-I", "-S", "-c", script, str(self.journal), name, str(seconds_to_stop)]
        return Program(name, command, self.folder / f"{name}.log", ready, stop_seconds=1.0, ready_seconds=5.0)

    def lines(self) -> list[str]:
        """Return what they wrote."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Give a bench."""
    return Bench(tmp_path)


async def test_cancellation_from_outside_stops_the_inner_program_before_the_outer(bench: Bench) -> None:
    """The listener takes its leave of a database that is still there."""
    with anyio.CancelScope() as scope:
        async with running(bench.program("outer")), running(bench.program("inner", seconds_to_stop=0.3)):
            scope.cancel()
            await anyio.sleep_forever()
    assert bench.lines() == ["started outer", "started inner", "stopped inner", "stopped outer"]


async def test_cancellation_during_the_start_stops_what_has_been_started(bench: Bench) -> None:
    """Ctrl-C is received at any time."""
    late = bench.program("late", script=SCRIPT.replace('note("started")', 'note("begun")'))
    with anyio.fail_after(5), anyio.move_on_after(0.5):
        async with running(bench.program("ready"), late):
            pytest.fail("the block was entered")
    assert sorted(bench.lines()) == ["begun late", "started ready", "stopped late", "stopped ready"]


async def test_a_program_that_does_not_stop_when_asked_is_killed(bench: Bench) -> None:
    """Within a second and a little."""
    with anyio.fail_after(5):
        async with running(bench.program("stubborn", seconds_to_stop=60)):
            pass
    assert bench.lines() == ["started stubborn"]


async def test_the_reason_of_a_command_of_ours_goes_before_later_lines(bench: Bench) -> None:
    """Libraries may report an error of their own while it ends."""
    script = (
        "print('listener: handlers of typo: the import failed'); print('[error] Unclosed session'); raise SystemExit(1)"
    )
    with pytest.raises(ProgramFailedError, match=r"\(listener: handlers of typo: the import failed\)$"):
        async with running(bench.program("typo", script=script)):
            pytest.fail("the block was entered")


async def test_a_program_that_ends_before_it_is_ready_takes_the_others_down_and_is_named(bench: Bench) -> None:
    """With the line of its log that speaks of the fault."""
    broken = bench.program("broken", script="import time; time.sleep(0.5); raise OSError('no such luck')")
    with pytest.raises(ProgramFailedError, match=r"broken did not start, exit code 1; .*no such luck"):
        async with running(bench.program("sound"), broken):
            pytest.fail("the block was entered")
    assert bench.lines() == ["started sound", "stopped sound"]


async def test_a_program_that_dies_again_and_again_is_started_ever_more_slowly(bench: Bench) -> None:
    """After 0.1, 0.2, 0.4 … seconds: three starts in half a second, not hundreds."""
    dying = SCRIPT.replace("while True:\n    time.sleep(1)", "time.sleep(0.05)")
    async with running(bench.program("dying", script=dying)):
        await anyio.sleep(0.75)
    assert 2 <= bench.lines().count("started dying") <= 4


async def test_a_program_is_stopped_by_the_signal_that_it_asks_for(bench: Bench) -> None:
    """PostgreSQL's fast shutdown is SIGINT."""
    script = SCRIPT.replace("SIGTERM", "SIGINT")
    program = bench.program("picky", script=script)
    async with running(Program(**{**vars(program), "stop_signal": signal.SIGINT})):
        pass
    assert bench.lines() == ["started picky", "stopped picky"]
