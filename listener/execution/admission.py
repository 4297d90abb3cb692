"""Whether a job may run at all: what signed-in users may schedule is decided again when it is due.

The database decides it when the row is written, and keeps in `exposed_only` whether a user wrote what the job runs; a
handler may have ceased to be exposed since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.domain.outcome import Failed

if TYPE_CHECKING:
    from listener.domain.job import Run


def refusal(run: Run, *, exposed: bool) -> Failed | None:
    """Refuse what a signed-in user has scheduled and its handler is not for; None where it may run."""
    if exposed or not run.row.get("exposed_only"):
        return None
    error = (
        f"handler: {run.handler!r} is not exposed to signed-in users, one of whom wrote this job;"
        " declare it with exposed=True, or let the service role schedule it"
    )
    return Failed(error=error, reason="not_exposed", retryable=False)
