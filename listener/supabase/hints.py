"""From what Realtime delivers to hints. Nothing here is trusted: a hint makes the listener look, the claim decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from listener.domain.exchange import Hint
from listener.domain.job import Job
from listener.supabase.rows import instant

if TYPE_CHECKING:
    from collections.abc import Mapping

JOBS, MEETINGS, DELETED = "scheduled_jobs", "meetings", "deleted_jobs"


def of_broadcast(message: Mapping[str, Any]) -> Hint:
    """Read what `job_scheduler.ring` sends: {table, rows}.

    Rows of jobs are [id, revision, next_run_at, priority] of plain one-time jobs, or null; of meetings, their ids.
    """
    table, rows = message["table"], message["rows"] or ()
    if table == DELETED:
        return Hint("broadcast", JOBS, gone=tuple(row[0] for row in rows))
    if table == MEETINGS:
        return Hint("broadcast", MEETINGS, ids=tuple(rows))
    return Hint("broadcast", JOBS, jobs=tuple(_plain(*row) for row in rows))


def of_change(table: str, change: Mapping[str, Any]) -> Hint:
    """Read the `data` of a postgres_changes event."""
    record: Mapping[str, Any] = change.get("record") or {}
    old: Mapping[str, Any] = change.get("old_record") or {}
    is_delete = str(change["type"]).endswith("DELETE")
    if table == MEETINGS:
        row_id = (old if is_delete else record).get("id")
        return Hint("postgres_changes", MEETINGS, ids=(row_id,) if row_id else ())
    if is_delete:
        return Hint("postgres_changes", JOBS, gone=(old["id"],) if "id" in old else ())
    if "revision" not in record:  # a frame with errors has an empty record
        return Hint("postgres_changes", JOBS)
    if _is_plain(record):
        job = _plain(record["id"], record["revision"], record["next_run_at"], record["priority"])
        return Hint("postgres_changes", JOBS, jobs=(job,))
    return Hint("postgres_changes", JOBS, known_revision=(record["id"], record["revision"]))


def _is_plain(record: Mapping[str, Any]) -> bool:
    """Whether the row says all there is to know: a one-time job that waits for its due instant."""
    return (
        record["trigger_type"] == "once"
        and record["status"] == "scheduled"
        and record["misfire"] != "skip"
        and record["queued_runs"] == 0
        and record["next_run_at"] is not None
    )


def _plain(job_id: int, revision: int, next_run_at: str, priority: int) -> Job:
    at = instant(next_run_at)
    return Job(job_id, revision, "scheduled", priority, at, at)
