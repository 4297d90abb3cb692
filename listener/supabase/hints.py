"""Turns Realtime's frames into hints. Frames are not trusted: a hint only starts a read; the claim decides.

Where a project's policies are wide, anybody may send one, so that any JSON at all has to be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from listener.domain.job import Job
from listener.domain.messages import Hint
from listener.errors import MALFORMED
from listener.supabase.rows import instant

if TYPE_CHECKING:
    from collections.abc import Mapping

JOBS, DELETED_JOBS = "scheduled_jobs", "deleted_jobs"
PROBE = "probe"
"""The table name of a probe: a signal without a job, which proves that its channel is received."""
MOST_ROWS = 100
"""The database names no more rows of jobs in one message."""
MOST_ID, MOST_PRIORITY = 2**63 - 1, 2**15 - 1


def read_hint(source: str, message: Any) -> Hint:  # noqa: ANN401 - any JSON
    """Read what a channel brings; what `job_scheduler.notify` did not send only causes a look."""
    try:
        hint = read_signal(source, message)
        _number(hint.xid, MOST_ID)
        hash((hint.table, hint.ids, hint.gone))
    except (*MALFORMED, AttributeError, LookupError, RecursionError):
        return Hint(source, JOBS)
    return hint


def read_signal(source: str, message: Mapping[str, Any]) -> Hint:
    """Read what `job_scheduler.notify` sends by both channels and keeps in its table: {table, rows, xid}.

    Rows of jobs are [id, revision, next_run_at, priority, tenant, user, handler] of plain one-time jobs; of deleted
    jobs, [id]; of stopped runs, their ids; null for too many rows, or other than plain ones. A later version may append
    to a row.
    """
    table, rows, xid = message["table"], message["rows"] or (), message["xid"]
    if table == DELETED_JOBS:
        return Hint(source, JOBS, gone=tuple(row[0] for row in rows), xid=xid)
    if table == JOBS:
        return Hint(source, JOBS, jobs=tuple(_plain(*row[:7]) for row in rows[:MOST_ROWS]), xid=xid)
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
    """Read a row of a job.

    Raises:
        ValueError: it cannot be a row's.
    """
    at = instant(next_run_at)
    if at is not None and at.tzinfo is None:
        raise ValueError(next_run_at)
    if not all(each is None or isinstance(each, str) for each in (tenant, user, handler)):
        raise ValueError(tenant)
    return Job(
        _number(job_id, MOST_ID),
        _number(revision, MOST_ID),
        "scheduled",
        _number(priority, MOST_PRIORITY),
        at,
        at,
        tenant=tenant,
        user=user,
        handler=handler,
    )


def _number(value: object, most: int) -> int:
    if type(value) is not int or not -most <= value <= most:
        raise ValueError(value)
    return value
