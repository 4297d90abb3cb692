"""PostgreSQL decodes and sends the tables that a subscription names, and those alone."""

from __future__ import annotations

import asyncio  # noqa: TID251 - aiohttp's
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from patience import until
from psycopg.conninfo import make_conninfo
from real_frames import Clients, clients_of

from listener.local.realtime import pgoutput
from listener.local.realtime.replication import PUBLICATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.stack

TABLES = """
    drop publication if exists supabase_realtime;
    drop schema if exists other cascade;
    drop table if exists jobs, held, plain, leaves, child;
    create schema other;
    create table jobs (id bigint generated always as identity primary key, status text, secret text);
    create table held (like jobs including all);
    create table plain (like jobs including all);
    create table leaves (id bigint, primary key (id)) partition by range (id);
    create table leaf partition of leaves for values from (0) to (10);
    create table child (primary key (id)) inherits (plain);
    create table other.jobs (like jobs including all);
    alter table jobs replica identity full;
    grant usage on schema other to service_role;
    grant select on all tables in schema public, other to service_role;
    create publication supabase_realtime for table jobs, held;
    alter table jobs owner to postgres;
    alter publication supabase_realtime owner to postgres;
"""
EVERYTHING = '[["*", "*"]]'
SENT = "select format('%I.%I', schemaname, tablename) from pg_publication_tables where pubname = 'realtime_subscribed'"
STREAM = """
    select data from pg_logical_slot_get_binary_changes(
        'beside', null, null, 'proto_version', '1', 'publication_names', %s
    )
"""
"""The messages of a stream as the server's."""


@pytest.fixture(scope="module")
def lone(realtime_database: str, start_realtime: Callable[..., Any]) -> Any:
    """Run a server on a database that no other server streams from, which looks often at what is used."""
    with psycopg.connect(realtime_database, autocommit=True) as connection:
        connection.execute("create database subscribed_tables")
    dsn = make_conninfo(realtime_database, dbname="subscribed_tables")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(files("listener.local").joinpath("bootstrap.sql").read_bytes())
    return start_realtime("--tables-check-seconds", "0.2", dsn=dsn)


@pytest.fixture
def server(lone: Any) -> Any:
    """Give that server with new tables, after the subscriptions of other tests have gone."""
    lone.sql(TABLES)
    until(lambda: not sent(lone), "no table is sent")
    return lone


@pytest.fixture
async def clients(server: Any) -> AsyncIterator[Clients]:
    """Give clients of the server, by name."""
    async with clients_of(server) as clients:
        yield clients


@pytest.fixture
def sql(server: Any) -> Iterator[psycopg.Connection]:
    """Give a session whose transactions the test commits."""
    with psycopg.connect(server.dsn) as connection:
        yield connection
        connection.rollback()


def sent(server: Any) -> set[str]:
    """Return the tables whose rows PostgreSQL sends."""
    with psycopg.connect(server.dsn) as connection:
        return {name for (name,) in connection.execute(SENT)}


async def sends(server: Any, *tables: str) -> None:
    """Wait until these tables are sent, and no others."""
    await asyncio.to_thread(until, lambda: sent(server) == set(tables), f"{tables} are sent")


async def join(clients: Clients, name: str, table: str, schema: str = "public") -> None:
    """Have a new client ask for a table."""
    await clients.connect(name)
    binding = {"event": "*", "schema": schema, "table": table}
    await clients.push(name, table, "phx_join", {"config": {"postgres_changes": [binding]}}, "1")


async def subscribe(clients: Clients, name: str, table: str, schema: str = "public") -> None:
    """Have a new client subscribe to a table."""
    await join(clients, name, table, schema)
    await subscribed(clients, name)


def systems(clients: Clients, name: str) -> list[str]:
    """Return what the server has reported to a client."""
    frames = [json.loads(text) for text in clients.received[name]]
    return [frame["payload"]["message"] for frame in frames if frame["event"] == "system"]


async def subscribed(clients: Clients, name: str) -> None:
    """Wait until a client is subscribed."""
    await asyncio.to_thread(until, lambda: systems(clients, name), f"{name} is subscribed")
    assert systems(clients, name)[0] == "Subscribed to PostgreSQL"


def records(clients: Clients, name: str) -> list[dict[str, Any]]:
    """Return the rows that a client has received."""
    frames = [json.loads(text) for text in clients.received[name]]
    return [frame["payload"]["data"]["record"] for frame in frames if frame["event"] == "postgres_changes"]


async def receives(clients: Clients, name: str, *statuses: str) -> None:
    """Wait until a client has received rows of these statuses; it gets no others before the last of them."""
    await asyncio.to_thread(until, lambda: len(records(clients, name)) >= len(statuses), f"{name} receives {statuses}")
    assert [record["status"] for record in records(clients, name)] == [*statuses]


