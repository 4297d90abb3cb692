"""A new user's first hour: an empty folder, the wheel, and nothing but the instructions that are printed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.stack, pytest.mark.slow]
REPOSITORY = Path(__file__).parents[2]
OWN_HANDLER = '''
from listener import JobContext, handler


@handler
def farewell(job: JobContext, payload: dict[str, str]) -> str:
    """Say good-bye."""
    job.log.info("leaving")
    return f"good-bye, {payload['name']}"
'''
NOT_INHERITED = ("SUPABASE_", "LISTENER_", "DATABASE_URL", "VIRTUAL_ENV", "PYTHON", "PG", "NODE_PATH")
OF_THE_STACK = "set -a; . ./.listener/env; set +a"
OTHERS = 'listener doctor; listener migrate --db-url "$DATABASE_URL"; listener migrations export supabase/migrations'
START_SECONDS, STOP_SECONDS = 90, 20


@dataclass
class Terminal:
    """A folder, and a shell in it whose PATH begins with the environment into which the wheel is installed."""

    folder: Path
    programs: Path

    @property
    def environment(self) -> dict[str, str]:
        """This process's, without its settings and without this checkout's programs."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
        path = [each for each in inherited["PATH"].split(os.pathsep) if not each.startswith(str(REPOSITORY))]
        return {**inherited, "PATH": os.pathsep.join([str(self.programs), *path])}

    def enter(self, script: str) -> str:
        """Run what was typed, and give what it prints."""
        command = ["bash", "-ec", script]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def up(self) -> Iterator[str]:
        """Run `listener up` until it shows its last line, give what it shows, and press Ctrl-C."""
        shown = self.folder.parent / "shown"
        with shown.open("wb") as output:
            process = subprocess.Popen(
                ["listener", "up"], cwd=self.folder, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while "Ctrl-C stops everything" not in shown.read_text():
                assert process.poll() is None, shown.read_text()
                assert time.monotonic() < deadline, shown.read_text()
                time.sleep(0.1)
            yield shown.read_text()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=STOP_SECONDS) == 0, shown.read_text()
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """Build the wheel and install it, with the embedded stack, beside an empty folder."""
    with tempfile.TemporaryDirectory(prefix="first-hour-") as name:
        place = Path(name)
        place.chmod(0o711)  # PostgreSQL must get in, as another user where we are root
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", place / "dist", REPOSITORY], check=True)
        [wheel] = (place / "dist").glob("*.whl")
        subprocess.run([sys.executable, "-m", "venv", place / "venv"], check=True)
        (place / "empty").mkdir()
        terminal = Terminal(place / "empty", place / "venv" / "bin")
        terminal.enter(f"pip install --quiet --disable-pip-version-check '{wheel}'")
        assert " init " in terminal.enter("listener --help")
        yield terminal


def _console(page: str, words: str) -> str:
    """Return the commands of a page's console block that has these words."""
    blocks = re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    [block] = [block for block in blocks if words in block]
    return "\n".join(line.removeprefix("$ ") for line in block.splitlines())


def _below(shown: str, title: str) -> str:
    """Return the line that `listener up` shows below a title."""
    lines = shown.splitlines()
    return lines[lines.index(f"{title}:") + 1]


def test_from_an_empty_folder_to_a_job_of_ones_own(terminal: Terminal):
    """`init`, `up`, a handler, a row by curl, `jobs`, `logs`, Ctrl-C, once more, and the other commands."""
    reported = terminal.enter("listener init jobs").split("Next:\n")[1].splitlines()
    terminal.folder /= reported[0].split("cd ")[1]
    terminal.enter(reported[1])  # what the embedded stack needs, and pytest
    page = (terminal.folder / "README.md").read_text()
    (terminal.folder / "handlers" / "farewell.py").write_text(OWN_HANDLER)
    assert "2 passed" in terminal.enter(_console(page, "pytest"))
    tried = _console(page, "curl")
    with terminal.up() as shown:
        assert "Traceback" not in shown
        assert '"handler":"noop"' in terminal.enter(_below(shown, "Insert a job of this workspace"))
        assert "hello" in terminal.enter(tried)
        own = tried.replace('"hello"', '"bye"').replace("logs hello", "logs bye").replace('"greet"', '"farewell"')
        assert "leaving" in terminal.enter(own)
        terminal.enter(f"{OF_THE_STACK}; {OTHERS}")
        see = _below(shown, "See it, in another terminal")
        _wait_until_completed(terminal, see, 3)
    assert not (terminal.folder / ".listener" / "env").exists()
    with terminal.up() as shown:
        _wait_until_completed(terminal, _below(shown, "See it, in another terminal"), 3)
    assert "Next: listener up" in terminal.enter("listener demo")


def _wait_until_completed(terminal: Terminal, see: str, count: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        jobs = json.loads(terminal.enter(f"{see} --json"))
        if [job["status"] for job in jobs] == ["completed"] * count:
            return
        assert time.monotonic() < deadline, jobs
        time.sleep(0.2)
