"""Handlers whose authors did not think of the others: each harms whatever the service shares with it."""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.lowlevel

from listener import JobContext, Snooze, handler


@handler("cancels_itself")
async def cancels_itself(_job: JobContext, _payload: dict[str, Any]) -> None:
    """Cancel its own task, now and once more later."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(0.05, task.cancel)
    task.cancel()
    await anyio.lowlevel.checkpoint()


@handler("exits")
async def exits(_job: JobContext, _payload: dict[str, Any]) -> None:
    """Ask the interpreter to exit, in a child task too."""

    async def child() -> None:
        raise SystemExit(3)

    asyncio.create_task(child())  # noqa: RUF006 - careless on purpose
    await anyio.sleep(0.01)
    raise KeyboardInterrupt


@handler("leaks_its_context")
async def leaks_its_context(_job: JobContext, _payload: dict[str, Any]) -> None:
    """Change the decimal precision and never change it back."""
    decimal.getcontext().prec = 2


@handler("snoozes_oddly")
async def snoozes_oddly(_job: JobContext, _payload: dict[str, Any]) -> None:
    """Snooze with an argument of another type."""
    raise Snooze(60)  # type: ignore[arg-type]


@handler("snoozes_into_the_past")
async def snoozes_into_the_past(_job: JobContext, _payload: dict[str, Any]) -> None:
    """Snooze until yesterday, each time."""
    raise Snooze(until=datetime.now(UTC) - timedelta(days=1))


@handler("logs_without_end")
async def logs_without_end(job: JobContext, _payload: dict[str, Any]) -> None:
    """Write 100,000 lines to the run's log."""
    for number in range(100_000):
        job.log.info("line", number=number)


@handler("prints_from_a_process", run_in="process")
def prints_from_a_process(_job: JobContext, _payload: dict[str, Any]) -> None:
    """Print from the worker process and from a child of it."""
    print("x" * 10_000)
    subprocess.run(["/bin/echo", "hello"], check=True)


@handler("holds_a_thread")
def holds_a_thread(_job: JobContext, _payload: dict[str, Any]) -> None:
    """Sleep in its thread without looking whether to stop."""
    time.sleep(60)


@handler("raises_what_cannot_be_shown")
async def raises_what_cannot_be_shown(_job: JobContext, _payload: dict[str, Any]) -> None:
    """Raise an exception whose text raises another one."""

    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise SystemExit(4)

    raise UnprintableError


@handler("swallows_cancellation")
async def swallows_cancellation(_job: JobContext, _payload: dict[str, Any]) -> None:
    """Go on when it is cancelled."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(BaseException):
            await asyncio.sleep(1)


@handler("returns_a_mountain")
async def returns_a_mountain(_job: JobContext, _payload: dict[str, Any]) -> Any:
    """Return a result of ten megabytes."""
    return {"mountain": ["x" * 1000] * 10_000}


@handler("starts_threads")
def starts_threads(_job: JobContext, _payload: dict[str, Any]) -> None:
    """Leave a thread behind that raises."""

    def fail() -> None:
        raise SystemExit(5)

    threading.Thread(target=fail).start()
