"""Rings: inserts a job that is due in a thousand years, deletes it, and listens who hears of it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

import anyio
from postgrest.exceptions import APIError
from realtime import RealtimePostgresChangesListenEvent, RealtimeSubscribeStates

from listener.doctor.finding import Finding
from listener.supabase.client import make_client
from listener.supabase.session import Session, SessionEndedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from supabase import AsyncClient

    from listener.domain.messages import Hint
    from listener.settings import Settings

SETTLE_SECONDS, HEAR_SECONDS = 15.0, 5.0
SHOWN_CHARACTERS = 300
FAR = "2999-12-31T00:00:00Z"
CLIENTS = "clients"
SUBJECTS: Final = {
    "broadcast": "doorbell broadcast",
    "postgres_changes": "doorbell postgres_changes",
    CLIENTS: "clients' subscription",
}
MENDS: Final = {
    "broadcast": "this project's Realtime may lack broadcasts from the database: LISTENER_DOORBELLS=postgres_changes",
    "postgres_changes": "alter publication supabase_realtime add table job_scheduler.signals; and look whether Realtime"
    " is enabled in the project's settings",
    CLIENTS: "alter publication supabase_realtime add table public.scheduled_jobs",
}


class Ear:
    """One who listens: whether it is subscribed, why not, and after how many seconds it has heard of the job."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.settled, self.heard = anyio.Event(), anyio.Event()
        self.is_subscribed = False
        self.why_not = ""
        self.seconds: float | None = None

    def subscribed(self, _: object = None) -> None:
        """Note that the server listens for it."""
        self.is_subscribed = True
        self.settled.set()

    def failed(self, why: object) -> None:
        """Note that it will never hear."""
        self.why_not = self.why_not or f": {why}"[:SHOWN_CHARACTERS]
        self.is_subscribed = False
        self.settled.set()

    def finding(self) -> Finding:
        """Say how it went."""
        subject = SUBJECTS[self.name]
        if self.seconds is not None:
            return Finding(subject, f"heard after {self.seconds * 1000:.0f} ms")
        what = "subscribed, but not heard" if self.is_subscribed else f"no subscription{self.why_not}"
        return Finding(subject, what, MENDS[self.name])


class Bell:
    """The job, and who hears of it."""

    def __init__(self) -> None:
        self.job = 0
        self.rung_at = 0.0

    def hint_for(self, ear: Ear) -> Callable[[Hint], None]:
        """Give what takes the hints of a listener's session."""

        def hear(hint: Hint) -> None:
            self._note(ear, {*hint.gone, *(job.id for job in hint.jobs)})

        return hear

    def change_for(self, ear: Ear) -> Callable[[Any], None]:
        """Give what takes the changes of a client."""

        def hear(change: Any) -> None:  # noqa: ANN401 - realtime-py's payload
            rows = change["data"].get("record"), change["data"].get("old_record")
            self._note(ear, {row.get("id") for row in rows if row})

        return hear

    def _note(self, ear: Ear, jobs: set[int]) -> None:
        if self.job in jobs and not ear.heard.is_set():
            ear.seconds = anyio.current_time() - self.rung_at
            ear.heard.set()


async def examine_bells(settings: Settings) -> AsyncIterator[Finding]:
    """Subscribe as a listener and as a client do, ring, and tell who has heard."""
    bell, ears = Bell(), [Ear(name) for name in (*settings.doorbells, CLIENTS)]
    client = await make_client(settings.url, settings.secret_key.get_secret_value())
    async with anyio.create_task_group() as tasks:
        for ear in ears[:-1]:
            tasks.start_soon(_listen, settings, bell, ear)
        await _watch(client, bell, ears[-1])
        await _wait_for_all([ear.settled for ear in ears], SETTLE_SECONDS)
        await _ring(client, bell, [ear for ear in ears if ear.is_subscribed])
        tasks.cancel_scope.cancel()
    with anyio.move_on_after(1):
        await client.realtime.close()
    await client.postgrest.aclose()
    for ear in ears:
        yield ear.finding()


async def _listen(settings: Settings, bell: Bell, ear: Ear) -> None:
    """Be a listener's session, with one doorbell alone: the other one's fault must not end it."""
    key = settings.secret_key.get_secret_value()
    session = Session(settings.url, key, bell.hint_for(ear), ear.subscribed)
    try:
        await session.live((ear.name,))
    except SessionEndedError as ended:
        ear.failed(ended)
    finally:
        await session.close()


async def _watch(client: AsyncClient, bell: Bell, ear: Ear) -> None:
    """Be a client that watches its jobs."""

    def follow(state: RealtimeSubscribeStates, fault: Exception | None) -> None:
        if state is not RealtimeSubscribeStates.SUBSCRIBED:
            ear.failed(f"{state.value} {fault or ''}")

    every = RealtimePostgresChangesListenEvent.All
    channel = client.channel(f"doctor-{uuid.uuid4()}")
    channel.on_postgres_changes(every, bell.change_for(ear), schema="public", table="scheduled_jobs")
    channel.on_system(ear.subscribed)
    try:
        await channel.subscribe(follow)
    except Exception as fault:  # noqa: BLE001 - the client raises what the socket, TLS and HTTP layers raise
        ear.failed(f"{type(fault).__name__}: {fault}")


async def _some_handler(client: AsyncClient) -> str:
    """Find one that takes a job without a payload; the job never runs."""
    rows: Any = (await client.table("job_handlers").select("name,payload_schema").execute()).data
    return next((row["name"] for row in rows if not row["payload_schema"].get("required")), "noop")


async def _wait_for_all(events: list[anyio.Event], seconds: float) -> None:
    with anyio.move_on_after(seconds):
        for event in events:
            await event.wait()


async def _ring(client: AsyncClient, bell: Bell, ears: list[Ear]) -> None:
    """Insert a job and delete it: the deletion is what is listened for, because it is told by its id."""
    jobs = client.table("scheduled_jobs")
    row = {"job_id": f"doctor-{uuid.uuid4()}", "run_date": FAR, "status": "paused"}
    try:
        inserted: Any = (await jobs.insert({**row, "handler": await _some_handler(client)}).execute()).data
    except APIError as fault:
        for ear in ears:
            ear.failed(f"no job could be inserted: {fault.message}")
        return
    bell.job, bell.rung_at = inserted[0]["id"], anyio.current_time()
    await jobs.delete().eq("id", bell.job).execute()
    await _wait_for_all([ear.heard for ear in ears], HEAR_SECONDS)
