"""Runs of a handler get their places in turn when more are due than may go on."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from listener import handler
from listener.domain.outcome import Completed
from listener.execution import fair_limiter
from listener.execution.executor import Executor
from listener.execution.fair_limiter import FairLimiter
from listener.handler_api.registry import Handler, Registry
from listener.testing import NOON, make_run

pytestmark = pytest.mark.anyio


def run(name, priority=0, tenant=None, late=0.0, user=None):
    """A run that is called `name`."""
    row = {"name": name, "priority": priority}
    return make_run("idle", row=row, tenant=tenant, user=user, start_at=NOON + timedelta(seconds=late))


def silent():
    """Nobody waits long here."""
    pytest.fail("it waited for too long")


async def order(limiter, *runs):
    """Let the runs enter one after the other, each of them leaving as soon as it may; their names, as they went in."""
    inside = []

    async def visit(each):
        await limiter.enter(each, silent)
        inside.append(each.row["name"])
        await anyio.wait_all_tasks_blocked()
        limiter.leave(each)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as visitors:
            for each in runs:
                visitors.start_soon(visit, each)
    return inside


async def test_of_runs_that_arrive_at_one_instant_the_most_urgent_go_first():
    """Also those that find a free place."""
    runs = [run("plain"), run("idle", -3), run("urgent", 9), run("early", late=-1)]
    assert await order(FairLimiter(1), *runs) == ["urgent", "early", "plain", "idle"]


async def test_an_urgent_run_goes_before_those_that_have_waited():
    """The place goes to it as soon as one is free."""
    limiter, entered = FairLimiter(1), []
    await limiter.enter(run("inside"), silent)

    async def visit(each):
        await limiter.enter(each, silent)
        entered.append(each.row["name"])

    with anyio.fail_after(2):
        async with anyio.create_task_group() as visitors:
            for each in (run("waiting", late=-60), run("urgent", 1)):
                visitors.start_soon(visit, each)
                await anyio.wait_all_tasks_blocked()
            limiter.leave(run("any"))
            await anyio.wait_all_tasks_blocked()
            visitors.cancel_scope.cancel()
    assert entered == ["urgent"]


async def test_tenants_take_turns_whatever_their_priorities():
    """A priority orders the runs of one tenant."""
    runs = [run("a1", 9, "a"), run("a2", 8, "a"), run("a3", 7, "a"), run("b", 0, "b")]
    assert await order(FairLimiter(1), *runs) == ["a1", "b", "a2", "a3"]


async def test_workspaces_of_one_user_have_one_users_turns_and_users_of_one_workspace_have_its():
    """A run that is served counts for both."""
    mine = [run(f"m{n}", tenant=f"workspace-{n}", user="m") for n in range(4)]
    theirs = [run(f"t{n}", tenant="shared", user=f"user-{n}") for n in range(4)]
    entered = await order(FairLimiter(1), *mine, *theirs, run("n1", tenant="n"), run("n2", tenant="n"))
    assert [{name[0] for name in entered[at : at + 3]} for at in (0, 3)] == [{"m", "t", "n"}] * 2


async def test_no_tenant_and_no_user_holds_all_of_many_places():
    """A newcomer starts at once, beside any number of workspaces of one user."""
    limiter, inside = FairLimiter(20), []

    async def visit(each):
        await limiter.enter(each, silent)
        inside.append(each.row["name"])
        await anyio.sleep_forever()

    with anyio.fail_after(4):
        async with anyio.create_task_group() as visitors:
            for n in range(100):
                visitors.start_soon(visit, run("m", tenant=f"workspace-{n % 20}", user="m"))
            await anyio.wait_all_tasks_blocked()
            assert inside == ["m"] * 16
            visitors.start_soon(visit, run("new", tenant="n"))
            await anyio.wait_all_tasks_blocked()
            assert inside[16:] == ["new"]
            visitors.cancel_scope.cancel()


async def test_no_more_are_inside_than_there_are_places():
    """However many come at once."""
    limiter, inside, most = FairLimiter(3), 0, 0

    async def visit():
        nonlocal inside, most
        await limiter.enter(run("one"), silent)
        inside += 1
        most = max(most, inside)
        await anyio.sleep(0.001)
        inside -= 1
        limiter.leave(run("any"))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as visitors:
            for _ in range(20):
                visitors.start_soon(visit)
    assert most == 3


@pytest.mark.parametrize("is_free", [False, True])
async def test_a_run_that_is_cancelled_while_it_waits_leaves_no_place_taken(is_free):
    """Neither where all places are taken, nor where it is cancelled in the moment in which it arrives."""
    limiter, visitors = FairLimiter(1), anyio.CancelScope()
    if not is_free:
        await limiter.enter(run("inside"), silent)

    async def visit():
        with visitors:
            await limiter.enter(run("waiting"), silent)
            limiter.leave(run("any"))

    with anyio.fail_after(2):
        async with anyio.create_task_group() as group:
            group.start_soon(visit)
            if not is_free:
                await anyio.wait_all_tasks_blocked()
            visitors.cancel()
        if not is_free:
            limiter.leave(run("any"))
        await limiter.enter(run("next"), silent)


async def test_a_run_that_waits_long_for_a_slot_says_so_in_its_log(clock, monkeypatch):
    """Its row says that it is running, since it was claimed: whoever wonders finds why nothing happens."""
    monkeypatch.setattr(fair_limiter, "PATIENCE_SECONDS", 0.01)
    may_end = anyio.Event()

    @handler(concurrency=1)
    async def narrow(job):
        await may_end.wait()

    executor = Executor(Registry([Handler.of(narrow)]), clock, lambda: None)
    first, second = (executor.prepare(make_run("narrow")) for _ in range(2))
    reports = []

    async def execute(claimed_run):
        reports.append(await executor.execute(claimed_run))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for claimed_run in (first, second):
                group.start_soon(execute, claimed_run)
                await anyio.wait_all_tasks_blocked()
            while not (lines := second.take_logs()):  # noqa: ASYNC110 - nothing else shows a line
                await anyio.sleep(0.001)
            may_end.set()
    assert [line.message[:23] for line in lines] == ["waiting for a free slot"]
    assert (first.take_logs(), [report.outcome for report in reports]) == ((), [Completed(), Completed()])