def test_a_table_that_nobody_names_is_not_decoded(server: Any, sql: psycopg.Connection) -> None:
    """The stream has a broadcast made meanwhile, and nothing else."""
    sql.autocommit = True
    sql.execute("select pg_create_logical_replication_slot('beside', 'pgoutput', temporary => true)")
    sql.execute("insert into jobs (status) select 'new' from generate_series(1, 100)")
    sql.execute("""select realtime.send('{}', 'event', 'topic', false)""")
    messages = [message for (message,) in sql.execute(STREAM, (PUBLICATIONS,))]
    tables = [pgoutput.relation(message).table for message in messages if message.startswith(b"R")]
    assert tables == ["messages"]
    assert sum(message[0] in pgoutput.EVENTS for message in messages) == 1


async def test_a_table_is_sent_from_its_first_subscriber_on_until_the_last_has_left(
    server: Any, clients: Clients
) -> None:
    """The next row after "Subscribed" comes, and so do a second subscriber's; of another table nothing does."""
    await subscribe(clients, "one", "jobs")
    await clients.sql("insert into jobs (status) values ('a')")
    await receives(clients, "one", "a")
    assert sent(server) == {"public.jobs"}
    await subscribe(clients, "two", "jobs")
    await clients.sql("insert into jobs (status) values ('b')")
    await clients.leave("one")
    await receives(clients, "two", "b")
    await subscribe(clients, "three", "held")  # long enough for the server to look at what is used
    await sends(server, "public.jobs", "public.held")
    await clients.leave("two")
    await sends(server, "public.held")
    await subscribe(clients, "four", "jobs")
    await clients.sql("insert into jobs (status) values ('c')")
    await receives(clients, "four", "c")


async def test_a_first_subscriber_does_not_have_postgrest_read_the_schema(
    server: Any, clients: Clients, sql: psycopg.Connection
) -> None:
    """Its change of the publication is not reported as the user's DDL."""
    sql.autocommit = True
    await clients.sql("create or replace function pg_temp.nothing() returns void language sql as ''")
    sql.execute("listen pgrst")
    await subscribe(clients, "one", "jobs")
    await clients.sql("notify pgrst, 'the last'")
    payloads = await asyncio.to_thread(lambda: [notice.payload for notice in sql.notifies(timeout=20, stop_after=1)])
    assert payloads == ["the last"]


async def test_a_transaction_older_than_the_first_subscription_is_waited_for(
    clients: Clients, sql: psycopg.Connection, server: Any
) -> None:
    """The stream lacks its rows; a client that is subscribed receives whatever commits from then on."""
    sql.execute("insert into jobs (status) values ('written before')")
    await join(clients, "one", "jobs")
    await sends(server, "public.jobs")
    await subscribe(clients, "other", "held")
    assert systems(clients, "one") == []
    sql.execute("insert into jobs (status) values ('written after')")
    sql.commit()
    await subscribed(clients, "one")
    await clients.sql("insert into jobs (status) values ('next')")
    await asyncio.to_thread(until, lambda: records(clients, "one"), "rows come")
    await asyncio.to_thread(until, lambda: records(clients, "one")[-1]["status"] == "next", "the next row comes")


async def test_a_table_that_somebody_holds_delays_its_own_join_alone(
    server: Any, clients: Clients, sql: psycopg.Connection
) -> None:
    """A VACUUM or DDL may hold it; the client gets no frame until it is subscribed, and misses nothing then."""
    sql.execute("lock table held in share update exclusive mode")
    await join(clients, "one", "held")
    await clients.has("one", 1)
    await subscribe(clients, "other", "jobs")
    await clients.sql("insert into jobs (status) values ('a')")
    await receives(clients, "other", "a")
    assert systems(clients, "one") == []
    assert sent(server) == {"public.jobs"}
    sql.rollback()
    await subscribed(clients, "one")
    await clients.sql("insert into held (status) values ('b')")
    await receives(clients, "one", "b")


async def test_a_name_for_all_tables_waits_for_a_publication_that_is_being_altered(
    clients: Clients, sql: psycopg.Connection
) -> None:
    """Neither would see what the other one adds; a table's own name does not wait."""
    sql.execute("alter publication supabase_realtime add table plain")
    await join(clients, "all", "*")
    await clients.has("all", 1)
    await subscribe(clients, "one", "jobs")
    assert systems(clients, "all") == []
    sql.commit()
    await subscribed(clients, "all")
    await clients.sql("insert into plain (status) values ('a')")
    await receives(clients, "all", "a")


