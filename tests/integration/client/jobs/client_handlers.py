"""Handlers of the client's tests; all may be scheduled by signed-in users."""

from __future__ import annotations

import anyio

from listener import Fail, JobContext, handler


@handler(exposed=True)
async def event_reminder(job: JobContext, payload: dict) -> dict:
    """Give the payload back."""
    job.log.info("reminding", message=payload.get("message"))
    return {"payload": payload, "test_mode": job.test_mode}


@handler(exposed=True)
async def notification(job: JobContext, payload: dict) -> dict:
    """Give the payload back."""
    return payload


@handler(exposed=True)
async def custom(job: JobContext, payload: dict) -> dict:
    """Take a moment."""
    await anyio.sleep(payload.get("seconds", 0))
    return payload


@handler("failing", exposed=True)
async def fails(job: JobContext) -> None:
    """Fail for good."""
    raise Fail(reason="broken", message="it is broken")


@handler("retried", exposed=True)
async def retried(job: JobContext) -> None:
    """Fail each time, so that it is tried again."""
    message = f"attempt {job.attempt}"
    raise RuntimeError(message)
