"""Plans that find, change and end jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from listener.client.columns import handler_name, row_of, said, word_of
from listener.client.errors import JobAmbiguous, JobNotFound
from listener.client.models import Answers, Execution, Job
from listener.client.requests import Call, Delete, Select, Update
from listener.domain.status import JobStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from listener.client.columns import Defaults
    from listener.client.requests import Plan, Row

JobRef: TypeAlias = Job | int | str | UUID
"""A reference to a job: a `Job`, its `id`, or its `job_id`, of which a random one is a UUID."""
JOBS, EXECUTIONS = "scheduled_jobs", "job_executions"
PAGE = 1000
"""An answer has no more rows than this by default, whatever the request's limit."""


def find_job(own: Defaults, job: JobRef) -> Plan[Job | None]:
    """Return a job as it is now, or None.

    A `job_id` is unique within a workspace, and among its owner's private jobs: the caller's own private job comes
    before those of workspaces and other owners.

    Raises:
        JobAmbiguous: several others have it, and none comes first.
    """
    name = name_of(job)
    if isinstance(name, str):
        where = {"job_id": name, **said({"workspace_id": own.workspace_id and str(own.workspace_id)})}
    else:
        where = {"id": name}
    return _choose((yield Select(JOBS, where)))


def _choose(rows: Sequence[Row]) -> Job | None:
    def rank(row: Row) -> tuple[bool, bool]:
        return row["workspace_id"] is not None, row["created_by"] is not None

    best = [row for row in rows if rank(row) == min(map(rank, rows))]
    if len(best) > 1:
        raise JobAmbiguous(best[0]["job_id"], [row["id"] for row in best])
    return Job.model_validate(best[0]) if best else None


def name_of(job: JobRef) -> int | str:
    """Return the `id` of a job where it is known, else its `job_id`."""
    if isinstance(job, Job):
        return job.id
    return str(job) if isinstance(job, UUID) else job


def id_of(own: Defaults, job: JobRef) -> Plan[int]:
    """Return the `id` of a job; only a `job_id` has to be looked up.

    Raises:
        JobNotFound: no job has this `job_id`.
        JobAmbiguous: see `find_job`.
    """
    name = name_of(job)
    if not isinstance(name, str):
        return name
    return (yield from _present(own, job)).id


def _unknown(job: JobRef) -> JobNotFound:
    name = name_of(job)
    return JobNotFound(f"no job with {'job_id' if isinstance(name, str) else 'id'} {name!r} that you may see")


def list_jobs(
    own: Defaults,
    /,
    *,
    status: JobStatus | str | None = None,
    workspace_id: object = None,
    handler: str | None = None,
    limit: int | None = None,
    **columns: object,
) -> Plan[Answers[Job]]:
    """Return the jobs that the caller may see, oldest first.

    Args:
        own: its workspace is the default.
        status: only with this one.
        workspace_id: only of this workspace.
        handler: only with this one.
        limit: not more than so many.
        **columns: only with these values.

    Raises:
        JobRefused: no job has such a status.
    """
    status = status and word_of(JobStatus, "status", status)
    named = {"status": status, "workspace_id": workspace_id or own.workspace_id, "handler": handler, **columns}
    where = row_of(said(named), own.timezone)
    jobs: Answers[Job] = Answers()
    while limit is None or len(jobs) < limit:
        size = PAGE if limit is None else min(PAGE, limit - len(jobs))
        rows = yield Select(JOBS, where, after=("id", jobs[-1].id if jobs else 0), limit=size)
        if not rows:  # not "fewer than asked for": the project may answer fewer at a time
            break
        jobs += map(Job.model_validate, rows)
    return jobs


def get_jobs_by_status(own: Defaults, status: JobStatus | str) -> Plan[Answers[Job]]:
    """Return the jobs with this status that the caller may see, oldest first."""
    return (yield from list_jobs(own, status=status))


def update_job(own: Defaults, /, job: JobRef, **columns: object) -> Plan[Job]:
    """Change columns of a job, and return it as it is then. A new time applies at once; None becomes null.

    Raises:
        JobNotFound: no such job that the caller may change.
        JobRefused: a value that the column cannot have.
    """
    if not columns:
        return (yield from _present(own, job))
    if callable(handler := columns.get("handler")):
        columns["handler"] = handler_name(handler)
    values = row_of(columns, own.timezone)
    rows = yield Update(JOBS, (yield from id_of(own, job)), values)
    if not rows:
        raise _unknown(job)
    return Job.model_validate(rows[0])


def _present(own: Defaults, job: JobRef) -> Plan[Job]:
    found = yield from find_job(own, job)
    if found is None:
        raise _unknown(job)
    return found


def delete_job(own: Defaults, job: JobRef) -> Plan[Job]:
    """Remove a job and its ledger, and return it as it was.

    Raises:
        JobNotFound: no such job that the caller may remove.
    """
    rows = yield Delete(JOBS, (yield from id_of(own, job)))
    if not rows:
        raise _unknown(job)
    return Job.model_validate(rows[0])


def _move(own: Defaults, function: str, job: JobRef) -> Plan[Job]:
    """Call a function of the database that changes a job's status.

    Raises:
        JobNotFound: no such job that the caller may change.
        JobRefused: that status does not follow the present one.
    """
    return Job.model_validate((yield Call(function, {"job": (yield from id_of(own, job))})))


def cancel_job(own: Defaults, job: JobRef) -> Plan[Job]:
    """Cancel a job, stopping its handler if it runs; raises what `pause_job` raises."""
    return (yield from _move(own, "cancel_job", job))


def pause_job(own: Defaults, job: JobRef) -> Plan[Job]:
    """Pause a job until `resume_job`; a run under way goes on to its end.

    Raises:
        JobNotFound: no such job that the caller may change.
        JobRefused: its present status does not allow that.
    """
    return (yield from _move(own, "pause_job", job))


def resume_job(own: Defaults, job: JobRef) -> Plan[Job]:
    """Let a paused job continue; raises what `pause_job` raises."""
    return (yield from _move(own, "resume_job", job))


def retry_job(own: Defaults, job: JobRef) -> Plan[Job]:
    """Schedule a job again that has ended; raises what `pause_job` raises."""
    return (yield from _move(own, "retry_job", job))


def run_job_now(own: Defaults, job: JobRef, test_mode: bool | None = False) -> Plan[Execution]:  # noqa: FBT001, FBT002 - as the function of the database takes it
    """Run a job once, whatever its status and schedule; returns the run, queued.

    Args:
        own: the scheduler's defaults.
        job: which one.
        test_mode: let the handler report what it would do instead of doing it; None does what the job's schedule does.

    Raises:
        JobNotFound: no such job that the caller may run.
    """
    run = yield Call("run_job_now", {"job": (yield from id_of(own, job)), "test_mode": test_mode})
    rows = yield Select(EXECUTIONS, {"id": run})
    return Execution.model_validate(rows[0])
