"""The loop that the service runs on. Nothing but the service's own end ends it.

asyncio lets a KeyboardInterrupt or SystemExit of any task or callback pass through the loop, and anybody may stop it.
Here that is some handler's doing: signals of the operating system are received in another way.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - anyio.run leaves when the loop does
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
from sniffio import thread_local

from listener.execution import forks
from listener.execution.protected_tasks import make_protected_task
from listener.observability.events import Event
from listener.os_signals import EarlySignal

try:
    from uvloop import new_event_loop
except ImportError:  # Windows
    from asyncio import new_event_loop  # type: ignore[assignment]  # noqa: TID251 - as above

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator


def run_to_its_end(main: Coroutine[Any, Any, None]) -> None:
    """Run until `main` has ended, and raise what it raised."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner, _known_to_sniffio():
        loop = runner.get_loop()
        loop.set_task_factory(make_protected_task)
        forks.guard(loop)
        task = loop.create_task(main)
        while True:
            try:
                return loop.run_until_complete(task)
            except EarlySignal:
                raise
            except BaseException as stray:
                if task.done():
                    raise
                structlog.get_logger("service").error(Event.LOOP_LEFT, exc_info=stray)


@contextmanager
def _known_to_sniffio() -> Iterator[None]:
    """Name this thread's library, for which anyio asks at each scope of each run: finding it out takes long."""
    before, thread_local.name = thread_local.name, "asyncio"
    try:
        yield
    finally:
        thread_local.name = before
