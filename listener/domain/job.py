"""A row of `scheduled_jobs` as domain values. All instants are aware datetimes in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from listener.domain.turns import Parties, parties_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class TriggerType(StrEnum):
    """`scheduled_jobs.trigger_type`."""

    ONCE = "once"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    INTERVAL = "interval"
    CRON = "cron"


class Misfire(StrEnum):
    """The policy for due instants missed by more than the grace."""

    RUN_ONCE = "run_once"
    RUN_ALL = "run_all"
    SKIP = "skip"


class DstGap(StrEnum):
    """When a fixed local time is due on a day without its hour."""

    RUN_AFTER = "run_after"
    SKIP = "skip"


class DstFold(StrEnum):
    """The pass of a repeated hour that a fixed local time refers to."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a job is due: the arguments of `schedule.next_run`, named as the columns are."""

    type: TriggerType
    run_date: datetime
    schedule: Mapping[str, Any] = field(default_factory=dict)
    timezone: str = "UTC"
    ends_at: datetime | None = None
    dst_gap: DstGap = DstGap.RUN_AFTER
    dst_fold: DstFold = DstFold.FIRST


HINTED = 0
"""The revision of a job that only a notification named: older than any that the table has."""


@dataclass(slots=True)  # not frozen: one is made for every run, and that costs three times as much
class Job:
    """The columns of a row that a listener keeps: when to act on the job, and what computes its later instants.

    `due_at` is the next due instant (None: none is to come, or none is planned yet); `next_run_at` is when to act, for
    it or for a queued run of the ledger. A recurring job has its `trigger`, and `defined_at`, when that was last
    written; `unplanned` says that its first due instant has to be computed. `tenant` is its workspace, else the user
    who made it, else None: the service's own; `user` is who made it. `changed_in` is the transaction of the last
    change; it and `handler` are None where an older database does not name them. `turn` is how many other listeners
    may claim it before this one.
    `waits_since` is the time of its last turn, if it has more missed instants than are settled in one.
    """

    id: int
    revision: int
    status: str
    priority: int
    due_at: datetime | None
    next_run_at: datetime | None
    trigger: Trigger | None = None
    defined_at: datetime | None = None
    unplanned: bool = False
    misfire: Misfire = Misfire.RUN_ONCE
    misfire_grace_seconds: float = 60
    tenant: str | None = None
    user: str | None = None
    handler: str | None = None
    changed_in: int | None = None
    turn: int = 0
    waits_since: datetime | None = None

    @property
    def parties(self) -> Parties:
        """The parties whose shares it uses."""
        return parties_of(self.tenant, self.user)

    @property
    def party(self) -> str | None:
        """The party whose share of memory it uses: the user who made it, else the tenant."""
        return self.user or self.tenant


@dataclass(slots=True)  # not frozen: one is made for every run, and that costs three times as much
class RetryPolicy:
    """How often, and after which delay in seconds, a failed attempt is repeated."""

    max_attempts: int = 4
    delay_seconds: float = 5.0
    backoff: float = 2.0


@dataclass(slots=True)  # not frozen: one is made for every run, and that costs three times as much
class Run:
    """One claimed attempt at one due instant, with everything that the executor needs.

    `execution_id` and `fence`, the number of its claim, are its fencing token: every later write names them, and is
    refused once the claim was released or taken over.
    `start_at` is when it may start: its due instant, or the time of its retry. `row` is the job as it was when claimed.
    """

    execution_id: str
    job_id: int
    revision: int
    handler: str
    payload: Mapping[str, Any]
    scheduled_for: datetime
    start_at: datetime
    attempt: int
    cause: str
    test_mode: bool
    timeout_seconds: float
    retry: RetryPolicy
    recurring: bool
    row: Mapping[str, Any]
    tenant: str | None = None
    user: str | None = None
    fence: int = 1

    @property
    def parties(self) -> Parties:
        """The parties whose shares it uses."""
        return parties_of(self.tenant, self.user)
