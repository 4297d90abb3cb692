"""A handler that writes a notification, which its recipient watches in Realtime."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from listener import JobContext, handler
from listener.handlers._delivery import TEST_MODE
from listener.handlers._relays import relay

MAX_TITLE_CHARACTERS, MAX_MESSAGE_CHARACTERS = 500, 8 * 1024


class Notification(BaseModel):
    """A message to a user; keys that it does not have join `data`."""

    model_config = ConfigDict(extra="allow")

    recipient_id: UUID
    title: str | None = Field(default=None, max_length=MAX_TITLE_CHARACTERS)
    message: str = Field(max_length=MAX_MESSAGE_CHARACTERS)
    data: dict[str, Any] = Field(default_factory=dict)
    channels: list[str] = Field(default_factory=list, max_length=10, description="of LISTENER_NOTIFICATION_CHANNELS")


@handler("notification", timeout=60)
async def notification(job: JobContext, payload: Notification) -> dict[str, Any]:
    """Write a notification for a user, and send it on through the channels that it names."""
    return await notify(job, payload)


async def notify(job: JobContext, note: Notification) -> dict[str, Any]:
    """Write a notification once in a run, and send it on; return its `recipient_id` and `channels`.

    Raises:
        Fail: `unknown_channel` for a channel that the operator has not named.
        Retry: a channel could not be reached.
    """
    row = {
        "recipient_id": str(note.recipient_id),
        "title": note.title,
        "message": note.message,
        "data": {**(note.model_extra or {}), **note.data},
    }
    if job.test_mode:
        return {**TEST_MODE, "would_send": {**row, "channels": note.channels}}
    own = {"scheduled_job_id": job.job_id, "idempotency_key": job.idempotency_key}
    table = job.client.table("job_notifications")
    await table.upsert({**row, **own}, on_conflict="idempotency_key", ignore_duplicates=True).execute()
    for channel in note.channels:
        await relay(job, channel, note.title, note.message)
    return {"recipient_id": row["recipient_id"], "channels": note.channels}
