"""Removes what a killed stack left in its data folder. Only the holder of the state folder's lock may call it."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import anyio

PATIENCE_SECONDS = 5.0  # an orphan was stopped when its parent died; it is about to end
POLL_SECONDS = 0.02


async def clear_stale_postmaster(folder: Path) -> None:
    """Wait until no server runs on `folder`, stopping one that does, and remove its pid file.

    The file must go: it names a process id, and PostgreSQL refuses to start while any process of our own user has it.
    """
    note = folder / "postmaster.pid"
    if not note.exists():
        return
    pid = int(note.read_text().split("\n", 1)[0])
    with anyio.move_on_after(PATIENCE_SECONDS):
        while runs_on(pid, folder):  # noqa: ASYNC110 - another process's end sets no event
            await anyio.sleep(POLL_SECONDS)
    if runs_on(pid, folder):
        os.kill(pid, signal.SIGKILL)
        await clear_stale_postmaster(folder)
    note.unlink(missing_ok=True)


def runs_on(pid: int, folder: Path) -> bool:
    """Return whether the process `pid` is a PostgreSQL server on `folder`."""
    with contextlib.suppress(OSError, ValueError):
        arguments = (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")
        return os.fsencode(folder) in arguments
    return False
