"""A stock client receives what its token may see, through commits, policies and expiring connections."""

from __future__ import annotations

import asyncio  # noqa: TID251 - realtime-py calls back on asyncio's loop
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from patience import PATIENCE_SECONDS
from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.stack

# ruff: noqa: S608 - statements of constants

A, B = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
EVERY = RealtimePostgresChangesListenEvent.All


class Ear:
    """A subscribed client and what it has heard."""

    def __init__(self, client: AsyncRealtimeClient) -> None:
        self.client, self.heard, self.systems = client, asyncio.Queue[Any](), asyncio.Queue[Any]()

    async def next(self) -> dict[str, Any]:
        """Return the next change, as (type, record, old record)."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            change = (await self.heard.get())["data"]
        return {"type": change["type"].value, "new": change.get("record"), "old": change.get("old_record")}

    async def silent(self) -> bool:
        """Return whether nothing comes for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.15):
                await self.heard.get()
                return False
        return True


@contextlib.asynccontextmanager
async def listening(server: Any, token: str, table: str, **binding: str) -> AsyncIterator[Ear]:
    """Give a client once its subscription works."""
    ear = Ear(AsyncRealtimeClient(server.url("/realtime/v1").replace("http", "ws"), token=token))
    await ear.client.connect()
    channel = ear.client.channel(f"test-{table}")
    channel.on_postgres_changes(EVERY, ear.heard.put_nowait, table=table, schema="public", **binding)
    channel.on_system(ear.systems.put_nowait)
    await channel.subscribe()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ear.systems.get()
    try:
        yield ear
    finally:
        await ear.client.close()


async def test_each_user_hears_of_their_own_rows_alone(realtime: Any, sign: Callable[..., str]) -> None:
    """INSERT and UPDATE reach the row's owner; a DELETE reaches everybody, with the key and nothing else."""
    async with (
        listening(realtime, sign("authenticated", sub=A), "owned_jobs") as a,
        listening(realtime, sign("authenticated", sub=B), "owned_jobs") as b,
        listening(realtime, sign("service_role"), "owned_jobs") as service,
    ):
        realtime.sql(f"insert into owned_jobs (owner, status, secret) values ('{A}', 's', 'x')")
        row = {"id": 1, "owner": A, "status": "s", "secret": "x"}
        assert await a.next() == await service.next() == {"type": "INSERT", "new": row, "old": None}
        realtime.sql("update owned_jobs set status = 't'")
        changed = {"type": "UPDATE", "new": {**row, "status": "t"}, "old": row}
        assert await a.next() == await service.next() == changed
        assert await b.silent()
        realtime.sql("delete from owned_jobs")
        gone = {"type": "DELETE", "new": None, "old": {"id": 1}}
        assert [await ear.next() for ear in (a, b, service)] == [gone] * 3


async def test_a_row_is_never_missed_for_being_asked_about_too_early(realtime: Any, sign: Callable[..., str]) -> None:
    """WAL reports a commit before other sessions see it; the policy's look at the row waits for that moment."""
    async with listening(realtime, sign("authenticated", sub=A), "owned_jobs") as a:
        for number in range(1, 151):
            realtime.sql(f"insert into owned_jobs (owner, status) values ('{A}', 's')")
            assert (await a.next())["new"]["id"] == number


async def test_a_subscriber_whose_claims_make_a_policy_raise_harms_itself_alone(
    realtime: Any, sign: Callable[..., str]
) -> None:
    """The real server went silent for everybody (e3_poison_rls_error); that fault is not copied, it is warned of."""
    async with (
        listening(realtime, sign("authenticated", sub="not-a-uuid"), "owned_jobs") as poison,
        listening(realtime, sign("authenticated", sub=A), "owned_jobs") as a,
        listening(realtime, sign("service_role"), "scheduled_jobs") as other,
    ):
        for _ in range(2):
            realtime.sql(f"insert into owned_jobs (owner, status) values ('{A}', 's')")
            assert (await a.next())["new"]["owner"] == A
        realtime.sql("insert into scheduled_jobs (status) values ('s')")
        assert (await other.next())["new"]["status"] == "s"
        assert await poison.silent()
    [warning] = [line for line in realtime.log.read_text().splitlines() if "policy_raised" in line]
    assert "owned_jobs" in warning
    assert "not-a-uuid" in warning


