"""Jobs that follow reading: sessions that nobody ended, and statistics."""

from datetime import timedelta

from pydantic import BaseModel, Field

from listener import JobContext, handler


@handler("expire_sessions", timeout=60)
async def expire_sessions(job: JobContext) -> dict[str, int]:
    """End the sessions whose time is over."""
    now = job.now().isoformat()
    sessions = job.client.table("sessions")
    if job.test_mode:
        found = (
            await sessions.select("id", count="exact", head=True)
            .is_("ended_at", "null")
            .lt("expires_at", now)
            .execute()
        )
        return {"would_expire": found.count}
    ended = await sessions.update({"ended_at": now}).is_("ended_at", "null").lt("expires_at", now).execute()
    return {"expired": len(ended.data)}


class Period(BaseModel):
    """The payload of `generate_stats`."""

    days: int = Field(default=2, ge=1, le=366)


@handler("generate_stats", timeout=300)
async def generate_stats(job: JobContext, payload: Period) -> dict[str, int | str]:
    """Count the reading of the last days anew; a repetition changes nothing."""
    since = (job.scheduled_for - timedelta(days=payload.days - 1)).date().isoformat()
    if job.test_mode:
        return {"would_count_since": since}
    counted = (await job.client.rpc("count_reading", {"since": since}).execute()).data
    return {"days_of_readers": counted}
