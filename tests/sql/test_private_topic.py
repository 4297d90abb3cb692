"""Nobody joins the listeners' topic or sends to it, whatever a project's policies allow; other topics stay open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import psycopg
import pytest
from patience import PATIENCE_SECONDS
from realtime import RealtimeSubscribeStates
from supabase import AsyncClientOptions, acreate_client

from listener.doctor.topic import judge_topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listener.local.stack import Stack

RIGHTS = "select * from realtime.local_topic_rights(%s, %s, %s)"
ALL, NONE = (True,) * 4, (False,) * 4


@pytest.fixture
def blanket(embedded_stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    """A project that lets everybody into every private topic; the connection may do everything."""
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as connection:
        connection.execute(
            "create policy anything on realtime.messages for all to public using (true) with check (true)"
        )
        try:
            yield connection
        finally:
            connection.execute("drop policy anything on realtime.messages")


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_a_blanket_policy_opens_every_topic_but_ours(blanket: psycopg.Connection[Any], role: str):
    """For reading and for writing, broadcast and presence."""
    claims = f'{{"role": "{role}"}}'
    assert blanket.execute(RIGHTS, ["job_scheduler", role, claims]).fetchone() == NONE
    assert blanket.execute(RIGHTS, ["room:1", role, claims]).fetchone() == ALL


def test_the_service_joins_it(blanket: psycopg.Connection[Any]):
    """And the database sends to it, as every test of the channels shows."""
    claims = '{"role": "service_role"}'
    assert blanket.execute(RIGHTS, ["job_scheduler", "service_role", claims]).fetchone() == ALL


async def test_a_stock_client_is_refused_and_may_join_its_own_topic(blanket, embedded_stack: Stack):
    """With a user's token, on the real way."""
    client = await acreate_client(
        embedded_stack.url, embedded_stack.anon_key, AsyncClientOptions(auto_refresh_token=False)
    )
    await client.realtime.set_auth(embedded_stack.user_token("alice"))

    async def join(topic: str) -> RealtimeSubscribeStates:
        states, reported = [], anyio.Event()

        def follow(state: RealtimeSubscribeStates, _: Exception | None) -> None:
            states.append(state)
            reported.set()

        channel = client.channel(topic, {"config": {"private": True, "broadcast": {"ack": False, "self": False}}})
        await channel.subscribe(follow)
        with anyio.fail_after(PATIENCE_SECONDS):
            await reported.wait()
        return states[0]

    try:
        assert await join("room:1") is RealtimeSubscribeStates.SUBSCRIBED
        assert await join("job_scheduler") is not RealtimeSubscribeStates.SUBSCRIBED
    finally:
        await client.realtime.close()


def test_the_doctor_learns_of_policies_that_hold_for_every_topic(blanket: psycopg.Connection[Any]):
    """By name; one that names its topics is none of them."""
    blanket.execute("create policy narrow on realtime.messages for select using (realtime.topic() = 'room:1')")
    try:
        (answer,) = blanket.execute("select public.examine_topic_v1('{}')").fetchone()
    finally:
        blanket.execute("drop policy narrow on realtime.messages")
    assert (answer["guarded"], answer["blanket"]) == (True, ["anything"])
    guarded, wide = judge_topic(answer)
    assert guarded.is_well
    assert (wide.is_well, wide.what) == (False, "hold for every private topic of this project: anything")
    (unguarded,) = judge_topic({"guarded": False, "blanket": []})
    assert "guard_topic()" in unguarded.fix


def test_where_the_policies_cannot_be_made_the_migration_goes_on(blanket: psycopg.Connection[Any]):
    """A warning says so."""
    notices: list[str] = []
    blanket.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    with blanket.transaction(force_rollback=True):
        blanket.execute("create role a_stranger")
        blanket.execute("grant usage on schema job_scheduler, realtime to a_stranger")
        blanket.execute("grant execute on function job_scheduler.guard_topic() to a_stranger")
        blanket.execute("set local role a_stranger")
        blanket.execute("select job_scheduler.guard_topic()")
    assert any("guard_topic" in notice for notice in notices)
