"""The zoo: ways of ending badly, one small function each, and what the ledger is to say of it; and innocent handlers.

An animal touches the file `mark` of its payload when it begins. Innocents wait for that, stay for a moment beside it,
and then tell whether anything of it has reached them.
"""

from __future__ import annotations

import asyncio
import ctypes
import decimal
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import structlog
from pydantic import BaseModel

from listener import Fail, JobContext, Retry, Snooze, handler

if TYPE_CHECKING:
    from collections.abc import Callable

COLOUR: ContextVar[str] = ContextVar("colour", default="none")


class Visit(BaseModel):
    """Where an animal says that it has begun."""

    mark: Path


@dataclass(frozen=True)
class Expected:
    """What the ledger is to say: the status, the reason, and a part of the error."""

    status: str
    reason: str | None
    error: str
    lingers: bool
    mode: str


ANIMALS: dict[str, Expected] = {}


def animal(  # noqa: PLR0913 - what the ledger may say
    status: str = "failed",
    reason: str | None = None,
    error: str = "",
    *,
    run_in: Any = None,
    timeout: float | None = None,
    lingers: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a handler as one that ends badly; one that lingers ends seconds after it was told to stop."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        mode = run_in or ("loop" if asyncio.iscoroutinefunction(function) else "thread")
        ANIMALS[function.__name__] = Expected(status, reason, error, lingers, mode)
        return handler(run_in=run_in, timeout=timeout)(function)

    return mark


process: dict[str, Any] = {"run_in": "process"}


# Innocents


def what_reached_me() -> list[str]:
    """Name what another run has left where this one runs."""
    found = {
        "context variable": COLOUR.get() != "none",
        "decimal context": decimal.getcontext().prec != 28,
        "log context": bool(structlog.contextvars.get_contextvars()),
        "folder": Path.cwd() == Path("/"),
        "environment": "STAINED" in os.environ,
    }
    return [name for name, has_come in found.items() if has_come]


@handler
async def innocent(job: JobContext, visit: Visit) -> list[str]:
    """Stay beside an animal on the loop."""
    while not visit.mark.exists():
        await asyncio.sleep(0.01)
    for _ in range(10):
        await asyncio.sleep(0.005)
    task = asyncio.current_task()
    cancelled = ["cancellation"] if job.cancelled or task is None or task.cancelling() else []
    return what_reached_me() + cancelled


@handler
def innocent_in_thread(job: JobContext, visit: Visit) -> list[str]:
    """Stay beside an animal in a thread."""
    while not visit.mark.exists():
        time.sleep(0.01)
    time.sleep(0.05)
    return what_reached_me() + (["cancellation"] if job.cancelled else [])


@handler(run_in="process")
def innocent_in_process(job: JobContext, visit: Visit) -> list[str]:
    """Stay beside an animal in a process."""
    return innocent_in_thread(job, visit)


# Results that are none


class Unshowable:
    """Raises what ends a process when it is looked at."""

    def __repr__(self) -> str:
        raise SystemExit

    __str__ = __repr__


@animal(reason="invalid_result", error="not JSON")
async def returns_an_object(_job: JobContext, visit: Visit) -> object:
    visit.mark.touch()
    return object()


@animal(reason="invalid_result", error="not JSON")
async def returns_a_list_that_holds_itself(_job: JobContext, visit: Visit) -> list[Any]:
    visit.mark.touch()
    endless: list[Any] = []
    endless.append(endless)
    return endless


@animal(reason="invalid_result", error="has no end that could be known")
async def returns_numbers_without_end(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return {"numbers": iter(int, 1)}


@animal(reason="invalid_result", error="not JSON")
async def returns_what_raises_when_shown(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return {"value": Unshowable()}


@animal(reason="invalid_result", error="not JSON")
async def returns_keys_that_raise_when_shown(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return {Unshowable(): 1}


@animal(reason="invalid_result", error="not JSON")
async def returns_lists_in_lists_in_lists(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    value: list[Any] = []
    for _ in range(10_000):
        value = [value]
    return value


@animal(reason="invalid_result", error="async def")
def returns_a_coroutine(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return asyncio.sleep(0)


@animal("completed")
async def returns_half_a_gigabyte_of_nothing(_job: JobContext, visit: Visit) -> str:
    visit.mark.touch()
    return "\0" * 2_000_000


@animal(reason="invalid_result", error="not JSON", **process)
def returns_a_function_from_a_process(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return lambda: None


# Exceptions


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


# Outcomes with odd arguments


def _requesting(name: str, make: Callable[[], BaseException], error: str, reason: str | None = None) -> None:
    async def request(_job: JobContext, visit: Visit) -> None:
        visit.mark.touch()
        raise make()

    request.__name__ = request.__qualname__ = name
    globals()[name] = animal(error=error, reason=reason)(request)


def changed(made: Any, **attributes: Any) -> Any:
    """Set attributes of an outcome after it was made."""
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


_requesting("snoozes_for_sixty", lambda: Snooze(60), "until: 60 is not allowed")  # type: ignore[arg-type]
_requesting("snoozes_for_none", lambda: Snooze(None), "until: None is not allowed")  # type: ignore[arg-type]
_requesting("snoozes_until_a_naive_time", lambda: Snooze(datetime(2030, 1, 1)), "a datetime with a time zone")  # noqa: DTZ001
_requesting(
    "snoozes_beyond_the_calendar",
    lambda: Snooze(datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-9)))),
    "before the year 10000",
)
_requesting("snoozes_for_longer_than_time", lambda: Snooze(timedelta.max), "which no calendar has", "snooze")
_requesting("snoozes_backwards", lambda: Snooze(timedelta(-1)), "not negative")
_requesting("snoozes_until_what_was_changed", lambda: changed(Snooze(timedelta(1)), until="x"), "cannot be shown")
_requesting("retries_after_a_word", lambda: Retry(after="x"), "after: 'x' is not allowed")  # type: ignore[arg-type]
_requesting("retries_after_no_number", lambda: Retry(after=float("nan")), "after: nan is not allowed")
_requesting("retries_after_infinity", lambda: Retry(after=float("inf")), "after: inf is not allowed")
_requesting("retries_before_now", lambda: Retry(after=-1), "after: -1 is not allowed")
_requesting("retries_after_a_googol", lambda: Retry(after=10**400), "finite")
_requesting("retries_after_what_was_changed", lambda: changed(Retry(1), after_seconds="x"), "cannot be shown")
_requesting("fails_without_a_reason", lambda: Fail(None), "reason: None is not allowed")  # type: ignore[arg-type]
_requesting("fails_for_an_object", lambda: Fail(Unshowable()), "reason: a value of type")  # type: ignore[arg-type]


@animal("completed")
async def snoozes_into_the_past(job: JobContext, visit: Visit) -> None:
    if visit.mark.exists():
        return
    visit.mark.touch()
    raise Snooze(datetime(2000, 1, 1, tzinfo=UTC))


# What is done to tasks, scopes and the loop


async def _exit() -> None:
    raise SystemExit(7)


async def _interrupt() -> None:
    raise KeyboardInterrupt


async def _generator_exit() -> None:
    raise GeneratorExit


def _exit_now(*_: object) -> None:
    raise SystemExit(8)


def _task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


@animal(error="SystemExit: 7")
async def waits_for_a_child_that_exits(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    await asyncio.create_task(_exit())


@animal("completed")
async def leaves_a_child_that_exits(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    task = asyncio.create_task(_exit())
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
        tasks.start_soon(_exit)


@animal(error="SystemExit")
async def exits_in_a_task_group_of_asyncio(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_exit())


@animal("completed")
async def exits_in_a_callback(_job: JobContext, visit: Visit) -> None:
    asyncio.get_running_loop().call_soon(_exit_now)
    await asyncio.sleep(0.02)
    visit.mark.touch()


@animal("completed")
async def exits_in_a_timer_after_its_end(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    asyncio.get_running_loop().call_later(0.03, _exit_now)


@animal("completed")
async def exits_when_its_task_is_done(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    _task().add_done_callback(_exit_now)


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
    _task().cancel()
    await asyncio.sleep(5)


@animal(reason="task_cancelled", error="cancelled, but not by the service")
async def cancels_itself_and_returns(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    _task().cancel()


@animal("completed")
async def cancels_itself_after_its_end(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    for delay in (0, 0.01, 0.02, 0.05):
        asyncio.get_running_loop().call_later(delay, _task().cancel)


@animal(reason="task_cancelled")
async def cancels_itself_again_and_again(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    for delay in range(200):
        asyncio.get_running_loop().call_later(delay / 1000, _task().cancel)
    await asyncio.sleep(1)


@animal("completed")
async def swallows_its_own_cancellation(_job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    _task().cancel()
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        _task().uncancel()


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
    for task in asyncio.all_tasks() - {_task()}:
        task.cancel()
    await asyncio.sleep(0.02)


@animal(reason="task_cancelled")
def cancels_every_task_from_a_thread(_job: JobContext, visit: Visit) -> None:
    def cancel() -> None:
        for task in asyncio.all_tasks():
            task.cancel()

    visit.mark.touch()
    anyio.from_thread.run_sync(cancel)


@animal(reason="timeout", error="did not end within")
async def cancels_the_scope_around_it(_job: JobContext, visit: Visit) -> None:
    from anyio._backends._asyncio import _task_states  # noqa: PLC0415 - a scope that it does not own

    visit.mark.touch()
    scope: Any = _task_states[_task()].cancel_scope
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
            _task().uncancel()


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


@animal(error="fraction: nan is not allowed")
async def makes_no_number_of_progress(job: JobContext, visit: Visit) -> None:
    visit.mark.touch()
    job.progress(float("nan"))


def stain() -> None:
    """Leave something behind wherever that is possible."""
    COLOUR.set("red")
    decimal.getcontext().prec = 3
    structlog.contextvars.bind_contextvars(tenant="another")


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


# Threads and forks


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
    anyio.from_thread.run_sync(lambda: asyncio.get_running_loop().call_soon(_exit_now))


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


# Processes

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
    await asyncio.create_task(_exit())


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
