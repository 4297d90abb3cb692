"""A job's statuses as an application sees them come: through Realtime, and without it."""

from __future__ import annotations

import threading
import time
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
import pytest
from patience import PATIENCE_SECONDS, until

from listener.client import AsyncSupabaseJobScheduler, JobNotFound, JobStatus, SupabaseJobScheduler, changes
from listener.client.access import Address
from listener.client.changes import Receiver
from listener.client.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from listener.client import Job
    from listener.local.stack import Stack

pytestmark = pytest.mark.usefixtures("listener")
FAR = datetime(2030, 1, 1, 12, tzinfo=UTC)
RECENT = datetime.fromtimestamp(time.time() - 60, UTC)  # noqa: TID251 - the database is on this machine
LIFE = ["scheduled", "paused", "scheduled", "running", "completed"]


async def _lead(scheduler: AsyncSupabaseJobScheduler, job: Job, statuses: AsyncIterator[JobStatus]) -> list[str]:
    """Lead a job that waits through its life, each step once the one before was seen; give what was seen."""
    steps = [
        lambda: scheduler.pause_job(job),
        lambda: scheduler.resume_job(job),
        lambda: scheduler.update_job(job, run_date=RECENT),
    ]
    seen = []
    with anyio.fail_after(PATIENCE_SECONDS):
        async for status in statuses:
            seen.append(status)
            if steps:
                await steps.pop(0)()
    return seen


async def test_every_status_is_seen_in_order_up_to_the_final_one(async_alice: AsyncSupabaseJobScheduler):
    """The present one first; then the job as it ended, with its result."""
    job = await async_alice.schedule_job("custom", run_date=FAR, metadata={"seconds": 0.3})
    watch = async_alice.watch(job.job_id)
    assert await _lead(async_alice, job, watch.statuses()) == LIFE
    assert (watch.job.status, watch.job.result) == (JobStatus.COMPLETED, {"seconds": 0.3})


async def test_a_status_between_the_subscription_and_the_first_look_is_not_lost(async_alice: AsyncSupabaseJobScheduler):
    """Realtime reports changes that happen while the row is read."""
    job = await async_alice.schedule_job("custom", run_date=FAR)
    looks = 0

    async def read(named: int | str) -> Job | None:
        nonlocal looks
        looks += 1
        found = await async_alice.get_job(named)
        if looks == 2:  # the first look after the subscription: it is answered before this
            await async_alice.pause_job(job)
            await async_alice.resume_job(job)
        return found

    seen = []
    watch = Watch(job.id, read, async_alice.watch(job)._address)
    with anyio.fail_after(PATIENCE_SECONDS):
        async with aclosing(watch.statuses()) as statuses:
            async for status in statuses:
                seen.append(status)
                if len(seen) == 3:
                    break
    assert seen == ["scheduled", "paused", "scheduled"]


def test_a_plain_loop_watches_too(alice: SupabaseJobScheduler):
    """Through Realtime as well: the moment of running is seen."""
    job = alice.schedule_job("custom", run_date=FAR, metadata={"seconds": 0.3})
    seen = []
    for status in alice.watch(job):
        seen.append(status)
        if len(seen) == 1:
            alice.update_job(job, run_date=RECENT)
    assert seen == ["scheduled", "running", "completed"]


async def test_a_blocking_scheduler_may_be_watched_by_an_async_loop(alice: SupabaseJobScheduler):
    """As programs did that were written by hand."""
    job = alice.schedule_job("failing")
    with anyio.fail_after(PATIENCE_SECONDS):
        assert [status async for status in alice.watch(job)][-1] is JobStatus.FAILED


async def test_a_job_that_has_ended_is_reported_at_once(async_alice: AsyncSupabaseJobScheduler):
    """One status, and no socket for it."""
    job = await async_alice.cancel_job(await async_alice.schedule_job("custom", run_date=FAR))

    def no_address() -> Address:
        raise AssertionError

    watch = Watch(job.id, async_alice.get_job, no_address)
    assert [status async for status in watch] == ["cancelled"]


