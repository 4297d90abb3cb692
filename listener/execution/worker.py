"""What happens inside a worker process: call the handler, judge it, and send values back.

Exceptions, loggers and the client do not cross the border between processes; outcomes and lines do.
"""

from __future__ import annotations

import ctypes
import decimal
import functools
import inspect
import os
import signal
import sys
import time
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio

from listener.execution import outcome_mapping
from listener.execution.process_state import ProcessState
from listener.handler_api.context import JobContext, Surroundings
from listener.masking.masker import Masker
from listener.masking.redaction import hiding
from listener.os_signals import SHUTDOWN_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from listener.domain.job import Run
    from listener.domain.outcome import LogLine, Outcome
    from listener.execution.outcome_mapping import Sizes


PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Task:
    """One call, as it is sent to a worker; `now` is the parent's clock at that moment."""

    function: Callable[..., Any]
    run: Run
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    now: datetime
    sizes: Sizes
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back."""

    outcome: Outcome
    logs: tuple[LogLine, ...]
    progress: float | None


class CarriedClock:
    """The parent's clock, carried on by this process' monotonic one."""

    def __init__(self, now: datetime) -> None:
        self._base, self._since = now, time.monotonic()

    def now(self) -> datetime:
        """Give the parent's present instant, late by the way here."""
        return self._base + timedelta(seconds=time.monotonic() - self._since)

    def monotonic(self) -> float:
        """Give this process' monotonic seconds."""
        return time.monotonic()

    async def sleep_until(self, instant: datetime) -> None:
        """Return at `instant` or after it."""
        while (remaining := (instant - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - a sleep may end early
            await anyio.sleep(remaining)


def work(task: Task) -> Answer:
    """Call the handler and say how it ended; whatever it raises becomes an outcome, and what it changes is put back."""
    state = ProcessState()
    try:
        return copy_context().run(_work, task)
    finally:
        state.restore()


def _work(task: Task) -> Answer:
    decimal.setcontext(decimal.getcontext().copy())
    clock = CarriedClock(task.now)
    context = JobContext(task.run, Surroundings(clock=clock, options=task.options))
    context.masker = Masker(task.secrets) if task.secrets else None
    context.run_log.is_shown = False  # the listener shows the lines, and what is printed here is the handler's
    with hiding(context.masker):
        try:
            outcome = outcome_mapping.of_result(_call(task, context), task.sizes)
        except BaseException as error:  # noqa: BLE001 - also SystemExit, which would end the worker without an answer
            outcome = outcome_mapping.of_exception(error, task.run.attempt, clock.now(), task.sizes)
    return Answer(outcome, context.take_logs(), context.fraction)


def belong_to(parent: int) -> None:
    """Let the listener alone say when this process ends, and let the kernel do so if the listener was killed.

    A terminal and systemd send their signals to all processes of a service, whose runs may then go on for a while.
    """
    for order in SHUTDOWN_SIGNALS:
        signal.signal(order, _ignore)  # what a handler starts would inherit SIG_IGN
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)


def _ignore(*_: object) -> None:
    """Take no note of a signal."""


def _call(task: Task, context: JobContext) -> object:
    call = functools.partial(task.function, context, *task.arguments)
    if inspect.iscoroutinefunction(task.function):
        return anyio.run(call)
    return call()
