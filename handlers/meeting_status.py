"""A handler that sets meetings to done after their end."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from listener import JobContext, handler


class Ended(BaseModel):
    """The meeting that has ended."""

    meeting_id: UUID


@handler("meeting_status", timeout=30)
async def meeting_status(job: JobContext, payload: Ended) -> dict[str, Any]:
    """Set a meeting that is still upcoming to done, once its end has passed."""
    ended_by = _ended_by(job)
    if not job.test_mode and await _finish(job, payload.meeting_id, ended_by):
        return _told(payload, "its end has passed", updated=True)
    reason = await _why_not(job, payload.meeting_id, ended_by)
    return _told(payload, reason, updated=False)


def _ended_by(job: JobContext) -> datetime:
    """Return the instant before which a meeting must have ended.

    The run is due at the end itself, and the estimate of the database's clock may be a moment behind it; a meeting
    whose end was moved ends later than both.
    """
    return max(job.now(), job.scheduled_for)


async def _finish(job: JobContext, meeting_id: UUID, ended_by: datetime) -> bool:
    """Check and set in one statement, so that a meeting cancelled at this moment stays cancelled."""
    update = job.client.table("meetings").update({"status": "done"})
    matching = update.eq("id", str(meeting_id)).eq("status", "upcoming").lte("end_time", ended_by.isoformat())
    return bool((await matching.execute()).data)


async def _why_not(job: JobContext, meeting_id: UUID, ended_by: datetime) -> str:
    found = await job.client.table("meetings").select("status,end_time").eq("id", str(meeting_id)).execute()
    if not found.data:
        return "there is no such meeting"
    meeting = found.data[0]
    if meeting["status"] != "upcoming":
        return f"it is {meeting['status']} already"
    if datetime.fromisoformat(meeting["end_time"]) > ended_by:
        return f"it ends later, at {meeting['end_time']}"
    return "test mode: it would become done" if job.test_mode else "it was changed at this very moment"


def _told(payload: Ended, reason: str, *, updated: bool) -> dict[str, Any]:
    return {"meeting_id": str(payload.meeting_id), "updated": updated, "reason": reason}
