"""The checker finds a scheduler that lacks a part: each test takes one out, does what the part is for, and looks."""

from __future__ import annotations

import json
import re
import shutil
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from chaos.checker import check
from chaos.evidence import gather
from chaos.replicas import JOBS
from chaos.rig import running_rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chaos.rig import Rig

LEASE_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
QUIET_SECONDS = 4.0
UNANSWERED_SECONDS = 8.0
"""A probe would be due, unanswered and followed by a fresh session within this time."""
SETTINGS = {"LISTENER_LEASE_SECONDS": LEASE_SECONDS, "LISTENER_RESCUE_SECONDS": 0.5, "LISTENER_DRAIN_SECONDS": 0}
EMPTY = """
truncate public.scheduled_jobs, public.job_listeners cascade;
truncate chaos.job_changes, chaos.run_changes, chaos.listeners;
"""
BROKEN = str(JOBS / "broken_listener.py")


@pytest.fixture(scope="module")
async def stack_with_roads() -> AsyncIterator[Rig]:
    """Run one stack for all of them."""
    async with running_rig(2, SETTINGS, seed=1) as rig:
        yield rig
    shutil.rmtree(rig.folder)


@pytest.fixture
async def rig(stack_with_roads: Rig) -> AsyncIterator[Rig]:
    """Give the stack, empty and whole, without listeners; a broken function is fixed afterwards."""
    rig = stack_with_roads
    functions = {name: await definition(rig, name) for name in ("finish_runs_v1",)}
    functions["unseen"] = await definition(rig, "unseen", "job_scheduler")
    await rig.database.rows(EMPTY)
    for file in rig.replicas.records.iterdir():
        file.unlink()
    yield rig
    rig.replicas.stop_all()
    for text in functions.values():
        await rig.database.rows(text)


async def definition(rig: Rig, function: str, schema: str = "public") -> str:
    """Give the SQL that makes a function."""
    query = "select pg_get_functiondef(oid) as text from pg_proc where proname = %s and pronamespace = %s::regnamespace"
    return (await rig.database.rows(query, [function, schema]))[0]["text"]


async def rewrite(rig: Rig, function: str, old: str, new: str, schema: str = "public") -> None:
    """Replace a piece of a function."""
    text = await definition(rig, function, schema)
    assert old in text, f"{function} has changed: say what to take out of it now"
    await rig.database.rows(text.replace(old, new))


async def insert(rig: Rig, name: str, due_in: float = 0.0, **payload: Any) -> None:
    """Insert a job that is due in so many seconds."""
    await rig.database.rows(
        "insert into public.scheduled_jobs (job_id, handler, run_date, metadata, retry_delay_seconds) "
        "values (%s, 'chaos', clock_timestamp() + make_interval(secs => %s), %s, 0.1)",
        [name, due_in, json.dumps(payload)],
    )


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await true():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:g} s: {what}"
        await anyio.sleep(0.05)


async def has_ended(rig: Rig, name: str) -> bool:
    """Whether a job has come to its end."""
    rows = await rig.database.rows("select status from public.scheduled_jobs where job_id = %s", [name])
    return bool(rows) and rows[0]["status"] == "completed"


async def kinds(rig: Rig) -> set[str]:
    """Give the kinds of violations that the checker finds."""
    return {violation.kind for violation in check(await gather(rig.database, rig.replicas))}


# The purpose of each part.

WATCHFUL = {
    "LISTENER_POLL_SECONDS": 600,
    "LISTENER_STALE_POLL_SECONDS": 600,
    "LISTENER_RELIST_SECONDS": 3600,
    "LISTENER_PROBE_SECONDS": 3,
}
"""A listener that receives notifications does not need the polls: neither the usual ones, nor the denser ones for some
seconds after a notification that may stand for many rows. What it missed it reads only in a fresh session."""
POLLING = {
    "LISTENER_CHANNELS": "none",
    "LISTENER_POLL_SECONDS": 0.2,
    "LISTENER_STALE_POLL_SECONDS": 0.2,
    "LISTENER_HORIZON_SECONDS": 5,
}


async def a_result_arrives_after_its_lease(rig: Rig) -> None:
    """A run ends in time, its end is held up on the road, another listener runs it again, and then the end arrives."""
    await insert(rig, "held up", seconds=0.5)
    await until(lambda: has_begun(rig), "the run has begun")
    pid = int(next(rig.replicas.records.iterdir()).stem)
    road = next(rig.replicas.roads[each.slot] for each in rig.replicas.slots if each.process.pid == pid)
    road.delay_up = LEASE_SECONDS + 2.5
    began = anyio.current_time()
    try:
        await until(lambda: has_ended(rig, "held up"), "another listener has run it")
        await anyio.sleep_until(began + road.delay_up + 1.5)
    finally:
        road.delay_up = 0.0


