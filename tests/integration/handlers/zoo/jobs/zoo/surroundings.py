"""What is done to things that runs share with the service, or get from it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from typing import Any

from listener import JobContext
from zoo import Visit, animal


@animal("completed")
async def acts_as_somebody_with_its_client(job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    job.client.postgrest.auth("not.a.token")
    job.client.options.headers["Authorization"] = "Bearer nobody"


@animal("completed")
async def closes_its_client(job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    await job.client.table("job_handlers").select("name").limit(1).execute()
    await job.client.postgrest.aclose()


@animal("completed")
async def patches_its_client(job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    job.client.table = None


@animal("completed")
async def closes_standard_error(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    sys.stderr.close()
    sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")  # nothing of Python's own may raise beside it


@animal("completed")
async def ignores_the_shutdown_signals(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)


@animal("completed")
async def ends_the_default_executor(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    await asyncio.get_running_loop().shutdown_default_executor()


@animal("completed")
async def replaces_what_the_loop_calls(_job: JobContext, visit: Visit) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    visit.mark.touch()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(fail)
    loop.call_soon(fail)
    await asyncio.sleep(0.02)
    loop.set_exception_handler(None)


@animal("completed")
async def leaves_a_thread_behind(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    threading.Thread(target=time.sleep, args=(600,)).start()


@animal("completed")
async def leaves_a_task_behind_that_does_not_end(_job: JobContext, visit: Visit) -> None:
    async def go_on() -> None:
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                continue

    visit.mark.touch()
    LEFT.append(asyncio.create_task(go_on()))


LEFT: list[asyncio.Task[Any]] = []


@animal("completed")
def holds_the_interpreter(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        sorted(range(100_000, 0, -1))


@animal("completed")
async def changes_the_interpreter(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    gc.disable()
    sys.setswitchinterval(1)
