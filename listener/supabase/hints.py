"""Turns Realtime's frames into hints. Frames are not trusted: a hint only starts a read; the claim decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from listener.domain.job import Job
from listener.domain.messages import Hint
from listener.supabase.rows import instant

if TYPE_CHECKING:
    from collections.abc import Mapping

JOBS, MEETINGS, DELETED_JOBS = "scheduled_jobs", "meetings", "deleted_jobs"
PROBE = "probe"
"""The table name of a probe: a signal without a job, which proves that its channel is received."""


def read_signal(source: str, message: Mapping[str, Any]) -> Hint:
    """Read a signal as `job_scheduler.notify` sends it by both channels: {table, rows, xid}.

    Rows of jobs are [id, revision, next_run_at, priority, tenant, user, handler] of plain one-time jobs; of deleted
    jobs, [id]; of meetings, their ids; null for too many rows, or other than plain ones. A later version may append to
    a row.
    """
    table, rows, xid = message["table"], message["rows"] or (), message["xid"]
    if table == DELETED_JOBS:
        return Hint(source, JOBS, gone=tuple(row[0] for row in rows), xid=xid)
    if table == JOBS:
        return Hint(source, JOBS, jobs=tuple(_plain(*row[:7]) for row in rows), xid=xid)
    return Hint(source, table, ids=tuple(rows), xid=xid)


def _plain(  # noqa: PLR0913, PLR0917 - a row of the message
    job_id: int,
    revision: int,
    next_run_at: str | None,
    priority: int,
    tenant: str | None = None,
    user: str | None = None,
    handler: str | None = None,
) -> Job:
    at = instant(next_run_at)
    return Job(job_id, revision, "scheduled", priority, at, at, tenant=tenant, user=user, handler=handler)
