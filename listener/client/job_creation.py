"""Plans that create jobs. A `job_id` makes them repeatable: no job is created twice, and no edit is lost silently."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from listener.client.columns import differences, handler_name, instant, row_of, said, word_of
from listener.client.errors import JobExists, refused
from listener.client.jobs import JOBS, find_job, update_job
from listener.client.models import Job, JobType
from listener.client.requests import Insert
from listener.client.schedule_arguments import schedule_of, words_of
from listener.domain.job import TriggerType
from listener.domain.status import JobStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from listener.client.columns import Defaults, Handler
    from listener.client.requests import Plan, Row


def schedule_job(own: Defaults, /, handler: Handler, *, replace_existing: bool = False, **columns: object) -> Plan[Job]:
    """Schedule a job, whose columns of `scheduled_jobs` are the keyword arguments; by default it runs at once.

    With a `job_id` it may be repeated: the same definition gives the job that is there.

    Args:
        own: the columns of every job of the scheduler.
        handler: its name, or the function that is declared with `@handler`.
        replace_existing: give a job of that `job_id` the new definition; one that ended runs again.
        **columns: as in the SQL reference; None leaves a column at its default.

    Raises:
        JobExists: the `job_id` belongs to a job of another definition.
        JobRefused: the database takes no such row; the error names column, value and what is allowed.
        JobForbidden: this caller may not write there.
    """
    row = row_of({**own.columns(), **said(columns), "handler": handler_name(handler)}, own.timezone)
    try:
        rows = yield Insert(JOBS, row)
    except JobExists as taken:
        return (yield from _settle(own, row, taken, replace_existing=replace_existing))
    return Job.model_validate(rows[0])


def schedule_one_time_job(  # noqa: PLR0913 - each is one keyword of the call
    own: Defaults,
    /,
    handler: Handler | None = None,
    run_date: datetime | str | None = None,
    job_id: str | None = None,
    *,
    func: Handler | None = None,
    run_at: datetime | str | None = None,
    job_type: JobType | str = JobType.CUSTOM,
    metadata: Mapping[str, Any] | None = None,
    timezone: str | None = None,
    test_mode: bool | None = None,
    replace_existing: bool = False,
    columns: Mapping[str, Any] | None = None,
    **payload: object,
) -> Plan[Job]:
    """Schedule a job that runs once; repeated with the same arguments, it gives the job that is there.

    Args:
        own: what every job of the scheduler has.
        handler: its name, or the function that is declared with `@handler`; `func` is the same.
        run_date: when it is due, by default now; `run_at` is the same.
        job_id: the caller's own key; by default a random one.
        func: see `handler`.
        run_at: see `run_date`.
        job_type: names the handler where none is given; it is kept with the job.
        metadata: the handler's payload.
        timezone: of an instant without an offset; by default the scheduler's.
        test_mode: let its runs rehearse: the handler reports what it would do instead of doing it.
        replace_existing: see `schedule_job`.
        columns: further columns of the row.
        **payload: joins `metadata`.

    Raises:
        JobFault: see `schedule_job`.
    """
    plan = schedule_job(
        own,
        handler or func or str(job_type),
        metadata={**(metadata or {}), **payload},
        replace_existing=replace_existing,
        **{
            "run_date": run_date or run_at,
            "job_id": job_id,
            "timezone": timezone,
            "test_mode": test_mode,
            "job_type": str(job_type) if (handler or func) and job_type != JobType.CUSTOM else None,
            **(columns or {}),
        },
    )
    return (yield from plan)


def schedule_recurring(  # noqa: PLR0913 - each is one keyword of the call
    own: Defaults,
    /,
    handler: Handler | None = None,
    trigger_type: TriggerType | str = TriggerType.DAILY,
    job_id: str | None = None,
    run_date: datetime | str | None = None,
    *,
    func: Handler | None = None,
    job_type: JobType | str = JobType.CUSTOM,
    schedule: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    timezone: str | None = None,
    ends_at: datetime | str | None = None,
    max_runs: int | None = None,
    test_mode: bool | None = None,
    replace_existing: bool = False,
    columns: Mapping[str, Any] | None = None,
    **words: object,
) -> Plan[Job]:
    """Schedule a job that runs again and again.

    Args:
        own: what every job of the scheduler has.
        handler: its name, or the function that is declared with `@handler`; `func` is the same.
        trigger_type: `daily`, `weekly`, `monthly`, `interval` or `cron`.
        job_id: the caller's own key; by default a random one.
        run_date: not before; an interval counts from there.
        func: see `handler`.
        job_type: names the handler where none is given; it is kept with the job.
        schedule: as in the row: `{"time": "08:00"}`. Instead of it, some of `**words`.
        metadata: the handler's payload.
        timezone: of the schedule; by default the scheduler's.
        ends_at: no run after this.
        max_runs: no more runs than this.
        test_mode: let its runs rehearse: the handler reports what it would do instead of doing it.
        replace_existing: see `schedule_job`.
        columns: further columns of the row.
        **words: `hour`, `minute`, `second`, `days`, `day`, `hours`, `minutes`, `seconds`, `cron_expression` and the
            like say when, for `cron` also APScheduler's fields (`minute="*/5"`, `day_of_week="mon-fri"`); all others
            join `metadata`.

    Raises:
        JobFault: see `schedule_job`.
    """
    kind = word_of(TriggerType, "trigger_type", trigger_type)
    when = {word: words.pop(word) for word in list(words) if word in words_of(kind)}
    if when and schedule is not None:
        raise refused(
            column="schedule",
            value={**schedule, **when},
            allowed="either schedule or the words that say when, not both",
        )
    plan = schedule_one_time_job(
        own,
        handler or func,
        run_date,
        job_id,
        job_type=job_type,
        metadata={**(metadata or {}), **words},
        timezone=timezone,
        test_mode=test_mode,
        replace_existing=replace_existing,
        columns={
            "trigger_type": str(trigger_type),
            "schedule": schedule if schedule is not None else schedule_of(kind, when),
            "ends_at": ends_at,
            "max_runs": max_runs,
            **(columns or {}),
        },
    )
    return (yield from plan)


def schedule_reminder(  # noqa: PLR0913 - each is one keyword of the call
    own: Defaults,
    /,
    event_id: UUID | str | int | None = None,
    event_time: datetime | str | None = None,
    handler: Handler | None = None,
    minutes_before: float = 15,
    *,
    notification_func: Handler | None = None,
    job_id: str | None = None,
    run_date: datetime | str | None = None,
    metadata: Mapping[str, Any] | None = None,
    timezone: str | None = None,
    test_mode: bool | None = None,
    replace_existing: bool = False,
    columns: Mapping[str, Any] | None = None,
    **payload: object,
) -> Plan[Job]:
    """Schedule a reminder of an event; its handler is `event_reminder` unless another is named.

    Args:
        own: what every job of the scheduler has.
        event_id: what it reminds of; part of the payload, and of the `job_id` `reminder_<event_id>`.
        event_time: when the event begins; part of the payload.
        handler: see `schedule_one_time_job`; `notification_func` is the same.
        minutes_before: how long before `event_time` the reminder is due.
        notification_func: see `handler`.
        job_id: another key than `reminder_<event_id>`.
        run_date: when it is due, instead of `minutes_before`.
        metadata: the handler's payload.
        timezone: of instants without an offset; by default the scheduler's.
        test_mode: see `schedule_one_time_job`.
        replace_existing: move a reminder that is there; see `schedule_job`.
        columns: further columns of the row.
        **payload: joins `metadata`: `message`, `user_id` and the like.

    Raises:
        JobFault: see `schedule_job`.
    """
    event: dict[str, Any] = {} if event_id is None else {"event_id": str(event_id)}
    if event_time is not None:
        event["event_time"] = instant("event_time", event_time, timezone or own.timezone)
        if run_date is None:
            run_date = datetime.fromisoformat(event["event_time"]) - timedelta(minutes=minutes_before)
            event["minutes_before"] = minutes_before
    plan = schedule_one_time_job(
        own,
        handler or notification_func or JobType.EVENT_REMINDER,
        run_date,
        job_id or (f"reminder_{event_id}" if event_id is not None else None),
        metadata={**event, **(metadata or {}), **payload},
        timezone=timezone,
        test_mode=test_mode,
        replace_existing=replace_existing,
        columns=columns,
    )
    return (yield from plan)


def schedule_notification(  # noqa: PLR0913 - each is one keyword of the call
    own: Defaults,
    /,
    recipient_id: UUID | str | int,
    message: str,
    send_at: datetime | str | None = None,
    notification_type: str = "push",
    *,
    handler: Handler | None = None,
    job_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,  # noqa: ANN401 - of several types
) -> Plan[Job]:
    """Schedule a notification; its handler is `notification` unless another is named.

    Args:
        own: what every job of the scheduler has.
        recipient_id: whom it goes to; part of the payload.
        message: part of the payload.
        send_at: when it is due, by default now.
        notification_type: part of the payload, as `type`.
        handler: see `schedule_one_time_job`.
        job_id: the caller's own key; by default a random one, because one recipient gets many.
        metadata: the rest of the payload.
        **options: as `schedule_one_time_job` takes them.

    Raises:
        JobFault: see `schedule_job`.
    """
    payload = {"recipient_id": str(recipient_id), "message": message, "type": notification_type, **(metadata or {})}
    plan = schedule_one_time_job(own, handler or JobType.NOTIFICATION, send_at, job_id, metadata=payload, **options)
    return (yield from plan)


def _settle(own: Defaults, row: Row, taken: JobExists, *, replace_existing: bool) -> Plan[Job]:
    """Return the job that has the `job_id` already, if it equals the requested one or may be changed into it."""
    job = yield from find_job(own, row["job_id"])
    if job is None:
        raise taken
    changed = differences(row, job, own.now())
    if not changed:
        return job
    if not replace_existing:
        message = f"job_id {job.job_id!r} is that of job {job.id}, which has another {', '.join(changed)}"
        raise JobExists(message, job, changed) from taken
    again = {"status": JobStatus.SCHEDULED} if job.is_final else {}
    return (yield from update_job(own, job, **{name: row[name] for name in changed}, **again))
