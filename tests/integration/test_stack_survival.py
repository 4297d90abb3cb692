"""A kill of any program leaves nothing running and loses nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.stack

START_SECONDS = 40
STOP_SECONDS = 5
ORPHAN_SECONDS = 2


class Up:
    """`listener up --no-listener` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.env_file = folder / "stack.env"
        self.state = folder / "state"
        self.output = folder / "up.txt"
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it, and wait until the env file says that it is ready."""
        options = ["--no-listener", "--state-dir", str(self.state), "--env-file", str(self.env_file)]
        self.output.unlink(missing_ok=True)
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "listener.cli", "up", *options], stdout=output, stderr=output
            )
        _wait(lambda: self.says("the stack is up") or not self.running(), START_SECONDS, "the stack is up")
        assert self.running(), self.output.read_text()

    def running(self) -> bool:
        """Say whether the process has not ended."""
        return self.process.poll() is None

    def says(self, words: str) -> bool:
        """Say whether the terminal shows `words`."""
        return words in self.output.read_text()

    def settings(self) -> dict[str, str]:
        """Return what the env file says."""
        return dict(line.split("=", 1) for line in self.env_file.read_text().splitlines())

    def children(self) -> list[psutil.Process]:
        """Return every process below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, words: str) -> psutil.Process:
        """Return the child whose command line has `words`."""
        mine = psutil.Process(self.process.pid).children()
        return next(child for child in mine if words in " ".join(child.cmdline()))

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Run one statement as role postgres."""
        with psycopg.connect(self.settings()["DATABASE_URL"], autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def serves(self) -> bool:
        """Say whether a client gets through to the database."""
        settings = self.settings()
        try:
            answer = httpx.get(
                settings["SUPABASE_URL"] + "/rest/v1/", headers={"apikey": settings["SUPABASE_SECRET_KEY"]}
            )
        except httpx.TransportError:
            return False
        return answer.is_success

    def order(self, order: signal.Signals) -> float:
        """Send a signal; return the seconds until the process has ended."""
        began = time.monotonic()
        self.process.send_signal(order)
        self.process.wait(timeout=20)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Give the folder of the module's stack; at the end nothing may run on it."""
    with tempfile.TemporaryDirectory(prefix="listener-survival-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder
        _wait(lambda: not _processes_on(folder), STOP_SECONDS, "the folder is free")


@pytest.fixture(scope="module")
def module_up(folder: Path) -> Iterator[Up]:
    """Give the stack that the tests of this module kill and start again, with a table of one row."""
    up = Up(folder)
    up.start()
    up.ask("create table kept (x int); insert into kept values (42)")
    yield up
    up.process.kill()
    up.process.wait()


@pytest.fixture
def up(module_up: Up) -> Up:
    """Give the stack running, and its terminal empty."""
    if not module_up.running():
        module_up.start()
    os.truncate(module_up.output, 0)
    return module_up


def test_killing_the_parent_takes_everything_along_and_the_next_start_has_the_rows(up: Up) -> None:
    """Also the keys and the ports are the same, so that clients need no change."""
    before, children = up.settings(), up.children()
    assert len(children) >= 4
    up.process.kill()
    up.process.wait()
    _, alive = psutil.wait_procs(children, timeout=ORPHAN_SECONDS)
    assert alive == []
    up.start()
    assert up.settings() == before
    assert up.ask("select x from kept") == [(42,)]


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_order_ends_everything_within_five_seconds(up: Up, order: signal.Signals) -> None:
    """A client that keeps its connection does not delay it; the env file goes with the stack."""
    children = up.children()
    with psycopg.connect(up.settings()["DATABASE_URL"]), httpx.Client() as client:
        client.get(up.settings()["SUPABASE_URL"])
        assert up.order(order) < STOP_SECONDS
    assert not any(child.is_running() for child in children)
    assert not up.env_file.exists()
    assert up.process.returncode == 0


@pytest.mark.parametrize("words", ["bin/postgres", "postgrest", "local.gateway", "local.realtime"])
def test_a_child_that_is_killed_is_started_again_and_said_so(up: Up, words: str) -> None:
    """Clients see a short outage at most."""
    victim = up.child(words)
    victim.kill()
    victim.wait()
    _wait(lambda: up.says("program_restarted"), 20, "the restart is reported")
    _wait(up.serves, 20, "the stack serves again")
    assert up.child(words).pid != victim.pid
    assert re.search(r"program_died.*SIGKILL", up.output.read_text())
    assert up.ask("select x from kept") == [(42,)]


def test_a_second_stack_on_the_same_folder_is_refused_in_one_line_that_names_the_first(up: Up) -> None:
    """The first goes on undisturbed."""
    second = subprocess.run(
        [sys.executable, "-m", "listener.cli", "up", "--no-listener", "--state-dir", str(up.state)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert second.returncode == 1
    assert f"process id {up.process.pid}" in second.stderr
    assert second.stderr.count("\n") == 1
    assert up.serves()


def _wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def _processes_on(folder: Path) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if str(folder).encode() in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
