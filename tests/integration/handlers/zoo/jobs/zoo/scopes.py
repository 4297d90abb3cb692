"""What is done to scopes, to time and to the context."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from typing import Any

import anyio

from listener import JobContext
from zoo import Visit, animal, process, stain
from zoo.errors import TextRaises
from zoo.tasks import own_task


@animal(reason="timeout", error="did not end within")
async def cancels_the_scope_around_it(_job: JobContext, visit: Visit) -> None:
    from anyio._backends._asyncio import _task_states  # noqa: PLC0415 - a scope that it does not own

    visit.mark.touch()
    scope: Any = _task_states[own_task()].cancel_scope
    while scope is not None:
        scope.cancel()
        scope = scope._parent_scope
    await asyncio.sleep(5)


@animal(error="cancel scope")
async def leaves_a_scope_open(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    anyio.CancelScope().__enter__()


@animal(error="cancel scope")
async def leaves_a_cancelled_scope_open(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    scope = anyio.CancelScope()
    scope.__enter__()
    scope.cancel()


@animal(error="cancel scope")
async def leaves_a_task_group_open(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    tasks = await anyio.create_task_group().__aenter__()
    tasks.start_soon(anyio.sleep, 0.01)


@animal(reason="timeout", error="goes on although it was cancelled", timeout=0.2, lingers=True)
async def swallows_every_cancellation(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    until = time.monotonic() + 8
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            own_task().uncancel()


@animal(reason="timeout", error="goes on although it was cancelled", timeout=0.2, lingers=True)
async def shields_itself(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    with anyio.CancelScope(shield=True):
        await asyncio.sleep(8)


@animal(reason="timeout", error="did not end within 0.05 s", timeout=0.05)
async def raises_while_it_is_stopped(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    try:
        await asyncio.sleep(5)
    finally:
        raise KeyboardInterrupt


@animal("completed")
async def holds_up_the_loop(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    time.sleep(0.3)


@animal("completed")
async def logs_without_end(job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    for number in range(20_000):
        job.log.info("again", number=number)


@animal("completed")
async def logs_what_raises_when_shown(job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    job.log.info("odd", value=TextRaises())


@animal("completed")
async def logs_what_has_no_end(job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    job.log.info("endless", numbers=itertools.count(), deep=[{"numbers": itertools.count()}], large=1 << 4_000_000)


@animal("completed")
async def logs_an_exception_of_ten_thousand_frames(job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    error: BaseException | None = None
    for _ in range(50):
        try:
            fall()
        except RecursionError as fallen:
            fallen.__cause__, error = error, fallen
    job.log.error("fell", exc_info=error)


def fall() -> None:
    fall()


@animal(error="fraction: nan is not allowed")
async def makes_no_number_of_progress(job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    job.progress(float("nan"))


@animal("completed")
async def leaves_its_context_behind(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    stain()


@animal("completed")
def leaves_its_context_behind_in_a_thread(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    stain()


@animal("completed", **process)
def leaves_its_context_behind_in_a_process(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    stain()
    os.chdir("/")
    os.environ["STAINED"] = "yes"
    signal.setitimer(signal.ITIMER_REAL, 0.2)
