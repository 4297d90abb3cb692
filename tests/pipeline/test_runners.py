"""Tasks are made for as many runs as go on at a time, and each run is executed once."""

from __future__ import annotations

import anyio
import pytest

from listener.execution.runners import Runners


class Run:
    def __init__(self):
        self.may_end = anyio.Event()
        self.executed = 0


async def execute(run):
    """Count, and go on until told to end."""
    run.executed += 1
    await run.may_end.wait()


async def test_a_task_at_rest_is_used_again(parts):
    """Making one costs more than most handlers."""
    async with anyio.create_task_group() as tasks:
        runners = Runners(tasks, execute)
        for _ in range(5):
            batch = [Run(), Run(), Run()]
            for run in batch:
                runners.start(run)
            await parts.settled()
            assert [run.executed for run in batch] == [1, 1, 1]
            assert len(tasks._tasks) == 3
            for run in batch:
                run.may_end.set()
            await parts.settled()
        tasks.cancel_scope.cancel()


async def test_a_run_given_out_just_before_the_end_is_not_forgotten(parts):
    """It reaches its end, where it is let go of; otherwise its lease would be extended for ever."""
    new, run, ended = Run(), Run(), Run()
    ended.may_end.set()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            runners = Runners(tasks, execute)
            runners.start(ended)
            await parts.settled()
            runners.start(run)  # by the task at rest
            runners.start(new)  # by a new one
            scope.cancel()
    assert (run.executed, new.executed) == (1, 1)


async def test_what_a_run_raises_ends_the_stage():
    """It is not swallowed: the supervisor is to see it."""

    async def explode(_):
        message = "boom"
        raise ZeroDivisionError(message)

    with pytest.raises(ExceptionGroup) as group:
        async with anyio.create_task_group() as tasks:
            Runners(tasks, explode).start(Run())
    assert group.group_contains(ZeroDivisionError)
