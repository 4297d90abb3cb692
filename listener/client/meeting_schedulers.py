"""The scheduler service for meetings: a meeting's job follows its row by itself; these functions check and show it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from supabase import AsyncClient, Client

from listener.client.columns import instant
from listener.client.drive import Caller, operation
from listener.client.errors import JobForbidden, JobNotFound
from listener.client.jobs import cancel_job, find_job, list_jobs
from listener.client.models import Answers, Summary
from listener.client.requests import Call, Pause, Select, Update
from listener.client.scheduler import SupabaseJobScheduler

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from listener.client.columns import Defaults
    from listener.client.models import Job
    from listener.client.requests import Plan
    from listener.client.scheduler import AsyncSupabaseJobScheduler

C = TypeVar("C", bound=Client | AsyncClient)
MEETINGS, SYNC = "meetings", "sync_meetings_v1"
PAGE = 500
LOOKS, LOOK_SECONDS = 100, 0.05
"""How often, and with which pauses, a caller without the service's key checks whether the listener made the job."""


def job_id_of(meeting_id: UUID | str) -> str:
    """Return the `job_id` of a meeting's job."""
    return f"meeting-status:{meeting_id}"


def schedule_meeting_status_update(
    own: Defaults, meeting_id: UUID | str, end_time: datetime | str | None = None
) -> Plan[Job]:
    """Return the job that sets a meeting to done at its end. An `end_time` other than the meeting's moves the meeting.

    Raises:
        JobNotFound: there is no such meeting, or it is not upcoming, or no listener made its job within some seconds.
    """
    rows = yield Select(MEETINGS, {"id": str(meeting_id)})
    if not rows or rows[0]["status"] != "upcoming":
        message = f"no upcoming meeting {meeting_id} that you may see"
        raise JobNotFound(message)
    if end_time is not None:
        yield Update(MEETINGS, str(meeting_id), {"end_time": instant("run_date", end_time, own.timezone)})
        rows = yield Select(MEETINGS, {"id": str(meeting_id)})
    yield from _sync(meeting_id)
    return (yield from _await_job(own, meeting_id, rows[0]["end_time"]))


def _sync(meeting_id: UUID | str) -> Plan[None]:
    try:
        yield Call(SYNC, {"request": {"ids": [str(meeting_id)], "limit": 1}})
    except JobForbidden:  # a signed-in user: the listener does it, within milliseconds of the write
        return


def _await_job(own: Defaults, meeting_id: UUID | str, end_time: str) -> Plan[Job]:
    end = instant("run_date", end_time, "UTC")
    for _ in range(LOOKS):
        job = yield from find_job(own, job_id_of(meeting_id))
        if job is not None and job.run_date.isoformat() == end:
            return job
        yield Pause(LOOK_SECONDS)
    message = f"no job for meeting {meeting_id}, due at {end}: is a listener running?"
    raise JobNotFound(message)


def cancel_meeting_status_update(own: Defaults, meeting_id: UUID | str) -> Plan[Job | None]:
    """Cancel the job of a meeting, if it has one.

    Cancel or delete the meeting too: an upcoming one gets its job again.
    """
    job = yield from find_job(own, job_id_of(meeting_id))
    if job is None or job.is_final:
        return job
    return (yield from cancel_job(own, job))


def get_scheduled_jobs(own: Defaults) -> Plan[Answers[dict[str, Any]]]:
    """Return the pending jobs: `id`, `next_run_time`, `func` and `status` of each job that has not ended."""
    jobs = yield from list_jobs(own)
    return Answers(
        {"id": job.job_id, "next_run_time": job.next_run_at, "func": job.handler, "status": job.status}
        for job in jobs
        if not job.is_final
    )


def ensure_scheduled_jobs_for_existing_meetings(_: Defaults) -> Plan[Summary]:
    """Correct the jobs of all upcoming meetings; the listener does so when it starts, too.

    Returns `total_meetings`, `jobs_scheduled`, `jobs_already_exist`, `errors` (a list of texts) and `success`.

    Raises:
        JobForbidden: the caller has not the service's key.
    """
    counts = dict.fromkeys(("total_meetings", "jobs_scheduled", "jobs_already_exist"), 0)
    errors: list[str] = []
    after: Any = None
    while True:
        page = yield Call(SYNC, {"request": {"after": after, "limit": PAGE}})
        counts = {name: count + page[name] for name, count in counts.items()}
        errors += [f"meeting {failure['meeting_id']}: {failure['error']}" for failure in page["failures"]]
        after = page["after"]
        if after is None:
            return Summary(**counts, errors=errors, success=not errors)


class MeetingService(Caller[C]):
    """The operations of both services."""

    schedule_meeting_status_update = operation(schedule_meeting_status_update)
    cancel_meeting_status_update = operation(cancel_meeting_status_update)
    get_scheduled_jobs = operation(get_scheduled_jobs)
    ensure_scheduled_jobs_for_existing_meetings = operation(ensure_scheduled_jobs_for_existing_meetings)


class SchedulerService(MeetingService[Client]):
    """The service on a blocking scheduler.

    Args:
        scheduler: by default one for what the environment says, made at the first call.
    """

    def __init__(self, scheduler: SupabaseJobScheduler | None = None) -> None:
        self._given = scheduler

    @cached_property
    def scheduler(self) -> SupabaseJobScheduler:
        """The scheduler whose client this one uses."""
        return self._given or SupabaseJobScheduler()

    @property
    def client(self) -> Client:
        """The scheduler's."""
        return self.scheduler.client

    @property
    def own(self) -> Defaults:
        """The scheduler's."""
        return self.scheduler.own


class AsyncSchedulerService(MeetingService[AsyncClient]):
    """The service on an asynchronous scheduler: every operation is awaited."""

    def __init__(self, scheduler: AsyncSupabaseJobScheduler) -> None:
        super().__init__(scheduler.client, scheduler.own)


scheduler_service = SchedulerService()
