"""The service's loop is known to anyio without a look, and only there."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os
import anyio
import sniffio
from listener.app.event_loop import run_to_its_end

async def child():
    await anyio.sleep(0)
    os._exit(7)

async def main():
    print(sniffio.thread_local.name, await anyio.to_thread.run_sync(lambda: sniffio.thread_local.name))
    pid = os.fork()
    if pid == 0:
        anyio.run(child)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

run_to_its_end(main())
print(sniffio.thread_local.name)
"""


def test_the_loop_is_known_to_its_own_thread_and_no_longer_than_it_runs():
    """A child of a handler's, a thread and what comes after it may run loops of their own."""
    program = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.stdout.split(), ran.returncode) == (["asyncio", "None", "7", "None"], 0), ran.stderr
