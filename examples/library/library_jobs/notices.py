"""Reminders of loans, and the queue of notices to readers."""

from datetime import timedelta

from postgrest.exceptions import APIError
from pydantic import BaseModel, Field

from listener import JobContext, handler

TAKEN = "23505"


class Ahead(BaseModel):
    """The payload of `loan_reminders`."""

    days: int = Field(default=2, ge=0, le=60)


@handler("loan_reminders", timeout=120)
async def loan_reminders(job: JobContext, payload: Ahead) -> dict[str, int]:
    """Queue a notice of each loan that is due soon; the key of a loan and its day keeps it from being queued twice."""
    last = (job.scheduled_for + timedelta(days=payload.days)).date().isoformat()
    loans = job.client.table("loans").select("id,email,due_on,book:books(title,isbn)").is_("returned_at", "null")
    due = (await loans.lte("due_on", last).order("id").execute()).data
    if job.test_mode or not due:
        return {"would_queue": len(due)} if job.test_mode else {"queued": 0}
    notices = [
        {
            "key": f"loan:{loan['id']}:{loan['due_on']}",
            "email": loan["email"],
            "subject": "Please bring a book back",
            "message": f"{loan['book']['title'] or loan['book']['isbn']} is due on {loan['due_on']}.",
        }
        for loan in due
    ]
    queue = job.client.table("notification_queue")
    queued = await queue.upsert(notices, on_conflict="key", ignore_duplicates=True).execute()
    return {"queued": len(queued.data)}


class Batch(BaseModel):
    """The payload of `send_notifications`."""

    most: int = Field(default=200, ge=1, le=500)


@handler("send_notifications", timeout=120)
async def send_notifications(job: JobContext, payload: Batch) -> dict[str, int]:
    """Make a job of the shipped handler `email` of each notice, with attempts and a ledger of its own."""
    queue = job.client.table("notification_queue")
    waiting = (await queue.select("*").eq("status", "queued").order("id").limit(payload.most).execute()).data
    if job.test_mode or not waiting:
        return {"would_send": len(waiting)} if job.test_mode else {"handed_over": 0}
    for notice in waiting:
        mail = {"to": notice["email"], "subject": notice["subject"], "text": notice["message"]}
        row = {"job_id": f"library-notice:{notice['key']}", "handler": "email", "metadata": mail}
        try:
            await job.client.table("scheduled_jobs").insert({**row, "workspace_id": job.row["workspace_id"]}).execute()
        except APIError as refused:
            if refused.code != TAKEN:  # else an earlier attempt made it
                raise
        await queue.update({"status": "handed over"}).eq("id", notice["id"]).execute()
    return {"handed_over": len(waiting)}
