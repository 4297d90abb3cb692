"""`listener demo` plays through, and leaves nothing behind when it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "listener.cli", "demo"]


def _environment(folder: Path) -> dict[str, str]:
    folder.chmod(0o711)
    return {**os.environ, "TMPDIR": str(folder)}


def test_the_demo_ends_well_and_leaves_no_files(tmp_path: Path):
    """Every job reached the outcome that it should, within the minute."""
    began = time.monotonic()
    done = subprocess.run(COMMAND, env=_environment(tmp_path), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 jobs, 23 runs in the ledger: all as it should be" in done.stdout
    assert "make up" in done.stdout
    assert time.monotonic() - began < 60
    assert list(tmp_path.glob("listener-demo-*")) == []


def test_ctrl_c_ends_the_demo_with_everything_that_it_started(tmp_path: Path):
    """In the middle of the play."""
    with subprocess.Popen(COMMAND, env=_environment(tmp_path), stdout=subprocess.PIPE, text=True) as process:
        assert any("completed" in line for line in process.stdout), "the first job was done"
        started = psutil.Process(process.pid).children(recursive=True)
        assert started
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(15) == 130
    assert psutil.wait_procs(started, timeout=5)[1] == []
    assert list(tmp_path.glob("listener-demo-*")) == []