async def test_an_oversize_row_arrives_without_its_long_columns(realtime: Any, sign: Callable[..., str]) -> None:
    """Over 1 MiB of decoded text: the error 413, and only columns of at most 64 bytes that are not null."""
    async with listening(realtime, sign("service_role"), "def_jobs") as ear:
        realtime.sql("insert into def_jobs (status, big) values ('s', repeat('x', 1100000))")
        async with asyncio.timeout(PATIENCE_SECONDS):
            change = (await ear.heard.get())["data"]
        assert change["errors"] == ["Error 413: Payload Too Large"]
        assert change["record"] == {"id": 1, "status": "s"}


async def test_an_unchanged_toasted_value_comes_from_the_old_row_or_not_at_all(
    realtime: Any, sign: Callable[..., str]
) -> None:
    """With replica identity full the record is whole; by default it lacks what was not written."""
    big = "(select string_agg(md5(i::text), '') from generate_series(1, 400) i)"
    async with listening(realtime, sign("service_role"), "def_jobs") as ear:
        realtime.sql(f"insert into def_jobs (status, big) values ('s', {big})")
        value = (await ear.next())["new"]["big"]
        realtime.sql("update def_jobs set status = 't'")
        assert "big" not in (await ear.next())["new"]
        realtime.sql("alter table def_jobs replica identity full; update def_jobs set status = 'u'")
        assert (await ear.next())["new"]["big"] == value


async def test_a_table_published_later_is_heard_by_those_who_listen_to_every_table(
    realtime: Any, sign: Callable[..., str]
) -> None:
    """The publication is not read once: it decides change by change."""
    async with listening(realtime, sign("service_role"), "*") as ear:
        realtime.sql("insert into not_published (name) values ('a')")
        realtime.sql("alter publication supabase_realtime add table not_published")
        realtime.sql("insert into not_published (name) values ('b')")
        assert (await ear.next())["new"]["name"] == "b"


async def test_a_filter_on_text_finds_its_rows_among_many(realtime: Any, sign: Callable[..., str]) -> None:
    """Only rows that no binding wants are dropped before they are parsed."""
    async with listening(realtime, sign("service_role"), "scheduled_jobs", filter='status=in.(ü,"a,b","")') as ear:
        realtime.sql("insert into scheduled_jobs (status, job_id) select 'x', 'ü' from generate_series(1, 500)")
        realtime.sql("insert into scheduled_jobs (status) values ('a,b'), ('ü'), ('aü'), ('')")
        assert [(await ear.next())["new"]["status"] for _ in range(3)] == ["a,b", "ü", ""]
        assert await ear.silent()


async def test_a_table_altered_within_a_transaction_is_read_in_each_of_its_shapes(
    realtime: Any, sign: Callable[..., str]
) -> None:
    """Filters and records follow the columns, not their positions."""
    async with listening(realtime, sign("service_role"), "other_jobs", filter="payload=eq.p") as ear:
        insert = "insert into other_jobs (status, payload) values ('s', 'p'), ('p', 's')"
        realtime.sql(f"{insert}; alter table other_jobs drop column name, add column more int default 7; {insert}")
        rows = [(await ear.next())["new"] for _ in range(2)]
        assert rows[0] == {"id": 1, "status": "s", "payload": "p"}
        assert rows[1] == {"id": 3, "status": "s", "payload": "p", "more": 7}
        assert await ear.silent()


async def test_changes_of_one_transaction_come_in_their_order(realtime: Any, sign: Callable[..., str]) -> None:
    """Also when it is longer than one batch."""
    async with listening(realtime, sign("service_role"), "scheduled_jobs") as ear:
        realtime.sql("insert into scheduled_jobs (status) select 's' from generate_series(1, 1234)")
        assert [(await ear.next())["new"]["id"] for _ in range(1234)] == list(range(1, 1235))
