"""Exceptions of every kind, on the loop and in threads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from listener import JobContext
from zoo import Visit, animal, process

if TYPE_CHECKING:
    from collections.abc import Callable


class TextRaises(Exception):  # noqa: N818 - a name
    def __str__(self) -> str:
        raise ZeroDivisionError


class TextExits(Exception):  # noqa: N818 - a name
    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __str__


class OddMeta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise KeyboardInterrupt


class OddClass(Exception, metaclass=OddMeta):  # noqa: N818 - a name
    def with_traceback(self, _: object) -> Any:
        raise GeneratorExit


def nested(depth: int) -> BaseException:
    """Give a group that doubles at each level."""
    error: Exception = ValueError("innermost")
    for _ in range(depth):
        error = ExceptionGroup("outer", [error, error])
    return error


def caused_by_itself() -> BaseException:
    """Give an error whose causes go round in a circle."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


RAISED: dict[str, tuple[Callable[[], BaseException], str]] = {
    "an_error": (lambda: LookupError("plain"), "LookupError: plain"),
    "nul_and_half_a_character": (lambda: ValueError("a\0b\ud800"), "ValueError: a"),
    "a_megabyte": (lambda: ValueError("x" * 1_000_000), "more characters"),
    "what_raises_when_shown": (TextRaises, "TextRaises: (its text cannot be shown)"),
    "what_exits_when_shown": (TextExits, "TextExits: (its text cannot be shown)"),
    "an_error_of_an_odd_class": (OddClass, "cannot be shown"),
    "keyboard_interrupt": (KeyboardInterrupt, "KeyboardInterrupt"),
    "system_exit": (lambda: SystemExit(3), "SystemExit: 3"),
    "generator_exit": (GeneratorExit, "GeneratorExit"),
    "stop_iteration": (StopIteration, "StopIteration"),
    "stop_async_iteration": (StopAsyncIteration, "StopAsyncIteration"),
    "memory_error": (MemoryError, "MemoryError"),
    "a_base_exception": (lambda: BaseException("base"), "BaseException: base"),
    "a_group_of_ends": (lambda: BaseExceptionGroup("ends", [KeyboardInterrupt(), SystemExit()]), "ends"),
    "a_group_that_doubles": (lambda: nested(40), "outer"),
    "a_group_of_cancellations": (lambda: BaseExceptionGroup("stops", [asyncio.CancelledError()]), "stops"),
    "a_million_rows": (lambda: ValueError(list(range(1_000_000))), "ValueError: [0, 1, 2"),
    "an_error_caused_by_itself": (caused_by_itself, "ValueError: first"),
}


def _raising(name: str, make: Callable[[], BaseException], error: str) -> None:
    async def on_loop(_job: JobContext, visit: Visit) -> None:
        visit.mark.touch()
        raise make()

    def in_thread(_job: JobContext, visit: Visit) -> None:
        visit.mark.touch()
        raise make()

    for function, where in ((on_loop, "on_the_loop"), (in_thread, "in_a_thread")):
        function.__name__ = function.__qualname__ = f"raises_{name}_{where}"
        globals()[function.__name__] = animal(error=error)(function)


for _name, (_make, _error) in RAISED.items():
    _raising(_name, _make, _error)


@animal(reason="task_cancelled", error="cancelled, but not by the service")
async def raises_cancelled_by_hand(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    raise asyncio.CancelledError


class Stopped(asyncio.CancelledError):
    """A cancellation of somebody's own."""


@animal(reason="task_cancelled", error="cancelled, but not by the service")
async def raises_a_cancellation_of_its_own(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    raise Stopped


@animal(reason="task_cancelled", error="cancelled, but not by the service")
def raises_cancelled_by_hand_in_a_thread(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    raise asyncio.CancelledError


@animal(error="RecursionError")
async def calls_itself_without_end(job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    await calls_itself_without_end(job, visit)


@animal(error="RecursionError", **process)
def calls_itself_without_end_in_a_process(job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    calls_itself_without_end_in_a_process(job, visit)
