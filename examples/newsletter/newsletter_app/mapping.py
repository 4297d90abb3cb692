"""From the newsletters' words to the columns of `scheduled_jobs`, and back."""

from typing import Any

from listener.client import Job, JobStatus
from newsletter_app.models import NewsletterAnswer, NewsletterUpdate, Schedule, Status

HANDLER = "newsletter"


def schedule_columns(schedule: Schedule) -> dict[str, Any]:
    """Return `trigger_type` and `schedule`."""
    if schedule.schedule_type == "cron":
        return {"trigger_type": "cron", "schedule": {"expression": schedule.cron_expression}}
    days = {} if schedule.schedule_days is None else {"days": schedule.schedule_days}
    return {"trigger_type": schedule.schedule_type, "schedule": {"time": schedule.schedule_time, **days}}


def schedule_of(job: Job) -> dict[str, Any]:
    """Return `schedule_type` and what belongs to it."""
    says = job.schedule
    named = {"schedule_time": "time", "schedule_days": "days", "cron_expression": "expression"}
    return {"schedule_type": job.trigger_type.value, **{name: says[key] for name, key in named.items() if key in says}}


def changed_columns(job: Job, change: NewsletterUpdate) -> dict[str, Any]:
    """Return the columns that an update changes; what it leaves out of a schedule stays, unless its type changes.

    Raises:
        ValidationError: the schedule would not be complete.
    """
    given = change.model_dump(exclude_unset=True, exclude={"status", "actions", "config"})
    fields = {name: given.pop(name) for name in Schedule.model_fields.keys() & given.keys()}
    columns = given
    if fields:
        same = fields.get("schedule_type", job.trigger_type) == job.trigger_type
        columns |= schedule_columns(Schedule.model_validate({**schedule_of(job), **fields} if same else fields))
    if change.actions is not None or change.config is not None:
        columns["metadata"] = {
            "actions": change.actions or job.metadata["actions"],
            "config": change.config.model_dump() if change.config else job.metadata["config"],
        }
    return columns


def status_of(job: Job) -> Status:
    """Say what a newsletter is: one whose last run failed is `failed`, although its next one is scheduled.

    | row | status |
    |---|---|
    | `paused` | `paused` |
    | `cancelled`, `completed` | `disabled` |
    | `failed`, or `scheduled` after a run that failed | `failed` |
    | `scheduled`, `running` | `active` |
    """
    if job.status is JobStatus.PAUSED:
        return Status.PAUSED
    if job.status in {JobStatus.CANCELLED, JobStatus.COMPLETED}:
        return Status.DISABLED
    if job.status is JobStatus.FAILED or (job.status is JobStatus.SCHEDULED and job.last_run_status == "failed"):
        return Status.FAILED
    return Status.ACTIVE


def answer(job: Job) -> NewsletterAnswer:
    """Show a job as a newsletter."""
    same = (
        "id",
        "workspace_id",
        "description",
        "timezone",
        "test_mode",
        "next_run_at",
        "last_run_at",
        "last_run_status",
        "created_at",
    )
    return NewsletterAnswer(
        **{name: getattr(job, name) for name in same},
        **schedule_of(job),
        name=job.name or job.job_id,
        actions=job.metadata["actions"],
        config=job.metadata["config"],
        status=status_of(job),
    )
