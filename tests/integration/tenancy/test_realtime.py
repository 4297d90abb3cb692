"""Each client receives through Realtime the rows that the REST API shows it."""

from __future__ import annotations

import asyncio  # noqa: TID251 - supabase-py calls back on asyncio's loop
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from cast import ROLES
from patience import PATIENCE_SECONDS
from realtime import RealtimePostgresChangesListenEvent
from supabase import AsyncClientOptions, acreate_client

from listener.local.keys import user_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cast import Tenancy

    from listener.local.stack import Stack

TABLES = ("scheduled_jobs", "meetings", "job_alerts")
CHANGE = {"scheduled_jobs": "name", "meetings": "title", "job_alerts": "message"}
HEARS = {"private": {"owner", "service"}, "workspace": {"viewer", "editor", "admin", "service"}}


@dataclass
class Receiver:
    """The messages that one client has received, in their order."""

    role: str
    received: list[dict[str, Any]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def take_hint(self, message: Any) -> None:
        """Take a message of Realtime."""
        self.received.append(message["data"])
        self.news.set()

    def reported(self) -> list[tuple[str, str, str]]:
        """Give event, table and key of each message."""
        return [
            (change["type"].value, change["table"], str((change.get("record") or change["old_record"])["id"]))
            for change in self.received
        ]

    async def until(self, event: tuple[str, str, str]) -> None:
        """Wait until it has been received."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while event not in self.reported():
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def listening(stack: Stack, role: str) -> AsyncIterator[Receiver]:
    """Subscribe to all tables as this role, without a filter."""
    key = stack.service_key if role == "service" else stack.anon_key
    client = await acreate_client(stack.url, key, AsyncClientOptions(auto_refresh_token=False))
    await client.realtime.set_auth(key if role in {"anon", "service"} else stack.user_token(role))
    receiver, ready = Receiver(role), asyncio.Event()
    channel = client.channel(f"receivers-of-{role}")
    for table in TABLES:
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.All, receiver.take_hint, table=table, schema="public"
        )
    channel.on_system(lambda _: ready.set())
    await channel.subscribe()
    with anyio.fail_after(PATIENCE_SECONDS):
        await ready.wait()
    try:
        yield receiver
    finally:
        await client.realtime.close()


@pytest.fixture
async def receivers(embedded_stack: Stack, tenancy: Tenancy) -> AsyncIterator[dict[str, Receiver]]:
    """Let everybody who has a right to anything listen."""
    async with AsyncExitStack() as clients:
        yield {
            role: await clients.enter_async_context(listening(embedded_stack, role)) for role in ROLES if role != "anon"
        }


def insert(tenancy: Tenancy, table: str, kind: str) -> str:
    """Insert a row; give its key."""
    if table == "scheduled_jobs":
        return str(tenancy.job(kind))
    if table == "job_alerts":
        rule = tenancy.add("job_alert_rules", condition="failed", **tenancy.owned(kind))
        return str(tenancy.add(table, rule_id=rule, condition="failed", subject="all", **tenancy.owned(kind)))
    return str(tenancy.add("meetings", end_time="2099-01-01Z", **tenancy.owned(kind)))


async def everybody_receives(tenancy: Tenancy, receivers: dict[str, Receiver]) -> None:
    """Return when everybody has received all that was written so far: a delete goes to all, in order."""
    last = insert(tenancy, "scheduled_jobs", "private")
    tenancy.database.execute("delete from public.scheduled_jobs where id = %s", [last])
    for receiver in receivers.values():
        await receiver.until(("DELETE", "scheduled_jobs", last))


@pytest.mark.parametrize("kind", HEARS)
@pytest.mark.parametrize("table", TABLES)
async def test_inserts_and_updates_are_heard_by_whoever_may_select_the_row(
    tenancy: Tenancy, receivers: dict[str, Receiver], table: str, kind: str
):
    """And deletes by everybody, with the key alone."""
    row = insert(tenancy, table, kind)
    await receivers["service"].until(
        ("INSERT", table, row)
    )  # policies look at rows as they are now: one step at a time
    query = f"update public.{table} set {CHANGE[table]} = 'changed' where id = %s"  # noqa: S608 - the names are ours
    tenancy.database.execute(query, [row])
    await receivers["service"].until(("UPDATE", table, row))
    await everybody_receives(tenancy, receivers)
    for role, receiver in receivers.items():
        events = [event for event, _, key in receiver.reported() if key == row]
        assert events == (["INSERT", "UPDATE"] if role in HEARS[kind] else []), role
    tenancy.database.execute(f"delete from public.{table} where id = %s", [row])  # noqa: S608 - the names are ours
    await everybody_receives(tenancy, receivers)
    for receiver in receivers.values():
        (deleted,) = (
            change
            for change, reported in zip(receiver.received, receiver.reported(), strict=True)
            if reported == ("DELETE", table, row)
        )
        assert deleted["old_record"] == {"id": int(row) if table == "scheduled_jobs" else row}
        assert not deleted.get("record")


async def test_a_removed_member_hears_no_more(tenancy: Tenancy, receivers: dict[str, Receiver]):
    """From the next change on, without a new subscription; and a new member receives at once."""
    row = insert(tenancy, "scheduled_jobs", "workspace")
    await receivers["viewer"].until(("INSERT", "scheduled_jobs", row))
    tenancy.database.execute(
        "update public.job_workspace_members set user_id = %s where workspace_id = %s and user_id = %s",
        [user_id("stranger"), tenancy.workspace, user_id("viewer")],
    )
    tenancy.database.execute("update public.scheduled_jobs set name = 'changed' where id = %s", [row])
    await receivers["stranger"].until(("UPDATE", "scheduled_jobs", row))
    await everybody_receives(tenancy, receivers)
    assert [event for event, _, key in receivers["viewer"].reported() if key == row] == ["INSERT"]


async def test_nobody_without_a_token_hears_what_is_in_a_row(
    embedded_stack: Stack, tenancy: Tenancy, receivers: dict[str, Receiver]
):
    """The public key alone gets no value of any column."""
    async with listening(embedded_stack, "anon") as anon:
        row = insert(tenancy, "scheduled_jobs", "workspace")
        await receivers["service"].until(("INSERT", "scheduled_jobs", row))
        await everybody_receives(tenancy, receivers)
        assert [change for change in anon.received if change.get("record") or change.get("old_record")] == []
