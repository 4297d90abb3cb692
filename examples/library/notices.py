"""The handlers: they run in the listener, with LISTENER_HANDLERS=handlers,notices."""

from pydantic import BaseModel

from listener import JobContext, handler


class Loan(BaseModel):
    """The content of a notice."""

    reader: str
    book: str


@handler("bring_back", timeout=30, exposed=True)
async def bring_back(job: JobContext, payload: Loan) -> dict[str, str]:
    """Remind a reader to bring a book back; a real one would send a mail with `job.idempotency_key`."""
    await job.progress(0.5, f"writing to {payload.reader}")
    return {"sent": f"{payload.reader}: please bring {payload.book} back"}


@handler("overdue_list", exposed=True)
async def overdue_list(job: JobContext) -> dict[str, bool]:
    """List what is overdue; in test mode nobody is notified."""
    return {"notified": not job.test_mode}
