"""A handler that sends a message to a queue of Supabase Queues."""

from __future__ import annotations

from typing import Any

from postgrest.exceptions import APIError
from pydantic import BaseModel, ConfigDict, Field

from listener import Fail, JobContext, handler
from listener.handlers._delivery import TEST_MODE, once

MAX_DELAY_SECONDS = 7 * 24 * 3600
REFUSALS = {"0A000": "not_configured", "22023": "unknown_queue"}
"""The codes of `send_queue_message_v1`."""


class QueueMessage(BaseModel):
    """A queue, and the message for it."""

    model_config = ConfigDict(extra="forbid")

    queue: str = Field(pattern=r"^[A-Za-z0-9_]{1,47}$")
    message: dict[str, Any] | list[Any]
    delay_seconds: int = Field(default=0, ge=0, le=MAX_DELAY_SECONDS, description="until readers see it")


@handler("queue_message", timeout=60)
async def queue_message(job: JobContext, payload: QueueMessage) -> dict[str, Any]:
    """Send a message to a queue of pgmq, where Supabase Queues is installed."""
    if job.test_mode:
        return {**TEST_MODE, "would_send": payload.model_dump()}
    request = {**payload.model_dump(), "idempotency_key": job.idempotency_key}

    async def send() -> dict[str, Any]:
        try:
            answer = (await job.client.rpc("send_queue_message_v1", {"request": request}).execute()).data
        except APIError as error:
            if error.code in REFUSALS:
                message = " ".join(text for text in (error.message, error.hint) if text)
                raise Fail(reason=REFUSALS[error.code], message=message) from error
            raise
        return {"queue": payload.queue, "message_id": answer["message_id"]}

    return await once(job, "queue message", send)
