"""The client: schedules two reminders of an event, moves one, and shows their ledger rows."""

import os
import time
from datetime import UTC, datetime, timedelta

from postgrest.exceptions import APIError
from supabase import Client, create_client

ENDED = {"completed", "failed", "cancelled"}
TAKEN = "23505"


def plan(client: Client, guest: str, at: datetime) -> None:
    """Insert a reminder; a second one for the same guest is refused by its `job_id`."""
    row = {
        "job_id": f"reminder:summer-party:{guest}",
        "handler": "event_reminder",
        "metadata": {"guest": guest, "title": "Summer party"},
        "run_date": at.isoformat(),
    }
    try:
        client.table("scheduled_jobs").insert(row).execute()
        print(f"planned for {guest}")
    except APIError as refused:
        if refused.code != TAKEN:
            raise
        print(f"planned for {guest} before")


def main() -> None:
    """Plan, move, wait, show."""
    client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SERVICE_ROLE_KEY"])
    soon = datetime.now(UTC) + timedelta(seconds=2)  # noqa: TID251 - a client has the wall's clock alone
    for guest in ("ada@example.com", "grace", "ada@example.com"):
        plan(client, guest, soon)

    jobs = client.table("scheduled_jobs")
    later = (soon + timedelta(seconds=2)).isoformat()
    jobs.update({"run_date": later}).eq("job_id", "reminder:summer-party:grace").execute()

    ours = "id,job_id,status,result,error"
    while True:
        rows = jobs.select(ours).like("job_id", "reminder:summer-party:%").order("job_id").execute().data
        if all(row["status"] in ENDED for row in rows):
            break
        time.sleep(0.2)
    for row in rows:
        print(row["job_id"], row["status"], row["result"] or row["error"])


if __name__ == "__main__":
    main()
