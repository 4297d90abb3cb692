"""Converts the database's JSON into domain values."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from listener.domain.job import DstFold, DstGap, Job, Misfire, RetryPolicy, Run, Trigger, TriggerType
from listener.errors import MALFORMED
from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Read = TypeVar("Read")
_log = structlog.get_logger("rows")


def table(columns: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Read rows that are given column by column: `{name: [value of each row]}`."""
    names = tuple(columns)
    return (dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True))


def readable(rows: Iterable[dict[str, Any]], read: Callable[[dict[str, Any]], Read]) -> list[Read]:
    """Read rows; an invalid row is logged and left out, so that it does not delay the others."""
    values = []
    for row in rows:
        try:
            values.append(read(row))
        except MALFORMED as malformed:
            _log.error(Event.ROW_INVALID, job_id=row.get("id"), error=f"{type(malformed).__name__}: {malformed}")
    return values


def instant(text: str | None) -> datetime | None:
    """Read PostgreSQL's ISO 8601 form of a timestamptz."""
    return datetime.fromisoformat(text) if text else None


def job(row: Mapping[str, Any]) -> Job:
    """Read a row of `job_scheduler.job_rows`; one of a one-time job need not have what only recurring jobs have."""
    is_once = row.get("trigger_type", "once") == "once"
    return Job(
        id=row["id"],
        revision=row["revision"],
        changed_in=row.get("changed_in"),
        status=row["status"],
        priority=row["priority"],
        due_at=instant(row["due_at"]),
        next_run_at=instant(row["next_run_at"]),
        trigger=None if is_once else trigger(row),
        defined_at=instant(row.get("defined_at")),
        unplanned=row.get("unplanned", False),
        misfire=Misfire(row["misfire"]),
        misfire_grace_seconds=row["misfire_grace_seconds"],
        tenant=row.get("tenant"),
        user=row.get("user"),
        handler=row.get("handler"),
    )


def trigger(row: Mapping[str, Any]) -> Trigger:
    """Read the columns that say when a job is due."""
    return Trigger(
        type=TriggerType(row["trigger_type"]),
        run_date=datetime.fromisoformat(row["run_date"]),
        schedule=row["schedule"],
        timezone=row["timezone"],
        ends_at=instant(row["ends_at"]),
        dst_gap=DstGap(row["dst_gap"]),
        dst_fold=DstFold(row["dst_fold"]),
    )


def run(row: dict[str, Any]) -> Run:
    """Read a row of `job_scheduler.claimed_runs`; its remaining columns are the job's."""
    return Run(
        execution_id=row.pop("execution_id"),
        fence=row.pop("fence"),
        scheduled_for=datetime.fromisoformat(row.pop("scheduled_for")),
        start_at=datetime.fromisoformat(row.pop("run_at")),
        attempt=row.pop("attempt"),
        cause=row.pop("cause"),
        test_mode=row.pop("test_mode"),
        job_id=row["id"],
        revision=row["revision"],
        handler=row["handler"],
        payload=row["metadata"],
        timeout_seconds=row["timeout_seconds"],
        retry=RetryPolicy(row["max_attempts"], row["retry_delay_seconds"], row["retry_backoff"]),
        recurring=row["trigger_type"] != "once",
        row=row,
        tenant=row.get("workspace_id") or row.get("created_by"),
        user=row.get("created_by"),
    )
