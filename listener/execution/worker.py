"""Runs inside a worker process: calls the handler, maps its outcome, and sends values back.

Exceptions, loggers and the client cannot cross the process boundary; outcomes and log lines can.
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
    """One call, as sent to a worker; `now` is the parent's clock at that moment."""

    function: Callable[..., Any]
    run: Run
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    now: datetime
    sizes: Sizes
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a worker."""

    outcome: Outcome
    logs: tuple[LogLine, ...]
    progress: float | None


class CarriedClock:
    """The parent's clock, continued by this process' monotonic clock."""

    def __init__(self, now: datetime) -> None:
        self._base, self._since = now, time.monotonic()

    def now(self) -> datetime:
        """Return the parent's present instant, late by the transfer time."""
        return self._base + timedelta(seconds=time.monotonic() - self._since)

    def monotonic(self) -> float:
        """Return this process' monotonic seconds."""
        return time.monotonic()

    async def sleep_until(self, instant: datetime) -> None:
        """Return at `instant` or after it."""
        while (remaining := (instant - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - a sleep may end early
            await anyio.sleep(remaining)


def work(task: Task) -> Answer:
    """Call the handler and return its outcome; every exception becomes one. What the handler changes is restored."""
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
    """Let only the listener end this process, and let the kernel end it if the listener was killed.

    A terminal and systemd send OS signals to all processes of a service, whose runs may continue for a while.
    """
    for order in SHUTDOWN_SIGNALS:
        signal.signal(order, _ignore)  # what a handler starts would inherit SIG_IGN
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the call above
            os._exit(1)


def _ignore(*_: object) -> None:
    """Ignore an OS signal."""


def _call(task: Task, context: JobContext) -> object:
    call = functools.partial(task.function, context, *task.arguments)
    if inspect.iscoroutinefunction(task.function):
        return anyio.run(call)
    return call()
