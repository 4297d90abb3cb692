"""Checks the notification channels: inserts a job that is due in a thousand years, deletes it, and awaits the hint."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any, Final

import anyio
from postgrest.exceptions import APIError
from realtime import RealtimePostgresChangesListenEvent, RealtimeSubscribeStates

from listener.clock import DatabaseClock
from listener.doctor.finding import Finding
from listener.domain.messages import NOTIFY
from listener.errors import SessionEndedError
from listener.supabase.client import make_client
from listener.supabase.hints import PROBE
from listener.supabase.rpc import Rpc
from listener.supabase.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from supabase import AsyncClient

    from listener.domain.messages import Hint
    from listener.settings import Settings
    from listener.supabase.watched_session import WatchableSession

SETTLE_SECONDS, RECEIVE_SECONDS = 15.0, 5.0
SHOWN_CHARACTERS = 300
FAR = "2999-12-31T00:00:00Z"
CLIENTS = "clients"
SUBJECTS: Final = {
    NOTIFY: "channel notify",
    "broadcast": "channel broadcast",
    "postgres_changes": "channel postgres_changes",
    CLIENTS: "clients' subscription",
}
FIXES: Final = {
    NOTIFY: "LISTENER_DATABASE_URL should lead to the database of SUPABASE_URL, directly or through its session pooler",
    "broadcast": "this project's Realtime may lack broadcasts from the database: LISTENER_CHANNELS=postgres_changes",
    "postgres_changes": "alter publication supabase_realtime add table job_scheduler.signals; and look whether Realtime"
    " is enabled in the project's settings",
    CLIENTS: "alter publication supabase_realtime add table public.scheduled_jobs",
}


class Receiver:
    """A receiver of one channel: its subscription, the fault of it, and the seconds until it received the deletion."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.settled, self.received = anyio.Event(), anyio.Event()
        self.is_subscribed = False
        self.why_not = ""
        self.seconds: float | None = None

    def subscribed(self, _: object = None) -> None:
        """Note that the server confirmed the subscription."""
        self.is_subscribed = True
        self.settled.set()

    def failed(self, why: object) -> None:
        """Note that this receiver will receive nothing."""
        self.why_not = self.why_not or f": {why}"[:SHOWN_CHARACTERS]
        self.is_subscribed = False
        self.settled.set()

    def finding(self) -> Finding:
        """Return the finding on this channel."""
        subject = SUBJECTS[self.name]
        if self.seconds is not None:
            return Finding(subject, f"received after {self.seconds * 1000:.0f} ms")
        what = "subscribed, but not received" if self.is_subscribed else f"no subscription{self.why_not}"
        return Finding(subject, what, FIXES[self.name])


class RoundTrip:
    """The job of the check; notes which receiver received its deletion."""

    def __init__(self) -> None:
        self.job = 0
        self.deleted_at = 0.0
        self.is_muted = False

    def hint_for(self, receiver: Receiver) -> Callable[[Hint], None]:
        """Return a callback for the hints of a listener's session."""

        def take_hint(hint: Hint) -> None:
            if self.is_muted and hint.table == PROBE:
                self._note(receiver, {self.job})
            self._note(receiver, {*hint.gone, *(job.id for job in hint.jobs)})

        return take_hint

    def change_for(self, receiver: Receiver) -> Callable[[Any], None]:
        """Return a callback for the changes of a client."""

        def take_hint(change: Any) -> None:  # noqa: ANN401 - realtime-py's payload
            rows = change["data"].get("record"), change["data"].get("old_record")
            self._note(receiver, {row.get("id") for row in rows if row})

        return take_hint

    def _note(self, receiver: Receiver, jobs: set[int]) -> None:
        if self.job in jobs and not receiver.received.is_set():
            receiver.seconds = anyio.current_time() - self.deleted_at
            receiver.received.set()


async def examine_channels(settings: Settings) -> AsyncIterator[Finding]:
    """Subscribe as a listener and as a client do, change a job, and report which channels delivered the change."""
    trip, receivers = RoundTrip(), [Receiver(name) for name in (*settings.channels, CLIENTS)]
    client = make_client(settings.url, settings.secret_key.get_secret_value())
    async with anyio.create_task_group() as tasks:
        for receiver in receivers[:-1]:
            tasks.start_soon(_receive, settings, trip, receiver)
        await _watch(client, trip, receivers[-1])
        await _wait_for_all([receiver.settled for receiver in receivers], SETTLE_SECONDS)
        await _change_a_job(client, trip, [receiver for receiver in receivers if receiver.is_subscribed])
        tasks.cancel_scope.cancel()
    with anyio.move_on_after(1):
        await client.realtime.close()
    await client.postgrest.aclose()
    for receiver in receivers:
        yield receiver.finding()


