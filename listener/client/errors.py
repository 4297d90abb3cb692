"""Errors for refusals of the database, built from its facts, so that nobody has to read an `APIError`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from listener.errors import ListenerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postgrest import APIError

REFUSED_VALUE = re.compile(
    r"(?P<table>\w+)\.(?P<column>\w+): (?P<value>.*?) (?:is not allowed|and cannot be \w+)(?P<rest>.*)", re.DOTALL
)
HTTP_STATUS = re.compile(r"\d{3}")
"""A proxy on the way to the database has codes of its own; the client then shows the HTTP status."""
OWNED_COLUMN = re.compile(r"(?P<table>\w+)\.(?P<column>\w+) is written by the service only")
EXPECTED = "; expected "
NO_USER = "the public (anon) key alone may read and write nothing: sign a user in, or set SUPABASE_SECRET_KEY"
WRONG_VALUE, FORBIDDEN, TAKEN, NOT_FOUND, QUOTA = "22023", "42501", "23505", "PT404", "PT403"


class JobFault(ListenerError):  # noqa: N818 - what happened, as the names below say it
    """Base of the errors that a scheduler raises.

    Attributes:
        code: PostgreSQL's or PostgREST's code, or the HTTP status; None where no answer came.
        hint: what to do about it, where the database says so.
    """

    def __init__(self, message: str, code: str | None = None, hint: str | None = None) -> None:
        self.code, self.hint = code, hint
        super().__init__(message)


class NaiveDatetimeWarning(UserWarning):
    """A datetime without an offset was taken as UTC: nobody gave the time zone that it is in."""


class JobNotFound(JobFault):
    """The caller can see no such job: it was deleted, belongs to another user, or never existed."""


class JobAmbiguous(JobFault):
    """Several jobs that the caller may see have this `job_id`; name one by its `id`, or the workspace."""

    def __init__(self, job_id: str, ids: Sequence[int]) -> None:
        self.job_id, self.ids = job_id, list(ids)
        super().__init__(f"job_id {job_id!r} is that of several jobs, ids {self.ids}; name one by its id")


class JobExists(JobFault):
    """The `job_id` is taken by a job of another definition; `job` is that job where it can be seen, `differs` how."""

    def __init__(self, message: str, job: Any = None, differs: Sequence[str] = ()) -> None:  # noqa: ANN401 - models.Job
        self.job, self.differs = job, list(differs)
        super().__init__(message, TAKEN)


class JobRefused(JobFault):
    """A column has an invalid value, or a status does not follow the present one; nothing was written.

    Attributes:
        column: of `scheduled_jobs`; None where the database named none.
        value: as the database shows it, JSON text that may be shortened.
        allowed: what is accepted instead.
    """

    def __init__(  # noqa: PLR0913 - each is one fact
        self,
        message: str,
        *,
        column: str | None = None,
        value: str | None = None,
        allowed: str | None = None,
        code: str | None = WRONG_VALUE,
        hint: str | None = None,
    ) -> None:
        self.column, self.value, self.allowed = column, value, allowed
        super().__init__(message, code, hint)


class JobForbidden(JobFault):
    """Row level security, a missing grant or a quota refuses this to the caller."""


class Unreachable(JobFault):
    """There is no answer, or none from the database; the request may or may not have been carried out."""


KINDS = {NOT_FOUND: JobNotFound, FORBIDDEN: JobForbidden, QUOTA: JobForbidden}


def refused(column: str, value: object, allowed: str) -> JobRefused:
    """Refuse a value before it is sent, with the database's message."""
    shown = json.dumps(value, default=repr, ensure_ascii=False).encode(errors="backslashreplace").decode()
    message = f"scheduled_jobs.{column}: {shown} is not allowed; expected {allowed}"
    return JobRefused(message, column=column, value=shown, allowed=allowed)


def fault_of(error: APIError) -> JobFault:
    """Return the error for an `APIError`."""
    message, code, hint = error.message or str(error), str(error.code), error.hint
    if code == TAKEN:
        return JobExists(message)
    owned = OWNED_COLUMN.match(message)
    if owned or code.startswith(("22", "23", "P0", "PGRST1", "PGRST204")):
        return _refused_by_database(message, code, hint, owned)
    if HTTP_STATUS.fullmatch(code):
        return Unreachable(f"{code} {message}", code, hint)
    if code == FORBIDDEN and message.startswith("permission denied"):
        hint = hint or NO_USER
        message = f"{message}; {hint}"
    return KINDS.get(code, JobFault)(message, code, hint)


def _refused_by_database(message: str, code: str, hint: str | None, owned: re.Match[str] | None) -> JobRefused:
    if owned:
        allowed = "nothing: the service writes it"
        return JobRefused(message, column=owned["column"], allowed=allowed, code=code, hint=hint)
    found = REFUSED_VALUE.match(message)
    if found is None:
        return JobRefused(message, code=code, hint=hint)
    _, told, allowed = found["rest"].partition(EXPECTED)
    value = found["value"].rpartition(" is ")[2]
    return JobRefused(
        message, column=found["column"], value=value, allowed=allowed if told else hint, code=code, hint=hint
    )
