"""Processes that end, hang, print and leave things behind."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from listener import JobContext
from zoo import Visit, animal, process
from zoo.errors import TextExits
from zoo.tasks import exit_7

DIED: dict[str, Any] = {"reason": "worker_died", "run_in": "process"}


@animal(error="ended with code 9", **DIED)
def leaves_its_process(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    os._exit(9)


@animal(error="SystemExit: 2", **process)
def exits_its_process(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    sys.exit(2)


@animal(error="killed by SIGKILL", **DIED)
def kills_its_process(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)


@animal(error="killed by SIGSEGV", **DIED)
def reads_where_nothing_is(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    ctypes.string_at(0)


@animal(error="killed by SIGABRT", **DIED)
def aborts(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    os.abort()


@animal(error="killed by SIGALRM", **DIED)
def sets_an_alarm(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    time.sleep(5)


@animal(error="KeyboardInterrupt", **process)
def interrupts_its_process(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    raise KeyboardInterrupt


@animal(error="TextExits: (its text cannot be shown)", **process)
def raises_what_exits_when_shown_in_a_process(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    raise TextExits


@animal(error="SystemExit: 7", **process)
async def waits_for_a_child_that_exits_in_a_process(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    await asyncio.create_task(exit_7())


@animal("completed", **process)
def starts_a_child_that_prints(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    subprocess.run(["echo", "RETURN 3"], check=True)


@animal("completed", **process)
def prints_without_end(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    sys.stdout.write("y\n" * 100_000)


@animal("completed", **process)
def reads_what_nobody_writes(_job: JobContext, visit: Visit) -> str:
    visit.mark.touch()
    return sys.stdin.read()


@animal("completed", **process)
def closes_its_streams(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    for number in range(3):
        os.close(number)


@animal(**DIED)
def closes_everything(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    os.closerange(0, 1000)


@animal("completed", **process)
def forks_in_a_process(_job: JobContext, visit: Visit) -> int:
    visit.mark.touch()
    return os.fork()


@animal("completed", **process)
def leaves_a_thread_that_does_not_end(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    threading.Thread(target=time.sleep, args=(60,)).start()


@animal(reason="timeout", error="did not end within 2 s", timeout=2, lingers=True, **process)
def stops_its_process(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    os.kill(os.getpid(), signal.SIGSTOP)


@animal(reason="timeout", error="did not end within 2 s", timeout=2, lingers=True, **process)
def takes_no_notice_of_sigterm(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
