"""A job's life as a stock supabase-py client sees it through postgres_changes; prints one JSON object."""

from __future__ import annotations

import asyncio  # noqa: TID251 - supabase-py knows nothing else
import json
import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from realtime import RealtimePostgresChangesListenEvent
from supabase import AsyncClient, AsyncClientOptions, acreate_client


async def client_of(token: str | None) -> AsyncClient:
    """Make a client of a signed-in user, or of the service."""
    if token is None:
        return await acreate_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SECRET_KEY"])
    options = AsyncClientOptions(headers={"Authorization": f"Bearer {token}"})
    client = await acreate_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_PUBLISHABLE_KEY"], options)
    await client.realtime.set_auth(token)
    return client


async def watch(client: AsyncClient, filter_: str) -> list[str]:
    """Subscribe, and give the list that fills with what is seen."""
    seen: list[str] = []
    ready = asyncio.Event()

    def on_change(message: dict[str, Any]) -> None:
        change = message["data"]
        seen.append(f"{change['type'].value} {change.get('record', {}).get('status', '')}".strip())

    channel = client.channel(f"watch {filter_}")
    channel.on_postgres_changes(
        RealtimePostgresChangesListenEvent.All, on_change, "scheduled_jobs", schema="public", filter=filter_
    )
    await channel.on_system(lambda _: ready.set()).subscribe()
    await asyncio.wait_for(ready.wait(), 10)
    return seen


async def until(true: Any) -> None:
    """Wait up to ten seconds."""
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.02)


def due_in(seconds: float) -> str:
    """Give an instant as a client's clock has it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()  # noqa: TID251 - a client has no other


async def main() -> None:
    """Insert, move, delete and cancel, and report what was seen."""
    client, stranger = await client_of(os.environ.get("USER_TOKEN")), await client_of(os.environ["STRANGER_TOKEN"])
    jobs = client.table("scheduled_jobs")
    key = f"py-{uuid.uuid4()}"
    inserted = await watch(client, f"job_id=eq.{key}")
    row = {"handler": "noop", "run_date": due_in(3600)}
    other = (await jobs.insert(row).execute()).data[0]["id"]
    job = (await jobs.insert({**row, "job_id": key}).execute()).data[0]["id"]
    await until(lambda: inserted)  # then neither insert can come late, to those who watch from now on
    seen, overheard = await watch(client, f"id=eq.{job}"), await watch(stranger, f"id=eq.{job}")
    await jobs.update({"run_date": due_in(0.5)}).eq("id", job).execute()
    await until(lambda: "UPDATE completed" in seen)
    await jobs.delete().eq("id", job).execute()
    await until(lambda: "DELETE" in seen)

    cancelled = await watch(client, f"id=eq.{other}")
    await jobs.update({"status": "cancelled"}).eq("id", other).execute()
    await until(lambda: cancelled)
    visible = (await stranger.table("scheduled_jobs").select("id").eq("id", other).execute()).data

    reported = {
        "inserted": inserted[0],
        "seen": seen,
        "cancelled": cancelled,
        "overheard": overheard,
        "visible": visible,
    }
    print(json.dumps(reported), flush=True)  # noqa: T201 - the test reads it
    os._exit(0)  # the clients' tasks have no end of their own


asyncio.run(main())
