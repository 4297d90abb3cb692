"""Decides whether a job may run at all: a job of a signed-in user is checked again when it is due.

The database checks the row at its write, and stores in `exposed_only` whether a user wrote the job's definition; a
handler may have ceased to be exposed since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.domain.outcome import Failed

if TYPE_CHECKING:
    from listener.domain.job import Run


def refusal(run: Run, *, exposed: bool) -> Failed | None:
    """Refuse a signed-in user's job whose handler is not exposed; None if the job may run."""
    if exposed or not run.row.get("exposed_only"):
        return None
    error = (
        f"handler: {run.handler!r} is not exposed to signed-in users, one of whom wrote this job;"
        " declare it with exposed=True, or let the service role schedule it"
    )
    return Failed(error=error, reason="not_exposed", retryable=False)
