"""Getting started runs from its first line to its last, as a reader types it."""

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

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.stack, pytest.mark.slow]
REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "getting-started.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`([\w/]+\.py)`")
SOURCED = "set -a; . ./.listener/env; set +a"


def _steps() -> Iterator[tuple[str, str]]:
    """Yield each command, and each module with the name that the text before it gives."""
    for found in BLOCK.finditer(PAGE):
        if found[1] == "python":
            yield NAMED.findall(PAGE, 0, found.start())[-1], found[2]
        else:
            yield from (("$", line.removeprefix("$ ")) for line in found[2].splitlines())


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give an empty folder that PostgreSQL may enter."""
    with tempfile.TemporaryDirectory(prefix="getting-started-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def test_the_page_runs_from_top_to_bottom(folder: Path):
    """One `listener up` is enough, and what it runs is what the page shows."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SUPABASE_", "LISTENER_"))}
    environment = {**inherited, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started: list[subprocess.Popen[bytes]] = []
    seen = []
    try:
        for name, text in _steps():
            if name.startswith("handlers/"):
                assert (folder / name).read_text() == text
            elif name != "$":
                (folder / name).write_text(text)
            elif text.startswith("pip install"):
                continue  # the tests' own environment has it
            elif text.startswith("cd "):
                folder /= text.removeprefix("cd ")
            elif text == "listener up":
                command = text.split()
                started.append(subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL))
                _wait_for(folder / ".listener" / "env")
            else:
                before = f"{SOURCED}; " if started else ""
                seen.append(_enter(before + text, folder, environment))
                if text == "python schedule.py":
                    _enter(f"{SOURCED}; listener logs 1 --follow", folder, environment)
    finally:
        for process in started:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
    assert "hello, world" in "".join(seen)
    assert len(started) == 1


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _enter(script: str, folder: Path, environment: dict[str, str]) -> str:
    command = ["bash", "-ec", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout
