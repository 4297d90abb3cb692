"""An application's scheduler against a running listener, as a signed-in user and with the service key."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from anyio import to_thread
from patience import until
from supabase import AsyncClient, AsyncClientOptions, Client, ClientOptions

from listener.client import (
    AsyncSupabaseJobScheduler,
    JobExists,
    JobForbidden,
    JobNotFound,
    JobRefused,
    JobSchedulerConfig,
    JobStatus,
    RunStatus,
    SupabaseJobScheduler,
    TriggerType,
    Unreachable,
)
from listener.errors import InvalidValueError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from listener.local.stack import Stack

pytestmark = pytest.mark.usefixtures("listener")
LONG_AGO = datetime.fromtimestamp(time.time() - 3600, UTC)  # noqa: TID251 - the database is on this machine
FAR = datetime(2030, 1, 1, 12, tzinfo=UTC)
WHO = ["alice", None]
BY_HAND = """
from datetime import datetime
from listener.client import JobSchedulerConfig, JobStatus, SupabaseJobScheduler, TriggerType

config = JobSchedulerConfig(retry_failed_jobs=True, max_retries=3, store_job_results=True, cleanup_after_days=7)
scheduler = SupabaseJobScheduler(config=config)

async def event_reminder(event_id: str, message: str): ...

scheduler.schedule_reminder(event_id="123", event_time=datetime(2030, 3, 1, 14, 0), notification_func=event_reminder,
                            minutes_before=15, message="Don't forget your meeting!")
scheduler.schedule_recurring(func=event_reminder, trigger_type=TriggerType.DAILY, job_id="daily_report",
                             run_date=datetime.now(), hour=8, minute=0)
scheduler.schedule_one_time_job(func=event_reminder, run_at=datetime(2030, 3, 1, 14, 0), job_id="one_time_task")
scheduler.cancel_job("daily_report")
assert scheduler.get_job("daily_report").status is JobStatus.CANCELLED
assert scheduler.get_job("nobody") is None
print(sorted(job.job_id for job in scheduler.get_jobs_by_status(JobStatus.SCHEDULED)))
scheduler.retry_job("daily_report")
"""


def test_the_program_that_people_wrote_by_hand_runs(embedded_stack: Stack, tmp_path: Path):
    """Line by line, with the environment alone, from a folder of its own; the functions become handlers' names."""
    environment = {**os.environ, **embedded_stack.environment(), "SUPABASE_SECRET_KEY": ""}
    command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", BY_HAND]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['one_time_task', 'reminder_123']\n"


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """Give the connections of a client of the caller's own."""
    with httpx.Client() as connections:
        yield connections
        assert not connections.is_closed


@pytest.mark.parametrize("user", WHO)
def test_a_job_runs_and_is_looked_at(open_scheduler: Callable[..., SupabaseJobScheduler], user: str | None):
    """Its result, its history, its log lines, its statistics."""
    scheduler = open_scheduler(user)
    job = scheduler.schedule_reminder(event_id=uuid.uuid4(), run_date=LONG_AGO, message="soon")
    done = until(lambda: (it := scheduler.get_job(job)) and it.is_final and it, "the job ended")
    assert (done.status, done.result["payload"]["message"]) == (JobStatus.COMPLETED, "soon")
    [run] = scheduler.get_history(job)
    assert (run.status, run.cause, run.result) == (RunStatus.COMPLETED, "schedule", done.result)
    assert [(line.message, line.fields["message"]) for line in scheduler.get_logs(run)] == [("reminding", "soon")]
    stats = scheduler.get_statistics(job)
    assert (stats.total_runs, stats.success_rate, stats.last_run_at) == (1, 1.0, done.last_run_at)


