"""Whether a job may run at all: what signed-in users may schedule is decided again when it is due.

The database has checked it when the row was written; since then a handler may have ceased to be exposed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.domain.outcome import Failed

if TYPE_CHECKING:
    from listener.domain.job import Run

MADE_FOR_USERS = {"meeting_status": "meeting-status:"}
"""Handlers whose jobs the service itself makes in the name of a user, and how the keys of such jobs begin."""


def refusal(run: Run, *, exposed: bool) -> Failed | None:
    """Refuse a job of a signed-in user whose handler is not for them; None where it may run."""
    owner = run.row.get("created_by")
    if exposed or owner is None or _is_made_for_user(run):
        return None
    error = (
        f"handler: {run.handler!r} is not exposed to signed-in users, and this job is of one ({owner});"
        " declare it with exposed=True, or let the service role schedule it"
    )
    return Failed(error=error, reason="not_exposed", retryable=False)


def _is_made_for_user(run: Run) -> bool:
    prefix = MADE_FOR_USERS.get(run.handler)
    return prefix is not None and run.row.get("job_id") == f"{prefix}{run.payload.get('meeting_id')}"
