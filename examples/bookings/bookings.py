"""Book a room twice, move one booking, cancel the other, and see what becomes of their jobs."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from supabase import create_client

client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SERVICE_ROLE_KEY"])
bookings = client.table("bookings")


def in_seconds(seconds: float) -> str:
    """Give an instant as text."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()  # noqa: TID251 - a client has the wall's clock


def job_once(booking: dict[str, Any], status: str) -> dict[str, Any]:
    """Wait until the booking's job has this status."""
    for _ in range(300):
        jobs = client.table("scheduled_jobs").select("*").eq("job_id", f"booking-ended:{booking['id']}").execute().data
        if jobs and jobs[0]["status"] == status:
            return jobs[0]
        time.sleep(0.1)
    raise TimeoutError(status)


blue = bookings.insert({"room": "blue", "ends_at": in_seconds(3600)}).execute().data[0]
green = bookings.insert({"room": "green", "ends_at": in_seconds(3600)}).execute().data[0]
for booking in (blue, green):
    print(booking["room"], "is booked, its job is", job_once(booking, "scheduled")["status"])

bookings.update({"status": "cancelled"}).eq("id", green["id"]).execute()
print("green is free again, its job is", job_once(green, "cancelled")["status"])

bookings.update({"ends_at": in_seconds(1)}).eq("id", blue["id"]).execute()
job = job_once(blue, "completed")
print("blue's job is completed:", job["result"])
print("blue is", bookings.select("status").eq("id", blue["id"]).execute().data[0]["status"])