@pytest.mark.parametrize("user", WHO)
def test_one_life_of_a_recurring_job(open_scheduler: Callable[..., SupabaseJobScheduler], user: str | None):
    """Paused, resumed, changed, tried, cancelled, scheduled again, deleted: each answers with the job as it is then."""
    scheduler = open_scheduler(user, timezone="Europe/Berlin")
    job = scheduler.schedule_recurring("custom", TriggerType.WEEKLY, days="mon-wed", hour=9)
    assert (job.trigger_type, job.timezone) == (TriggerType.WEEKLY, "Europe/Berlin")
    assert job.schedule == {"time": "09:00", "days": ["monday", "tuesday", "wednesday"]}
    assert scheduler.pause_job(job.job_id).status is JobStatus.PAUSED
    assert [each.id for each in scheduler.get_jobs_by_status(JobStatus.PAUSED)] == [job.id]
    assert scheduler.resume_job(job.id).status is JobStatus.SCHEDULED
    assert scheduler.update_job(job, name="Monday", max_runs=3, description=None).name == "Monday"
    run = scheduler.run_job_now(job, test_mode=True)
    ended = until(lambda: (it := scheduler.get_execution(run)).is_final and it, "the test run ended")
    assert (ended.status, ended.cause, ended.test_mode) == (RunStatus.COMPLETED, "manual", True)
    assert scheduler.cancel_job(job).status is JobStatus.CANCELLED
    assert scheduler.cancel_job(job).status is JobStatus.CANCELLED, "it may be repeated"
    assert scheduler.retry_job(job).status is JobStatus.SCHEDULED
    assert scheduler.delete_job(job).id == job.id
    assert scheduler.get_job(job.job_id) is None
    with pytest.raises(JobNotFound):
        scheduler.delete_job(job)


def test_a_job_id_makes_scheduling_repeatable(alice: SupabaseJobScheduler):
    """The same again is the same job; another definition is a conflict, or replaces it where that is asked for."""
    key = f"key-{uuid.uuid4()}"
    job = alice.schedule_one_time_job("custom", FAR, key, who="you", when=FAR)
    assert alice.schedule_one_time_job("custom", FAR, key, who="you", when=FAR) == job
    with pytest.raises(JobExists) as conflict:
        alice.schedule_one_time_job("custom", FAR + timedelta(hours=1), key, who="me", when=FAR)
    assert conflict.value.job == job
    assert sorted(conflict.value.differs) == ["metadata", "run_date"]
    moved = alice.schedule_one_time_job(
        "custom", FAR + timedelta(hours=1), key, who="me", when=FAR, replace_existing=True
    )
    assert (moved.id, moved.run_date, moved.metadata["who"]) == (job.id, FAR + timedelta(hours=1), "me")


def test_replacing_a_finished_job_lets_it_run_again(alice: SupabaseJobScheduler):
    """With its new payload."""
    job = alice.schedule_one_time_job("custom", job_id="again", round=1)
    until(lambda: alice.get_job(job).is_final, "the first round ended")
    alice.schedule_one_time_job("custom", job_id="again", round=2, replace_existing=True)
    until(lambda: alice.get_job(job).result == {"round": 2}, "the second round ended")
    assert alice.get_statistics(job).total_runs == 2


def test_the_same_job_id_of_two_users_is_two_jobs(open_scheduler: Callable[..., SupabaseJobScheduler]):
    """Each sees their own; the service sees its own first."""
    alice, bob, service = open_scheduler("alice"), open_scheduler("bob"), open_scheduler()
    jobs = [each.schedule_one_time_job("custom", FAR, "shared-key") for each in (alice, bob, service)]
    assert len({job.id for job in jobs}) == 3
    assert [each.get_job("shared-key").id for each in (alice, bob, service)] == [job.id for job in jobs]
    with pytest.raises(JobNotFound):
        bob.cancel_job(jobs[0])


def test_no_retries_where_none_are_wanted(open_scheduler: Callable[..., SupabaseJobScheduler]):
    """And no result kept, neither by the job nor by the ledger."""
    once = open_scheduler("alice", config=JobSchedulerConfig(retry_failed_jobs=False, store_job_results=False))
    failed, silent = once.schedule_one_time_job("retried"), once.schedule_one_time_job("custom", word="secret")
    until(lambda: once.get_job(failed).is_final and once.get_job(silent).is_final, "both ended")
    assert (once.get_job(failed).status, len(once.get_history(failed))) == (JobStatus.FAILED, 1)
    assert (once.get_job(silent).status, once.get_job(silent).result) == (JobStatus.COMPLETED, None)
    assert [run.result for run in once.get_history(silent)] == [None]


def test_what_the_database_refuses_says_why(alice: SupabaseJobScheduler):
    """Column, value and what is allowed; nothing is written."""
    with pytest.raises(JobRefused) as refusal:
        alice.schedule_job("custom", trigger_type="interval", schedule={"seconds": 0.1})
    assert (refusal.value.column, refusal.value.value) == ("schedule", '{"seconds": 0.1}')
    assert "a number from 1 to" in refusal.value.allowed
    with pytest.raises(JobRefused, match="next_run_at"):
        alice.schedule_job("custom", next_run_at=FAR)
    with pytest.raises(JobRefused, match="colour"):
        alice.schedule_job("custom", colour="red")
    job = alice.schedule_job("custom", run_date=FAR)
    with pytest.raises(JobRefused) as refusal:
        alice.resume_job(alice.cancel_job(job))
    assert (refusal.value.column, refusal.value.value, refusal.value.allowed) == ("status", '"cancelled"', "paused")


