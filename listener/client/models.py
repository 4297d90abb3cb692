"""Models of a scheduler's answers. Columns of a newer database that a model lacks are left out."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, model_validator

from listener.domain.job import TriggerType
from listener.domain.status import JobStatus, RunStatus

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")
FINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
"""The statuses that a job keeps unless somebody schedules it again."""
DONE = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.SKIPPED})


class JobType(StrEnum):
    """Kinds of job; each value is the name of the default handler."""

    EVENT_REMINDER = "event_reminder"
    NOTIFICATION = "notification"
    EMAIL = "email"
    SMS = "sms"
    CUSTOM = "custom"


class Answer:
    """A complete answer that may also be awaited.

    Programs awaited the hand-written classes of the same names in some places and not in others, so a
    blocking scheduler's answers fit both; only an `AsyncSupabaseJobScheduler` yields to other tasks.
    """

    def __await__(self) -> Generator[Any, None, Self]:
        """Return the answer at once."""
        yield from ()
        return self


class NoAnswer(Answer):
    """None for code that may await it: false, equal to None, and None once awaited."""

    def __await__(self) -> Generator[Any, None, Any]:
        """Give None."""
        yield from ()

    def __bool__(self) -> bool:
        """Be false."""
        return False

    def __eq__(self, other: object) -> bool:
        """Equal None."""
        return other is None or isinstance(other, NoAnswer)

    __hash__ = None  # type: ignore[assignment] # as whatever compares equal to something else

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse, as None would, but say why."""
        message = f"there is no such job, so it has no {name!r}"
        raise AttributeError(message)


class Answers(Answer, list[T]):
    """A list of answers."""


class Summary(Answer, dict[str, Any]):
    """Counts by name."""


class _Model(Answer, BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Job(_Model):
    """A row of `scheduled_jobs`: its definition, its next due instant, and its results."""

    id: int
    job_id: str
    workspace_id: UUID | None = None
    created_by: UUID | None = None
    name: str | None = None
    description: str | None = None
    handler: str
    job_type: JobType | str = JobType.CUSTOM
    metadata: dict[str, Any] = {}
    trigger_type: TriggerType = TriggerType.ONCE
    run_date: datetime
    schedule: dict[str, Any] = {}
    timezone: str = "UTC"
    ends_at: datetime | None = None
    max_runs: int | None = None
    status: JobStatus
    max_attempts: int
    retry_delay_seconds: float
    retry_backoff: float
    timeout_seconds: float
    priority: int
    overlap: str
    misfire: str
    misfire_grace_seconds: int
    dst_gap: str
    dst_fold: str
    test_mode: bool = False
    concurrency_key: str | None = None
    cleanup_after_days: float | None = None
    store_result: bool = True
    traceparent: str | None = None
    next_run_at: datetime | None = None
    attempt: int = 0
    last_run_at: datetime | None = None
    last_run_status: str | None = None
    last_run_duration_ms: float | None = None
    total_runs: int = 0
    successful_runs: int = 0
    failed_runs: int = 0
    result: Any = None
    error: str | None = None
    progress: float | None = None
    step: str | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def is_final(self) -> bool:
        """Whether it ended, and stays so unless somebody schedules it again."""
        return self.status in FINAL

    @model_validator(mode="before")
    @classmethod
    def _name_type(cls, row: Any) -> Any:  # noqa: ANN401 - as pydantic gives it
        """Take the kind that was written, else the one with the handler's name, else `custom`."""
        written = row.get("job_type") or (row.get("handler") if row.get("handler") in list(JobType) else JobType.CUSTOM)
        return {**row, "job_type": JobType(written) if written in list(JobType) else written}

    @property
    def retry_count(self) -> int:
        """How many attempts at the present due instant failed before the present one."""
        return max(0, self.attempt - 1)

    @property
    def max_retries(self) -> int:
        """How many attempts may follow the first."""
        return self.max_attempts - 1


class Execution(_Model):
    """A row of `job_executions`: one attempt at one due instant."""

    id: UUID
    scheduled_job_id: int
    scheduled_for: datetime
    cause: str
    attempt: int
    status: RunStatus
    reason: str | None = None
    test_mode: bool = False
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: float | None = None
    lateness_ms: float | None = None
    progress: float | None = None
    result: Any = None
    error: str | None = None
    error_details: Any = None

    @property
    def is_final(self) -> bool:
        """Whether its status is final."""
        return self.status in DONE


class LogLine(_Model):
    """A row of `job_execution_logs`: a line that a handler logged."""

    at: datetime
    level: str
    message: str
    fields: dict[str, Any] = {}


class Statistics(_Model):
    """Statistics of a job: counters of its whole life, durations in ms of the runs that the ledger still holds."""

    total_runs: int
    successful_runs: int
    failed_runs: int
    success_rate: float | None = None
    avg_duration_ms: float | None = None
    p95_duration_ms: float | None = None
    last_run_at: datetime | None = None
    next_run_at: datetime | None = None
