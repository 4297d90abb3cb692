"""Handlers that misuse tasks and the loop."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio

from listener import JobContext
from zoo import Visit, animal


async def exit_7() -> None:
    raise SystemExit(7)


async def _interrupt() -> None:
    raise KeyboardInterrupt


async def _generator_exit() -> None:
    raise GeneratorExit


def exit_now(*_: object) -> None:
    raise SystemExit(8)


def own_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


@animal(error="SystemExit: 7")
async def waits_for_a_child_that_exits(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    await asyncio.create_task(exit_7())


@animal("completed")
async def leaves_a_child_that_exits(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    task = asyncio.create_task(exit_7())
    await asyncio.sleep(0.05)
    assert isinstance(task.exception(), SystemExit)


@animal(error="KeyboardInterrupt")
async def waits_for_a_child_that_interrupts(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    await asyncio.create_task(_interrupt())


@animal(reason="task_cancelled", error="GeneratorExit")
async def waits_for_a_child_that_closes(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    await asyncio.create_task(_generator_exit())


@animal(error="unhandled errors in a TaskGroup")
async def exits_in_a_task_group(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(exit_7)


@animal(error="SystemExit")
async def exits_in_a_task_group_of_asyncio(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(exit_7())


@animal("completed")
async def exits_in_a_callback(_job: JobContext, visit: Visit) -> None:
    asyncio.get_running_loop().call_soon(exit_now)
    await asyncio.sleep(0.02)
    visit.mark.touch()


@animal("completed")
async def exits_in_a_timer_after_its_end(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    asyncio.get_running_loop().call_later(0.03, exit_now)


@animal("completed")
async def exits_when_its_task_is_done(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    own_task().add_done_callback(exit_now)


@animal("completed")
async def stops_the_loop(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.02)


@animal(error="RuntimeError")
async def closes_the_loop(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    asyncio.get_running_loop().close()


@animal(error="RuntimeError")
async def runs_a_loop_in_the_loop(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    asyncio.run(asyncio.sleep(0))


@animal(reason="task_cancelled", error="cancelled, but not by the service")
async def cancels_itself_and_waits(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    own_task().cancel()
    await asyncio.sleep(5)


@animal(reason="task_cancelled", error="cancelled, but not by the service")
async def cancels_itself_and_returns(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    own_task().cancel()


@animal("completed")
async def cancels_itself_after_its_end(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    for delay in (0, 0.01, 0.02, 0.05):
        asyncio.get_running_loop().call_later(delay, own_task().cancel)


@animal(reason="task_cancelled")
async def cancels_itself_again_and_again(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    for delay in range(200):
        asyncio.get_running_loop().call_later(delay / 1000, own_task().cancel)
    await asyncio.sleep(1)


@animal("completed")
async def swallows_its_own_cancellation(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    own_task().cancel()
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        own_task().uncancel()


@animal(reason="task_cancelled")
async def cancels_every_task(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    await asyncio.sleep(0.01)
    for task in asyncio.all_tasks():
        task.cancel("cleaning up")
    await asyncio.sleep(5)


@animal("completed")
async def cancels_every_task_but_its_own(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    await asyncio.sleep(0.01)
    for task in asyncio.all_tasks() - {own_task()}:
        task.cancel()
    await asyncio.sleep(0.02)


@animal(reason="task_cancelled")
def cancels_every_task_from_a_thread(_job: JobContext, visit: Visit) -> None:
    def cancel() -> None:
        for task in asyncio.all_tasks():
            task.cancel()

    visit.mark.touch()
    anyio.from_thread.run_sync(cancel)