def test_the_public_key_alone_may_nothing(embedded_stack: Stack):
    """And says so."""
    with (
        SupabaseJobScheduler(url=embedded_stack.url, key=embedded_stack.anon_key) as nobody,
        pytest.raises(JobForbidden),
    ):
        nobody.list_jobs()


def test_a_project_that_does_not_answer_is_unreachable(a_free_port: int):
    """Not some error of a library below."""
    with (
        SupabaseJobScheduler(url=f"http://127.0.0.1:{a_free_port}", key="sb_secret_x") as lost,
        pytest.raises(Unreachable, match="ConnectError"),
    ):
        lost.schedule_job("custom")


async def test_the_asynchronous_scheduler_does_the_same(
    async_alice: AsyncSupabaseJobScheduler, alice: SupabaseJobScheduler
):
    """Every operation, awaited."""
    job = await async_alice.schedule_recurring("custom", "interval", "async", seconds=3600, run_date=FAR)
    again = await async_alice.schedule_recurring("custom", "interval", "async", seconds=3600, run_date=FAR)
    assert again.id == job.id == alice.get_job("async").id == (await async_alice.get_job(job)).id
    assert (await async_alice.pause_job("async")).status is JobStatus.PAUSED
    assert (await async_alice.resume_job("async")).status is JobStatus.SCHEDULED
    assert (await async_alice.update_job("async", name="n")).name == "n"
    assert job.id in {each.id for each in await async_alice.get_jobs_by_status("scheduled")}
    run = await async_alice.run_job_now("async")
    assert run.id in {each.id for each in await async_alice.get_history("async")}
    assert (await async_alice.get_statistics("async")).total_runs in {0, 1}
    assert (await async_alice.cancel_job("async")).status is JobStatus.CANCELLED
    assert (await async_alice.retry_job("async")).status is JobStatus.SCHEDULED
    with pytest.raises(JobRefused):
        await async_alice.update_job("async", timezone="Mars/Base")
    await async_alice.delete_job("async")
    assert await async_alice.get_job("async") is None


async def test_a_blocking_scheduler_may_be_awaited_for_a_job_that_is_not_there(alice: SupabaseJobScheduler):
    """None on no loop; on a loop something false, which may be awaited, and says why it is no job."""
    assert await to_thread.run_sync(alice.get_job, "nowhere") is None
    nothing = alice.get_job("nowhere")
    assert not nothing
    assert nothing == None  # noqa: E711 - what a program may write
    assert await nothing is None
    with pytest.raises(AttributeError, match="there is no such job"):
        _ = nothing.status


async def test_the_callers_own_clients_are_used_and_left_open(embedded_stack: Stack, http: httpx.Client):
    """Each kind by its own scheduler; the other kind is refused with a word on which to use."""
    async_http = httpx.AsyncClient()
    blocking = Client(embedded_stack.url, embedded_stack.service_key, ClientOptions(httpx_client=http))
    options = AsyncClientOptions(httpx_client=async_http)
    awaited = AsyncClient(embedded_stack.url, embedded_stack.service_key, options)
    with SupabaseJobScheduler(client=blocking) as scheduler:
        job = scheduler.schedule_job("custom", run_date=FAR)
    async with AsyncSupabaseJobScheduler(client=awaited) as scheduler:
        assert (await scheduler.get_job(job.id)).id == job.id
    assert blocking.table("scheduled_jobs").select("id").eq("id", job.id).execute().data
    with pytest.raises(InvalidValueError, match="AsyncSupabaseJobScheduler"):
        SupabaseJobScheduler(client=awaited)
    with pytest.raises(InvalidValueError, match="use SupabaseJobScheduler"):
        AsyncSupabaseJobScheduler(client=blocking)
    assert not async_http.is_closed
    await async_http.aclose()


def test_an_environment_that_says_nothing_is_reported_in_one_line_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The names of the variables."""
    for name in list(os.environ):
        if name.startswith("SUPABASE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as missing:
        SupabaseJobScheduler()
    assert [line.split()[0] for line in missing.value.faults] == ["SUPABASE_URL", "none"]
