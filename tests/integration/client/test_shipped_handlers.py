"""The jobs of a hand-written scheduler class run on the handlers that ship."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute
from child_listener import listeners_on
from http_endpoint import Endpoint
from mail_server import Inbox, serving
from patience import PATIENCE_SECONDS
from realtime import RealtimePostgresChangesListenEvent
from supabase import AsyncClientOptions, acreate_client

from listener.client import AsyncSupabaseJobScheduler, JobType, TriggerType
from listener.local.keys import user_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from supabase import AsyncClient

    from listener.client import Job
    from listener.local.stack import Stack

EVERY = RealtimePostgresChangesListenEvent.All


@pytest.fixture
async def provider() -> AsyncIterator[Endpoint]:
    """Serve a provider of text messages."""
    served = Endpoint(status=201, body=b'{"sid": "SM1", "status": "queued"}')
    sockets = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with sockets, anyio.create_task_group() as group:
        served.url = f"http://AC1:token@127.0.0.1:{sockets.extra_attributes[SocketAttribute.local_port]()}"
        group.start_soon(sockets.serve, served.serve)
        yield served
        group.cancel_scope.cancel()


@pytest.fixture
async def scheduler(
    stack: Stack, provider: Endpoint, inbox: Inbox, tmp_path: Path
) -> AsyncIterator[AsyncSupabaseJobScheduler]:
    """Give a scheduler beside a listener that has nothing but the shipped handlers, a mail server and a provider."""
    with serving(inbox) as address, listeners_on(stack, tmp_path, tmp_path) as listeners:
        child = await anyio.to_thread.run_sync(
            lambda: listeners.start(handlers="handlers", smtp_url=f"smtp://{address}", sms_url=provider.url)
        )
        assert child.ready()
        async with AsyncSupabaseJobScheduler(url=stack.url, key=stack.service_key) as scheduler:
            yield scheduler


@pytest.fixture
def inbox() -> Inbox:
    """Give what the mail server keeps."""
    return Inbox()


async def ended(scheduler: AsyncSupabaseJobScheduler, job: Job) -> Job:
    """Wait until a job has ended."""
    with anyio.fail_after(PATIENCE_SECONDS):
        async for _ in scheduler.watch(job):
            pass
    return await scheduler.get_job(job.id)


async def test_each_kind_of_job_does_its_work(scheduler, inbox, provider):
    """Reminders, e-mail, text messages, and functions once and again and again."""
    soon = datetime.now(UTC) + timedelta(minutes=15, seconds=1)  # noqa: TID251 - as an application would
    reminder = await scheduler.schedule_reminder(
        event_id="123", event_time=soon, minutes_before=15, message="Soon!", email="ada@example.com", phone="+15550100"
    )
    mail = await scheduler.schedule_one_time_job(
        job_type=JobType.EMAIL, to="bob@example.com", subject="Report", text="It is there."
    )
    text = await scheduler.schedule_one_time_job(job_type=JobType.SMS, to="+15550101", message="Your table is ready.")
    once = await scheduler.schedule_one_time_job(func="log", message="once")
    again = await scheduler.schedule_recurring(
        func="log", trigger_type=TriggerType.INTERVAL, seconds=1, max_runs=2, message="again"
    )
    for job in (reminder, mail, text, once, again):
        assert (await ended(scheduler, job)).status == "completed", job.handler
    assert sorted(message["Subject"] for _, message in inbox.mails) == ["Reminder", "Report"]
    assert len(provider.requests) == 2
    assert (await scheduler.get_job(again.id)).successful_runs == 2


@dataclass
class Reader:
    """A signed-in user with a stock client, and the changes of notifications that reach it."""

    client: AsyncClient
    changes: list[dict[str, Any]] = field(default_factory=list)
    news: anyio.Event = field(default_factory=anyio.Event)

    def take(self, message: dict[str, Any]) -> None:
        """Take a message of Realtime."""
        self.changes.append(message["data"])
        self.news.set()

    async def receives(self, count: int) -> dict[str, Any]:
        """Wait until so many changes are there; give the last one's row."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while len(self.changes) < count:
                self.news = anyio.Event()
                await self.news.wait()
        return self.changes[-1]["record"]


@asynccontextmanager
async def reading(stack: Stack, user: str) -> AsyncIterator[Reader]:
    """Let a user watch notifications, without a filter."""
    async with httpx.AsyncClient() as connections:
        options = AsyncClientOptions(auto_refresh_token=False, httpx_client=connections)
        client = await acreate_client(stack.url, stack.anon_key, options)
        client.postgrest.auth(stack.user_token(user))
        await client.realtime.set_auth(stack.user_token(user))
        reader, ready = Reader(client), anyio.Event()
        channel = client.channel("notifications")
        channel.on_postgres_changes(EVERY, reader.take, table="job_notifications", schema="public")
        channel.on_system(lambda _: ready.set())
        await channel.subscribe()
        with anyio.fail_after(PATIENCE_SECONDS):
            await ready.wait()
        yield reader
        await client.realtime.close()


async def test_a_notification_reaches_its_recipient_alone_who_marks_it_as_read(scheduler, stack):
    """As a browser would watch it."""
    async with reading(stack, "ada") as ada, reading(stack, "eve") as eve:
        job = await scheduler.schedule_notification(user_id("ada"), "Your report is there.", title="Report")
        row = await ada.receives(1)
        assert (row["title"], row["message"], row["read_at"]) == ("Report", "Your report is there.", None)
        table = ada.client.table("job_notifications")
        await table.update({"read_at": "2030-01-01Z"}).eq("id", row["id"]).execute()
        assert (await ada.receives(2))["read_at"].startswith("2030-01-01")
        assert (await eve.client.table("job_notifications").select("*").execute()).data == []
        assert eve.changes == []
        assert (await ended(scheduler, job)).status == "completed"