async def _receive(settings: Settings, trip: RoundTrip, receiver: Receiver) -> None:
    """Run a listener's session with one channel only: a fault of the other one must not end it."""
    key = settings.secret_key.get_secret_value()
    rpc = Rpc(settings.url, key, DatabaseClock())
    session: WatchableSession
    if receiver.name == NOTIFY and settings.database_url is not None:
        session = _notify_session(settings.database_url.get_secret_value(), rpc, trip, receiver)
    else:
        session = Session(settings.url, key, trip.hint_for(receiver), receiver.subscribed)
    try:
        await session.live((receiver.name,), SETTLE_SECONDS)
    except SessionEndedError as ended:
        receiver.failed(ended)
    finally:
        await session.close()
        await rpc.aclose()


def _notify_session(url: str, rpc: Rpc, trip: RoundTrip, receiver: Receiver) -> WatchableSession:
    from listener.postgres.notify_session import NotifySession  # noqa: PLC0415 - psycopg is loaded where it is used

    async def request(seconds: float) -> bool:
        return bool((await rpc.call("listen_v1", {"seconds": seconds}, "was_on"))["was_on"])

    return NotifySession(url, request, trip.hint_for(receiver), receiver.subscribed)


async def _watch(client: AsyncClient, trip: RoundTrip, receiver: Receiver) -> None:
    """Subscribe as a client that watches its jobs."""

    def follow(state: RealtimeSubscribeStates, fault: Exception | None) -> None:
        if state is not RealtimeSubscribeStates.SUBSCRIBED:
            receiver.failed(f"{state.value} {fault or ''}")

    every = RealtimePostgresChangesListenEvent.All
    channel = client.channel(f"doctor-{uuid.uuid4()}")
    channel.on_postgres_changes(every, trip.change_for(receiver), schema="public", table="scheduled_jobs")
    channel.on_system(receiver.subscribed)
    try:
        await channel.subscribe(follow)
    except Exception as fault:  # noqa: BLE001 - the client raises what the socket, TLS and HTTP layers raise
        receiver.failed(f"{type(fault).__name__}: {fault}")


async def _some_handler(client: AsyncClient) -> str:
    """Return the name of a handler that takes a job without a payload; the job never runs."""
    rows: Any = (await client.table("job_handlers").select("name,payload_schema").execute()).data
    return next((row["name"] for row in rows if not row["payload_schema"].get("required")), "noop")


async def _wait_for_all(events: list[anyio.Event], seconds: float) -> None:
    with anyio.move_on_after(seconds):
        for event in events:
            await event.wait()


async def _change_a_job(client: AsyncClient, trip: RoundTrip, receivers: list[Receiver]) -> None:
    """Insert a job and delete it: receivers wait for the deletion, because every channel names it by the job's id."""
    jobs = client.table("scheduled_jobs")
    row = {"job_id": f"doctor-{uuid.uuid4()}", "run_date": FAR, "status": "paused"}
    try:
        inserted: Any = (await jobs.insert({**row, "handler": await _some_handler(client)}).execute()).data
    except APIError as fault:
        for receiver in receivers:
            receiver.failed(f"no job could be inserted: {fault.message}")
        return
    trip.job, trip.deleted_at = inserted[0]["id"], anyio.current_time()
    await jobs.delete().eq("id", trip.job).execute()
    await _probe_if_muted(client, trip)
    await _wait_for_all([receiver.received for receiver in receivers], RECEIVE_SECONDS)


async def _probe_if_muted(client: AsyncClient, trip: RoundTrip) -> None:
    """While so much changes that notifications are muted, only a probe goes through the listeners' channels."""
    with contextlib.suppress(APIError):  # the finding on migrations names a function that is not there
        answer: Any = (await client.rpc("mute_v1", {"request": {"seconds": 0}}).execute()).data
        if answer["muted_until"] is not None:
            trip.is_muted = True
            await client.rpc("send_probe_v1", {"request": {}}).execute()