async def test_only_who_may_see_a_job_can_watch_it(
    async_alice: AsyncSupabaseJobScheduler, open_scheduler: Callable[..., SupabaseJobScheduler]
):
    """To others it is not there."""
    job = await async_alice.schedule_job("custom", run_date=FAR)
    with pytest.raises(JobNotFound):
        [status async for status in open_scheduler("bob").watch(job)]


async def test_a_job_that_is_deleted_ends_its_watch(async_alice: AsyncSupabaseJobScheduler):
    """With the error that says so."""
    job = await async_alice.schedule_job("custom", run_date=FAR)

    async def watch_and_delete() -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            async for _ in async_alice.watch(job):
                await async_alice.delete_job(job)

    with pytest.raises(JobNotFound):
        await watch_and_delete()


async def test_a_cut_connection_is_replaced(async_alice: AsyncSupabaseJobScheduler, monkeypatch: pytest.MonkeyPatch):
    """After each status that was seen, here; the watcher goes on, and the job's end is seen."""
    sessions: list[changes.JobSession] = []
    opened = changes.JobSession.open

    async def open_and_remember(session: changes.JobSession) -> None:
        sessions.append(session)
        await opened(session)

    monkeypatch.setattr(changes.JobSession, "open", open_and_remember)
    monkeypatch.setattr(changes, "FIRST_PAUSE_SECONDS", 0.05)
    job = await async_alice.schedule_job("custom", run_date=FAR, metadata={"seconds": 0.3})

    async def cut() -> AsyncIterator[JobStatus]:
        async with aclosing(async_alice.watch(job).statuses()) as statuses:
            async for status in statuses:
                sessions[-1]._client._ws_connection.transport.abort()
                yield status

    assert (await _lead(async_alice, job, cut()))[-1] == "completed"
    assert len(sessions) > 1


async def test_without_realtime_the_row_is_read(
    async_alice: AsyncSupabaseJobScheduler, monkeypatch: pytest.MonkeyPatch, a_free_port: int
):
    """Where nothing listens; each status lasts longer here than the pause between two looks."""
    monkeypatch.setattr("listener.client.watch.STALE_SECONDS", 0.02)
    stale = Address(f"http://127.0.0.1:{a_free_port}", "key", "key")
    job = await async_alice.schedule_job("custom", run_date=FAR, metadata={"seconds": 0.5})
    watch = Watch(job.id, async_alice.get_job, lambda: stale)
    assert await _lead(async_alice, job, watch.statuses()) == LIFE


async def test_a_loop_that_is_left_leaves_nothing_running(async_alice: AsyncSupabaseJobScheduler):
    """No task, no socket."""
    job = await async_alice.schedule_job("custom", run_date=FAR)
    before = {task.id for task in anyio.get_running_tasks()}
    async with aclosing(async_alice.watch(job).statuses()) as statuses:
        assert await anext(statuses) == "scheduled"
    assert {task.id for task in anyio.get_running_tasks()} == before


def test_a_plain_loop_that_is_left_leaves_no_thread(alice: SupabaseJobScheduler):
    """Its event loop ends with it."""
    job = alice.schedule_job("custom", run_date=FAR)
    before = threading.active_count()
    statuses = iter(alice.watch(job))
    assert next(statuses) == "scheduled"
    statuses.close()
    until(lambda: threading.active_count() <= before, "the thread ended")


async def test_the_token_is_looked_up_for_each_session(embedded_stack: Stack, monkeypatch: pytest.MonkeyPatch):
    """A user's session that was refreshed meanwhile has another one; without a good one nothing is received."""
    monkeypatch.setattr(changes, "FIRST_PAUSE_SECONDS", 0.0)
    tokens = iter(["not a token", embedded_stack.user_token("alice")])
    receiver = Receiver(lambda: Address(embedded_stack.url, embedded_stack.anon_key, next(tokens)), 1)
    await receiver.connect()
    assert not receiver.receiving
    await anyio.sleep(0.01)
    await receiver.connect()
    assert receiver.receiving
    await receiver.close()
