"""Threads and forks."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import threading
import time

import anyio

from listener import JobContext
from zoo import Visit, animal
from zoo.tasks import exit_now


@animal(error="SystemExit")
def exits_a_thread(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    sys.exit(1)


@animal("completed")
def starts_a_thread_that_exits(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()


@animal("completed")
def stops_the_loop_from_a_thread(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    anyio.from_thread.run_sync(lambda: asyncio.get_running_loop().stop())


@animal("completed")
def exits_the_loop_from_a_thread(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    anyio.from_thread.run_sync(lambda: asyncio.get_running_loop().call_soon(exit_now))


@animal(reason="timeout", error="did not end within 0.2 s", timeout=0.2, lingers=True)
def does_not_look_whether_to_stop(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    time.sleep(8)


@animal("completed")
def forks_in_a_thread(_job: JobContext, visit: Visit) -> int:
    visit.mark.touch()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return child


@animal("completed")
async def forks_on_the_loop(_job: JobContext, visit: Visit) -> int:
    visit.mark.touch()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return child


@animal("completed")
def ends_a_fork_by_sigterm(_job: JobContext, visit: Visit) -> int | None:
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    visit.mark.touch()
    child.terminate()
    child.join()
    return child.exitcode
