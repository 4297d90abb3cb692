"""The database's answers become errors that name the facts."""

from __future__ import annotations

import pytest
from postgrest import APIError

from listener.client import JobExists, JobFault, JobForbidden, JobNotFound, JobRefused, Unreachable
from listener.client.errors import fault_of

BAD_ZONE = 'scheduled_jobs.timezone: "Mars/Base" is not allowed; expected an IANA time zone such as "Europe/Berlin"'
BAD_STATUS = 'scheduled_jobs.status: job 42 is "completed" and cannot be paused; expected scheduled or running'
BAD_STEP = 'scheduled_jobs.status: "running" is not allowed after "paused"; only the service starts and ends a run'
OWNED = "scheduled_jobs.next_run_at is written by the service only; leave it out"


def _error(code: str, message: str, hint: str | None = None) -> APIError:
    return APIError({"code": code, "message": message, "hint": hint, "details": None})


@pytest.mark.parametrize(
    ("code", "message", "facts"),
    [
        ("22023", BAD_ZONE, ("timezone", '"Mars/Base"', 'an IANA time zone such as "Europe/Berlin"')),
        ("22023", BAD_STATUS, ("status", '"completed"', "scheduled or running")),
        ("22023", BAD_STEP, ("status", '"running"', "do this")),
        ("42501", OWNED, ("next_run_at", None, "nothing: the service writes it")),
        ("22P02", 'invalid input syntax for type integer: "x"', (None, None, None)),
        ("PGRST204", "Could not find the 'colour' column", (None, None, None)),
    ],
)
def test_a_refusal_names_column_value_and_what_is_allowed(code, message, facts):
    """As far as the database names them."""
    refusal = fault_of(_error(code, message, "do this"))
    assert isinstance(refusal, JobRefused)
    assert (refusal.column, refusal.value, refusal.allowed) == facts
    assert (str(refusal), refusal.code, refusal.hint) == (message, code, "do this")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("PT404", JobNotFound),
        ("23505", JobExists),
        ("42501", JobForbidden),
        ("PT403", JobForbidden),
        ("502", Unreachable),
        ("57014", JobFault),
    ],
)
def test_each_code_has_its_class(code, kind):
    """And all have one base."""
    assert type(fault_of(_error(code, "so it is"))) is kind
    assert issubclass(kind, JobFault)
