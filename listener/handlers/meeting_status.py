"""A handler that sets meetings to done after their end; many of them in one request."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel

from listener import JobContext, Retry, Snooze, handler
from listener.handlers._gathering import Gathering

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

MOST = 500
"""Meetings in one request."""
LOCKED_PAUSE = timedelta(seconds=2)
"""Pause before a meeting whose row another transaction holds is tried again."""


class Ended(BaseModel):
    """The meeting that has ended."""

    meeting_id: UUID


@handler("meeting_status", timeout=30)
async def meeting_status(job: JobContext, payload: Ended) -> dict[str, Any]:
    """Set a meeting that is still upcoming to done, once its end has passed."""
    # The run is due at the end itself, and the estimate of the database's clock may be a moment behind it; a meeting
    # whose end was moved ends later than both.
    ended_by = max(job.now(), job.scheduled_for)
    request = {"id": str(payload.meeting_id), "ended_by": ended_by.isoformat(), "test_mode": job.test_mode}
    gathering = await job.shared(_gathering)
    meeting = await gathering.submit(request, partial(_end, job.client))
    reason = _reason(meeting, ended_by, test_mode=job.test_mode)
    return {"meeting_id": request["id"], "updated": meeting["updated"], "reason": reason}


@asynccontextmanager
async def _gathering() -> AsyncIterator[Gathering]:
    yield Gathering(MOST)


async def _end(client: Any, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:  # noqa: ANN401 - supabase.AsyncClient
    """Check and set in one statement, so that a meeting cancelled at this moment stays cancelled."""
    answer = (await client.rpc("end_meetings_v1", {"request": {"meetings": requests}}).execute()).data
    meetings = {meeting["id"]: meeting for meeting in answer["meetings"]}
    return [meetings[request["id"]] for request in requests]


def _reason(meeting: dict[str, Any], ended_by: datetime, *, test_mode: bool) -> str:
    """Return why the meeting was set to done, or why not."""
    if meeting["updated"]:
        return "its end has passed"
    if meeting["error"] is not None:
        raise Retry(message=meeting["error"])
    if meeting["status"] is None:
        return "there is no such meeting"
    if meeting["status"] != "upcoming":
        return f"it is {meeting['status']} already"
    if datetime.fromisoformat(meeting["end_time"]) > ended_by:
        return f"it ends later, at {meeting['end_time']}"
    if not test_mode:
        raise Snooze(LOCKED_PAUSE)
    return "test mode: it would become done"
