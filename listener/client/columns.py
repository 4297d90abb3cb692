"""Converts a program's arguments to the columns of a row, and compares them with a row."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, TypeAdapter
from pydantic_core import to_jsonable_python

from listener.client.errors import NaiveDatetimeWarning, refused
from listener.client.models import Job
from listener.clock import DatabaseClock
from listener.domain.job import TriggerType
from listener.domain.refusal import Word, word
from listener.errors import InvalidValueError
from listener.handler_api.registry import MARK

if TYPE_CHECKING:
    from uuid import UUID

    from listener.client.requests import Row

Handler: TypeAlias = str | Callable[..., Any]
INSTANTS = ("run_date", "ends_at")
START = timedelta(minutes=1)
"""An instant so near to the call that gives it means "now"; clocks differ, and requests take time."""
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""The character in JSON; after an odd number of backslashes the text only describes it."""


class JobSchedulerConfig(BaseModel, frozen=True, extra="forbid"):
    """Defaults of every job of a scheduler; columns of a job override them.

    Attributes:
        retry_failed_jobs: whether a failed attempt is followed by another; False is `max_attempts` 1.
        max_retries: attempts after the first: `max_attempts` is one more.
        store_job_results: whether what handlers return is kept, in the job's `result` and in the ledger.
        cleanup_after_days: how long a finished job and its ledger are kept; None leaves that to the service.
    """

    retry_failed_jobs: bool = True
    max_retries: int = Field(default=3, ge=0)
    store_job_results: bool = True
    cleanup_after_days: float | None = Field(default=7, gt=0)

    def columns(self) -> Row:
        """Return the defaults as columns of a row."""
        return {
            "max_attempts": self.max_retries + 1 if self.retry_failed_jobs else 1,
            "cleanup_after_days": self.cleanup_after_days,
            **({} if self.store_job_results else {"store_result": False}),
        }


@dataclass(frozen=True)
class Defaults:
    """The columns that a scheduler adds to each of its jobs; `workspace_id` also limits its searches."""

    config: JobSchedulerConfig = field(default_factory=JobSchedulerConfig)
    timezone: str | None = None
    workspace_id: UUID | str | None = None
    now: Callable[[], datetime] = DatabaseClock().now

    def columns(self) -> Row:
        """Return them as columns of a row."""
        return said({"workspace_id": self.workspace_id, "timezone": self.timezone, **self.config.columns()})


def handler_name(handler: Handler) -> str:
    """Return the name by which the listener knows a handler: a function is never sent, only named."""
    if isinstance(handler, str):
        return str(handler)
    declared = getattr(handler, MARK, None)
    return getattr(declared, "name", None) or handler.__name__


def instant(column: str, value: datetime | str, timezone: str | None) -> str:
    """Return an instant in the row's form; an instant without an offset is in `timezone`, else in UTC, with a warning.

    Raises:
        JobRefused: the value is no instant, or the zone does not exist.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as wrong:
            raise refused(column, value, "an instant in ISO 8601") from wrong
    if not isinstance(value, datetime):
        raise refused(column, value, "a datetime")
    if value.utcoffset() is None:
        if timezone is None:
            message = f"{column} {value} has no offset and is taken as UTC: add tzinfo, or give a timezone"
            warnings.warn(message, NaiveDatetimeWarning, stacklevel=2)
        value = value.replace(tzinfo=_zone(timezone or "UTC"))
    return value.isoformat()


def word_of(kind: type[Word], column: str, value: object) -> Word:
    """Return a value as one of the words of a column.

    Raises:
        JobRefused: the value is none of them.
    """
    try:
        return word(kind, column, value)
    except InvalidValueError as wrong:
        raise refused(column, value, f"one of {', '.join(kind)}") from wrong


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as unknown:
        raise refused(column="timezone", value=name, allowed='an IANA time zone such as "Europe/Berlin"') from unknown


def said(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out columns that are None."""
    return {name: value for name, value in columns.items() if value is not None}


def row_of(columns: Mapping[str, Any], timezone: str | None) -> Row:
    """Return columns as JSON; instants without an offset are in the row's own `timezone`, else in this one.

    Raises:
        JobRefused: a value has no JSON form.
    """
    zone = columns.get("timezone") or timezone
    return {name: _json_of(name, value, zone and str(zone)) for name, value in columns.items()}


def _json_of(name: str, value: Any, timezone: str | None) -> Any:  # noqa: ANN401 - any column's
    if name in INSTANTS and value is not None:
        return instant(name, value, timezone)
    try:
        plain = to_jsonable_python(value)
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False).encode().decode()
    except ValueError as wrong:
        raise refused(name, value, f"a value that has a JSON form ({wrong})") from wrong
    if NUL.search(text):
        raise refused(name, value, "texts without the character NUL, which the database cannot hold")
    return plain


def differences(row: Row, job: Job, now: datetime) -> list[str]:
    """Return the names of the columns whose values in `row` differ from those in `job`.

    A program that says `run_date=datetime.now()` at each start makes no edit by that: the same is said where both are
    the time of the call that said it, or where both lie in the past and only say "not before".
    """
    known = [name for name in row if name in Job.model_fields]
    differing = [name for name in known if _typed(name, row[name]) != getattr(job, name)]
    if "run_date" in differing and _is_the_same_start(_typed("run_date", row["run_date"]), job, now):
        differing.remove("run_date")
    return differing


def _is_the_same_start(run_date: datetime, job: Job, now: datetime) -> bool:
    was_now = abs(job.run_date - job.created_at) <= START
    is_lower_bound = job.trigger_type not in {TriggerType.ONCE, TriggerType.INTERVAL}
    return (was_now and abs(run_date - now) <= START) or (is_lower_bound and max(run_date, job.run_date) <= now)


def _typed(name: str, value: Any) -> Any:  # noqa: ANN401 - any column's
    kind: Any = Job.model_fields[name].annotation
    return TypeAdapter(kind).validate_python(value)
