"""The states of a job and of a run, and the only transitions that the database lets pass."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """`scheduled_jobs.status`."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"


class RunStatus(StrEnum):
    """`job_executions.status`."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.SCHEDULED: frozenset({JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset(
        {JobStatus.SCHEDULED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.PAUSED}
    ),
    JobStatus.PAUSED: frozenset({JobStatus.SCHEDULED, JobStatus.CANCELLED}),
    JobStatus.COMPLETED: frozenset({JobStatus.SCHEDULED}),
    JobStatus.FAILED: frozenset({JobStatus.SCHEDULED}),
    JobStatus.CANCELLED: frozenset({JobStatus.SCHEDULED}),
}
"""From each status to those that may follow; the SQL trigger `job_scheduler.check_status` states the same table."""