async def have_subscribed(rig: Rig) -> bool:
    """Whether each listener's log has a session of both channels."""
    return all(each.log.read_text().count("feed.session_opened") >= 2 for each in rig.replicas.slots)


async def have_read_all(rig: Rig) -> bool:
    """Whether each listener last read the table a while ago, by what `/readyz` says."""
    for each in rig.replicas.slots:
        read = re.search(r"database: ok, read ([\d.]+) s ago", await each.readiness())
        if read is None or float(read[1]) < QUIET_SECONDS:
            return False
    return True


def logs(rig: Rig) -> str:
    """Give what the listeners logged, to explain what they did."""
    return "\n".join(each.log.read_text() for each in rig.replicas.slots)


async def has_begun(rig: Rig) -> bool:
    """Whether a handler has been called."""
    return any(file.stat().st_size for file in rig.replicas.records.iterdir())


async def a_job_lies_beyond_the_horizon(rig: Rig) -> None:
    """It is not armed when it is inserted; a later list finds it."""
    await insert(rig, "far away", due_in=5.5)
    await anyio.sleep(7)


async def a_transaction_commits_late(rig: Rig) -> None:
    """Polls go by while it is open, and what it wrote becomes visible behind them."""
    async with rig.database.session() as connection, connection.transaction():
        await connection.execute("insert into public.scheduled_jobs (job_id, handler) values ('late', 'chaos')")
        await insert(rig, "early")
        await anyio.sleep(1.5)
    await anyio.sleep(1.5)


async def realtime_goes_stale(rig: Rig) -> None:
    """The sockets stay open and nothing comes through them any more; a job that is inserted then is not announced.

    Both channels are subscribed first: a session that lacks one is replaced, by a socket that is not stale. And each
    subscription has the table read, which has to be over.
    """
    await until(lambda: have_subscribed(rig), "every listener has subscribed to both channels")
    rig.realtime.mark_stale()
    await until(lambda: have_read_all(rig), "no listener reads the table any more")
    await insert(rig, "unreceived")


# Whole, nothing is found; without the part, its absence is.


async def test_nothing_is_found_where_listeners_hear_and_nothing_is_missing(rig) -> None:
    """A late result is refused, and who goes stale receives again."""
    await rig.replicas.start_all(**WATCHFUL)
    await a_result_arrives_after_its_lease(rig)
    await realtime_goes_stale(rig)
    await until(lambda: has_ended(rig, "unreceived"), "a probe finds the channels stale, and a fresh session reads on")
    assert await kinds(rig) == set()


async def test_nothing_is_found_where_listeners_poll_and_nothing_is_missing(rig) -> None:
    """Jobs far in the future come nearer, and rows that commit late are seen."""
    await rig.replicas.start_all(**POLLING)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(a_job_lies_beyond_the_horizon, rig)
        tasks.start_soon(a_transaction_commits_late, rig)
    assert await kinds(rig) == set()


async def test_without_a_fence_a_late_result_overwrites_the_end(rig) -> None:
    """Results are taken from whoever sends them."""
    owned = "e.fence = g.fence and e.status = 'running' and e.listener_id = me"
    await rewrite(rig, "finish_runs_v1", owned, "true")
    await rig.replicas.start_all(**WATCHFUL)
    await a_result_arrives_after_its_lease(rig)
    assert "write accepted after the end" in await kinds(rig)


async def test_without_relisting_what_lies_beyond_the_horizon_is_lost(rig) -> None:
    """The listener lists once."""
    await rig.replicas.start_all((BROKEN, "no_relist"), **POLLING)
    await a_job_lies_beyond_the_horizon(rig)
    assert await kinds(rig) == {"lost job", "due instant without a row"}


async def test_without_the_open_transactions_of_the_cursor_what_commits_late_is_lost(rig) -> None:
    """The poll asks for later transactions alone."""
    await rewrite(rig, "unseen", "pg_visible_in_snapshot(o.xid, pg_current_snapshot())", "false", "job_scheduler")
    await rig.replicas.start_all(**{**POLLING, "LISTENER_RELIST_SECONDS": 3600, "LISTENER_HORIZON_SECONDS": 3600})
    await a_transaction_commits_late(rig)
    assert await kinds(rig) == {"lost job", "due instant without a row"}


async def test_without_probes_a_stale_channel_is_believed(rig) -> None:
    """The listener trusts a subscription."""
    await rig.replicas.start_all((BROKEN, "no_probe"), **WATCHFUL)
    await realtime_goes_stale(rig)
    await anyio.sleep(UNANSWERED_SECONDS)
    assert await kinds(rig) == {"lost job", "due instant without a row"}, logs(rig)
