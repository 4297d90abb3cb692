"""The scheduler service of meetings: as programs called it, on jobs that follow their meetings by themselves."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from listener.client import (
    AsyncSchedulerService,
    JobForbidden,
    JobNotFound,
    JobStatus,
    SchedulerService,
    scheduler_service,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.client import AsyncSupabaseJobScheduler, SupabaseJobScheduler
    from listener.local.stack import Stack

pytestmark = pytest.mark.usefixtures("listener")
END = datetime(2030, 1, 1, 12, tzinfo=UTC)
WHO = ["alice", None]


@pytest.fixture
def plan_meeting(open_scheduler: Callable[..., SupabaseJobScheduler]) -> Callable[..., str]:
    """Give an inserter of meetings."""

    def insert(user: str | None, **columns: Any) -> str:
        row = {"title": "weekly", "end_time": END.isoformat(), **columns}
        return open_scheduler(user).client.table("meetings").insert(row).execute().data[0]["id"]

    return insert


@pytest.mark.parametrize("user", WHO)
def test_a_meetings_job_is_there_moves_and_is_cancelled(
    open_scheduler: Callable[..., SupabaseJobScheduler], plan_meeting: Callable[..., str], user: str | None
):
    """One job, whoever asks; an end that is not the meeting's moves the meeting."""
    scheduler = open_scheduler(user)
    service = SchedulerService(scheduler)
    meeting = plan_meeting(user)
    job = service.schedule_meeting_status_update(meeting, END)
    assert (job.job_id, job.run_date, job.handler) == (f"meeting-status:{meeting}", END, "meeting_status")
    later = END + timedelta(hours=1)
    moved = service.schedule_meeting_status_update(uuid.UUID(meeting), later)
    assert (moved.id, moved.run_date) == (job.id, later)
    [row] = scheduler.client.table("meetings").select("end_time").eq("id", meeting).execute().data
    assert datetime.fromisoformat(row["end_time"]) == later
    assert job.job_id in [each["id"] for each in service.get_scheduled_jobs()]
    assert service.cancel_meeting_status_update(meeting).status is JobStatus.CANCELLED
    assert service.cancel_meeting_status_update(meeting).status is JobStatus.CANCELLED
    assert service.cancel_meeting_status_update(uuid.uuid4()) is None


def test_what_is_to_come_is_listed_as_it_was(
    open_scheduler: Callable[..., SupabaseJobScheduler], plan_meeting: Callable[..., str]
):
    """By the keys that programs read."""
    service = SchedulerService(open_scheduler("carol"))
    meeting = plan_meeting("carol")
    service.schedule_meeting_status_update(meeting)
    assert service.get_scheduled_jobs() == [
        {"id": f"meeting-status:{meeting}", "next_run_time": END, "func": "meeting_status", "status": "scheduled"}
    ]


@pytest.mark.parametrize("columns", [{"status": "cancelled"}, {"status": "done"}, None])
def test_a_meeting_that_is_not_upcoming_has_no_job(
    open_scheduler: Callable[..., SupabaseJobScheduler],
    plan_meeting: Callable[..., str],
    columns: dict[str, str] | None,
):
    """Nor one that is not there."""
    meeting = plan_meeting("alice", **columns) if columns else uuid.uuid4()
    with pytest.raises(JobNotFound, match="no upcoming meeting"):
        SchedulerService(open_scheduler("alice")).schedule_meeting_status_update(meeting, END)


def test_all_meetings_are_made_sure_of_with_the_services_key(
    open_scheduler: Callable[..., SupabaseJobScheduler], plan_meeting: Callable[..., str]
):
    """And counted for programs; not by a user."""
    service = SchedulerService(open_scheduler())
    service.schedule_meeting_status_update(plan_meeting(None))
    summary = service.ensure_scheduled_jobs_for_existing_meetings()
    assert set(summary) == {"total_meetings", "jobs_scheduled", "jobs_already_exist", "errors", "success"}
    assert summary["total_meetings"] == summary["jobs_already_exist"] + summary["jobs_scheduled"] > 0
    assert (summary["errors"], summary["success"]) == ([], True)
    with pytest.raises(JobForbidden):
        SchedulerService(open_scheduler("alice")).ensure_scheduled_jobs_for_existing_meetings()


async def test_the_service_at_hand_reads_the_environment_and_may_be_awaited(
    embedded_stack: Stack, plan_meeting: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """As in programs that imported it."""
    for name, value in embedded_stack.environment().items():
        monkeypatch.setenv(name, value)
    meeting = plan_meeting(None)
    job = await scheduler_service.schedule_meeting_status_update(meeting, END)
    assert job.job_id in [each["id"] for each in scheduler_service.get_scheduled_jobs()]
    assert (await scheduler_service.ensure_scheduled_jobs_for_existing_meetings())["success"]
    scheduler_service.scheduler.close()


async def test_the_asynchronous_service_does_the_same(
    async_alice: AsyncSupabaseJobScheduler, plan_meeting: Callable[..., str]
):
    """Every operation, awaited."""
    service = AsyncSchedulerService(async_alice)
    job = await service.schedule_meeting_status_update(plan_meeting("alice"), END)
    assert job.run_date == END
    assert (await service.get_scheduled_jobs())[-1]["id"] == job.job_id
