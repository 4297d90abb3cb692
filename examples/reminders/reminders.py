"""The handler: runs in the listener, with LISTENER_HANDLERS=handlers,reminders."""

from pydantic import BaseModel

from listener import Fail, JobContext, handler


class Reminder(BaseModel):
    """The model of the job's metadata."""

    guest: str
    title: str


@handler("event_reminder", timeout=30, max_attempts=3, exposed=True)
async def event_reminder(job: JobContext, payload: Reminder) -> dict[str, str]:
    """Remind a guest; a real one would send a mail with `job.idempotency_key`."""
    if "@" not in payload.guest:
        raise Fail(reason="no_address", message=f"{payload.guest} has no address")
    text = f"{payload.guest}: {payload.title} begins soon"
    if not job.test_mode:
        job.log.info("reminding", text=text)
    return {"text": text}
