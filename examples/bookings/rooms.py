"""The handler that runs at the end of a booking."""

from __future__ import annotations

from pydantic import BaseModel

from listener import JobContext, handler


class Booking(BaseModel):
    """The payload: what `metadata` of the source gives."""

    booking_id: int


@handler("booking_ended", timeout=30)
async def booking_ended(job: JobContext, payload: Booking) -> dict[str, str]:
    """Set a booking that is still confirmed to ended. The run goes on, although its own row needs it no more."""
    ended = (
        job.client.table("bookings").update({"status": "ended"}).eq("id", payload.booking_id).eq("status", "confirmed")
    )
    rows = (await ended.execute()).data
    return {"room": rows[0]["room"] if rows else "was free already"}
