"""Each run has a task and a context of its own, and its task's end is always reported."""

from __future__ import annotations

import asyncio  # noqa: TID251 - what it does to tasks is the point
import decimal
from contextvars import ContextVar

import anyio
import pytest
import structlog

from listener.execution.runners import Runners
from listener.runs.current import current_run

COLOUR: ContextVar[str] = ContextVar("colour", default="none")


class Run:
    """A stand-in for a claimed run."""

    def __init__(self, act=lambda: None):
        self.may_end, self.act = anyio.Event(), act
        self.seen, self.ended = None, 0


async def execute(run):
    """Look at the context, do what the run says, and go on until a test ends it."""
    run.seen = (COLOUR.get(), decimal.getcontext().prec, structlog.contextvars.get_contextvars(), current_run.get())
    run.act()
    await run.may_end.wait()


@pytest.fixture
def runners():
    """Runners of the function above."""

    def ended(run):
        run.ended += 1

    return Runners(execute, ended)


def stain():
    """Leave something in each kind of context."""
    COLOUR.set("red")
    decimal.getcontext().prec = 3
    structlog.contextvars.bind_contextvars(tenant="another")


async def test_what_a_run_leaves_in_its_context_is_seen_by_no_other(runners, parts):
    """Neither by those beside it nor by those after it; what held when the service started holds in all."""
    COLOUR.set("of whoever starts it")
    runs = [Run(stain) for _ in range(20)]
    for run in runs:
        runners.start(run)
        run.may_end.set()
        await parts.settled()
    assert [run.seen for run in runs] == [("none", 28, {}, run) for run in runs]
    assert decimal.getcontext().prec == 28
    assert len(runners) == 0


async def test_a_cancellation_that_comes_late_reaches_nobody(runners, parts):
    """A timer that a run set cancels a task that has ended."""
    tasks = []
    first, second = Run(lambda: tasks.append(asyncio.current_task())), Run()
    runners.start(first)
    first.may_end.set()
    await parts.settled()
    runners.start(second)
    await parts.settled()
    assert not tasks[0].cancel()
    await parts.settled()
    assert (first.ended, second.ended) == (1, 0)
    second.may_end.set()
    await parts.settled()
    assert second.ended == 1


@pytest.mark.parametrize("error", [ZeroDivisionError, GeneratorExit, asyncio.CancelledError])
async def test_what_is_raised_in_a_run_ends_that_run_alone(runners, parts, error):
    """Its end is reported, and the others go on."""

    def explode():
        raise error

    broken, other = Run(explode), Run()
    runners.start(broken)
    runners.start(other)
    await parts.settled()
    assert (broken.ended, other.ended, len(runners)) == (1, 0, 1)
    other.may_end.set()
    await parts.settled()


async def test_the_end_of_a_task_that_was_cancelled_before_its_first_step_is_reported(runners, parts):
    """No code of it has run, so none of it could report."""
    run = Run()
    runners.start(run)
    next(iter(runners._tasks)).cancel()
    await parts.settled()
    assert (run.seen, run.ended, len(runners)) == (None, 1, 0)
