"""Requests and answers, in the words of the newsletters: schedule_type, schedule_time, schedule_days."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from newsletter_jobs.payload import Action, Config
from pydantic import BaseModel, ConfigDict, Field, model_validator

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DayOfMonth = Annotated[int, Field(ge=-31, le=31)]
Time = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["08:00"])]


class Status(StrEnum):
    """The status of a newsletter, in its readers' words."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"
    FAILED = "failed"


class Schedule(BaseModel):
    """When it comes: daily, weekly on `schedule_days`, monthly on days of the month, or as `cron_expression` says."""

    schedule_type: Literal["daily", "weekly", "monthly", "cron"] = "daily"
    schedule_time: Time | None = None
    schedule_days: list[Weekday] | list[DayOfMonth] | None = None
    cron_expression: str | None = Field(default=None, max_length=100)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {"daily": {"schedule_time"}, "cron": {"cron_expression"}}
        fields = needed.get(self.schedule_type, {"schedule_time", "schedule_days"})
        for name in ("schedule_time", "schedule_days", "cron_expression"):
            if (getattr(self, name) is not None) is not (name in fields):
                message = f"{name} is {'required' if name in fields else 'not allowed'} with {self.schedule_type}"
                raise ValueError(message)
        return self


class NewsletterCreate(Schedule):
    """A new newsletter."""

    model_config = ConfigDict(extra="forbid")

    workspace_id: UUID
    name: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=2000)
    timezone: str = Field(default="UTC", examples=["America/New_York"])
    actions: list[Action] = Field(default=["scrape", "generate", "send"], min_length=1, max_length=3)
    config: Config = Field(default_factory=Config)
    test_mode: bool = Field(default=False, description="its schedule rehearses, and sends nothing")


class NewsletterUpdate(BaseModel):
    """Changes of a newsletter; `status` is `active`, `paused` or `disabled`."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=2000)
    schedule_type: Literal["daily", "weekly", "monthly", "cron"] | None = None
    schedule_time: Time | None = None
    schedule_days: list[Weekday] | list[DayOfMonth] | None = None
    cron_expression: str | None = Field(default=None, max_length=100)
    timezone: str | None = None
    actions: list[Action] | None = Field(default=None, min_length=1, max_length=3)
    config: Config | None = None
    test_mode: bool | None = None
    status: Literal[Status.ACTIVE, Status.PAUSED, Status.DISABLED] | None = None


class NewsletterAnswer(Schedule):
    """A newsletter as it is."""

    id: int
    workspace_id: UUID
    name: str
    description: str | None
    timezone: str
    actions: list[Action]
    config: Config
    test_mode: bool
    status: Status
    next_run_at: datetime | None
    last_run_at: datetime | None
    last_run_status: str | None
    created_at: datetime


class RunNow(BaseModel):
    """Whether the run rehearses: then it sends nothing."""

    test_mode: bool = False


class RunStarted(BaseModel):
    """The run, which shows in the history."""

    execution_id: UUID
    status: str
    test_mode: bool


class ActionResult(BaseModel):
    """How one action of a run ended."""

    action: Action
    status: str
    result: dict[str, Any] | None
    error: str | None
    ended_at: datetime


class HistoryEntry(BaseModel):
    """A run, and the results of its actions."""

    execution_id: UUID
    scheduled_for: datetime
    attempt: int
    status: str
    reason: str | None
    test_mode: bool
    started_at: datetime | None
    duration_ms: float | None
    error: str | None
    actions: list[ActionResult]


class Statistics(BaseModel):
    """Counts of a newsletter's whole life, and how long its runs take."""

    total_runs: int
    successful_runs: int
    failed_runs: int
    success_rate: float | None
    avg_duration_ms: float | None
    last_run_at: datetime | None
    next_run_at: datetime | None