MEMBERSHIPS = (
    """
        insert into jobs (status) values ('a');
        alter publication supabase_realtime drop table jobs; insert into jobs (status) values ('b');
        alter publication supabase_realtime add table jobs; insert into jobs (status) values ('c');
    """,
    """
        alter publication supabase_realtime set table jobs where (status <> 'd');
        insert into jobs (status) values ('d'), ('e');
    """,
    """
        alter publication supabase_realtime set (publish = 'update'); insert into jobs (status) values ('f');
        alter publication supabase_realtime set (publish = 'insert'); insert into jobs (status) values ('g');
    """,
    """
        alter table jobs replica identity default; alter publication supabase_realtime set table jobs (id, status);
        insert into jobs (status, secret) values ('h', 'x');
    """,
)


async def test_the_publication_decides_change_by_change(clients: Clients) -> None:
    """In the transaction that alters it, whoever does: its tables, columns, row filters and operations."""
    await subscribe(clients, "one", "jobs")
    await clients.sql(*("set role postgres;" + statements for statements in MEMBERSHIPS))
    await receives(clients, "one", "a", "c", "e", "g", "h")
    assert [record.get("secret", "none") for record in records(clients, "one")] == [None] * 4 + ["none"]


async def test_names_of_a_stopped_server_are_forgotten(server: Any, clients: Clients, sql: psycopg.Connection) -> None:
    """Its tables leave the publication at the next check; those of other servers stay."""
    await subscribe(clients, "one", "jobs")
    sql.execute(
        "insert into realtime.local_named_tables values ('gone', '[[\"*\", \"*\"]]', now() - interval '1 hour')"
    )
    sql.commit()
    until(lambda: sql.execute("select count(*) from realtime.local_named_tables").fetchone() == (1,), "it is forgotten")
    sql.commit()
    assert sent(server) == {"public.jobs"}


DEFINITIONS = {
    "some tables": "for table jobs, plain",
    "one of an inheritance": "for table only plain",
    "columns and rows": "for table jobs (id, status) where (status = 'a' and id > 1), held where (secret is null)",
    "no updates": "for table jobs with (publish = 'insert, delete')",
    "nothing at all": "with (publish = '')",
    "partitions": "for table leaves",
    "partitions as their root": "for table leaves with (publish_via_partition_root = true)",
    "a filtered root": "for table leaves where (id > 3) with (publish_via_partition_root = true)",
    "a schema": "for tables in schema other, table jobs",
    "a schema with partitions": "for tables in schema public, table other.jobs where (id > 1)",
}
AS_TABLES = """
    select schemaname, tablename, attnames, rowfilter from pg_publication_tables
    where pubname = %s and (schemaname, tablename) <> ('realtime', 'local_named_tables') order by 1, 2
"""
OPTIONS = (
    "select to_jsonb(p) - '{oid,pubname,pubowner,puballtables}'::text[] from pg_publication as p where pubname = %s"
)


def same(sql: psycopg.Connection) -> bool:
    """Compare all of what both publications publish."""
    both = [
        [sql.execute(query, (name,)).fetchall() for query in (AS_TABLES, OPTIONS)]
        for name in ("supabase_realtime", "realtime_subscribed")
    ]
    return both[0] == both[1]


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=DEFINITIONS.keys())
def test_where_every_table_is_named_nothing_differs(sql: psycopg.Connection, definition: str) -> None:
    """However the publication is defined, and whatever it was before."""
    sql.execute("select realtime.local_publish('test', %s)", (EVERYTHING,))
    assert same(sql)
    sql.execute(f"drop publication supabase_realtime; create publication supabase_realtime {definition}")
    assert same(sql)
    sql.execute(
        "create table leaf_2 partition of leaves for values from (10) to (20); create table other.more (id int)"
    )
    sql.execute("alter table jobs rename to renamed; alter schema other rename to another")
    assert same(sql)


def test_a_publication_of_all_tables_is_narrowed_too(sql: psycopg.Connection) -> None:
    """To tables by their own names and those of their partitions, also to tables made later."""
    sql.execute("drop publication supabase_realtime; create publication supabase_realtime for all tables")
    names = [["public", "jobs"], ["public", "leaf"], ["public", "later"], ["other", "*"]]
    sql.execute("select realtime.local_publish('test', %s)", (json.dumps(names),))
    sql.execute("create table later (id int); create table latest (id int)")
    tables = {name for (name,) in sql.execute(SENT)}
    assert tables == {"public.jobs", "public.leaf", "public.later", "other.jobs"}


def test_what_cannot_be_published_is_reported(sql: psycopg.Connection, server: Any) -> None:
    """By the name that a subscription would have: a partition of a table that is held, too."""
    sql.execute("alter publication supabase_realtime add table leaves")
    sql.commit()
    with psycopg.connect(server.dsn) as holder:
        holder.execute("lock table leaves in share update exclusive mode")
        names = json.dumps([["public", "leaf"], ["public", "jobs"]])
        missing = sql.execute("select * from realtime.local_publish('test', %s)", (names,)).fetchall()
    assert ("public", "leaf") in missing
    assert ("public", "jobs") not in missing
