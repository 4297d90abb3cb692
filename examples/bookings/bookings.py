"""A signed-in user books two rooms, cancels one booking, moves the other, and sees what becomes of their jobs."""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from supabase import ClientOptions, create_client

options = ClientOptions(headers={"Authorization": f"Bearer {os.environ['USER_TOKEN']}"})
client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_ANON_KEY"], options)
bookings = client.table("bookings")


def in_seconds(seconds: float) -> str:
    """Give an instant as text."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()  # noqa: TID251 - a client has the wall's clock


def job_once(booking: dict[str, Any], status: str) -> dict[str, Any]:
    """Wait until the booking's job has this status; its key has the row's, a bigint."""
    job_id = f"booking-ended:{booking['id']}"
    while True:
        jobs = client.table("scheduled_jobs").select("*").eq("job_id", job_id).execute().data
        if jobs and jobs[0]["status"] == status:
            return jobs[0]
        time.sleep(0.1)


blue = bookings.insert({"room": "blue", "ends_at": in_seconds(3600)}).execute().data[0]
green = bookings.insert({"room": "green", "ends_at": in_seconds(3600)}).execute().data[0]
for booking in (blue, green):
    job = job_once(booking, "scheduled")
    print(f"{job['name']}: {job['status']}, at its end: {job['run_date'] == booking['ends_at']}")

bookings.update({"status": "cancelled"}).eq("id", green["id"]).execute()
print("green is free again, its job is", job_once(green, "cancelled")["status"])

bookings.update({"ends_at": in_seconds(1)}).eq("id", blue["id"]).execute()
job = job_once(blue, "completed")
print("blue's job is completed:", job["result"])
print("blue is", bookings.select("status").eq("id", blue["id"]).execute().data[0]["status"])

bookings.update({"status": "confirmed", "ends_at": in_seconds(3600)}).eq("id", blue["id"]).execute()
print("blue is booked once more, the same job is", job_once(blue, "scheduled")["status"], "again")
