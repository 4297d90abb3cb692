"""A stage that fails comes back; one that cannot ends the service."""

from __future__ import annotations

import asyncio  # noqa: TID251 - what it does to tasks is the point

import anyio
import pytest

from listener.app.supervisor import MAX_FAILURES, WINDOW_SECONDS, Supervisor
from listener.errors import StageFailedError, StageReturnedError


@pytest.fixture
def supervisor(clock):
    """A supervisor on a clock that tests move."""
    return Supervisor(clock)


async def run(supervisor, stage, name="stage"):
    """Supervise until the stage says that the test is over."""
    with pytest.raises(SystemExit):
        await supervisor.run(name, stage)


def failing(times, after=lambda: None):
    """Make a stage that fails so many times, then ends the test."""
    starts = []

    async def stage():
        starts.append(None)
        after()
        if len(starts) <= times:
            message = "boom"
            raise ValueError(message)
        raise SystemExit

    return stage, starts


async def test_a_stage_comes_back_after_growing_pauses(supervisor, naps):
    """So that a fault that stays does not burn the machine."""
    stage, starts = failing(3)
    await run(supervisor, stage)
    assert len(starts) == 4
    assert naps == sorted(naps)
    assert len(set(naps)) == 3


async def test_failures_in_a_row_end_the_service(supervisor, naps):
    """Rather than a service that looks alive without a stage; the last line of the log names the cause."""
    stage, starts = failing(100)
    with pytest.raises(StageFailedError, match=r"stage poll failed 6 times .* ValueError: boom") as failed:
        await supervisor.run("poll", stage)
    assert len(starts) == MAX_FAILURES + 1
    assert isinstance(failed.value.__cause__, ValueError)


async def test_failures_far_apart_do_not_add_up(supervisor, naps, clock):
    """A service that runs for months may have one a day."""
    stage, starts = failing(20, lambda: clock.advance(WINDOW_SECONDS / 3))
    await run(supervisor, stage)
    assert len(starts) == 21


async def test_a_group_of_failures_is_a_failure(supervisor, naps):
    """Exceptions of a stage's own tasks arrive in a group."""
    starts = []

    async def stage():
        starts.append(None)
        if len(starts) == 1:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(failing(1)[0])
        raise SystemExit

    await run(supervisor, stage)
    assert len(starts) == 2


async def test_cancellation_passes_through(supervisor):
    """The end of the service is no failure of its stages."""
    with anyio.move_on_after(0.02) as scope:
        await supervisor.run("stage", anyio.sleep_forever)
    assert scope.cancelled_caught


async def test_a_stage_that_returns_has_failed(supervisor, naps):
    """It is to run until the service ends: without it, nothing would be claimed, and nothing would say so."""
    starts = []

    async def stage():
        starts.append(None)

    with pytest.raises(StageFailedError, match="stage poll has returned") as failed:
        await supervisor.run("poll", stage)
    assert len(starts) == MAX_FAILURES + 1
    assert isinstance(failed.value.__cause__, StageReturnedError)


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, MemoryError])
async def test_whatever_ends_a_stage_but_the_services_end_is_a_failure(supervisor, naps, error):
    """Also a cancellation that nobody of the service has asked for."""
    starts = []

    async def stage():
        starts.append(None)
        if len(starts) == 1:
            raise error
        raise SystemExit

    await run(supervisor, stage)
    assert len(starts) == 2


async def test_a_stage_whose_task_is_cancelled_from_outside_comes_back(supervisor, naps):
    """By whoever has come by the task."""
    starts = []

    async def stage():
        starts.append(asyncio.current_task())
        if len(starts) == 1:
            starts[0].cancel()
            await anyio.sleep_forever()
        raise SystemExit

    await run(supervisor, stage)
    assert len(starts) == 2
