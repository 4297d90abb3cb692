"""Connections of the listener's own: who is refused and why, what breaks, and what is noticed of it."""

from __future__ import annotations

import anyio
import psycopg
import pytest
from faulty_proxy import Mode, TcpRoad, running_proxy
from pooler import running_pooler
from psycopg.conninfo import make_conninfo

from listener.clock import DatabaseClock
from listener.errors import StoreError
from listener.postgres import pool as pool_module
from listener.postgres.pool import DirectCalls
from listener.supabase import hedging
from listener.supabase.error_codes import remedy

NOTHING_DUE = {"until": "1970-01-01T00:00:00Z", "limit": 1}
SESSIONS = "select pid from pg_stat_activity where application_name = 'supabase-job-listener'"
QUICK = 0.15


@pytest.fixture
def sql(embedded_stack):
    """A connection as superuser."""
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def calls_to(embedded_stack):
    """Make what calls functions, of the stack's database with another part of the URL."""
    made = []

    def make(connections=6, **other):
        url = make_conninfo(embedded_stack.database_url, **other)
        made.append(DirectCalls(url, DatabaseClock(), connections=connections))
        return made[-1]

    yield make
    for calls in made:
        await calls.aclose()


async def due(calls):
    """Call a function that has nothing to do."""
    return await calls.call("due_jobs_v1", NOTHING_DUE, "ids")


async def fault_of(calls):
    """Give the fault of such a call."""
    with pytest.raises(StoreError) as caught:
        await due(calls)
    return caught.value


REFUSED = {
    "password": ({"password": "wrong"}, "28000", "password authentication failed"),
    "role": ({"user": "nobody_of_this_name"}, "28000", ""),
    "database": ({"dbname": "none"}, "28000", "does not exist"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_wrong_url_needs_an_operator(calls_to, case):
    """No later attempt will succeed; the remedy names the setting."""
    wrong, code, message = REFUSED[case]
    fault = await fault_of(calls_to(**wrong))
    assert (fault.code, fault.retryable, fault.needs_operator) == (code, False, True)
    assert message in str(fault)
    assert "LISTENER_DATABASE_URL" in remedy(fault)


async def test_a_role_needs_no_more_than_to_become_the_service(calls_to, sql):
    """One of the listener's own is enough; without that right it is refused."""
    sql.execute("create role lone login noinherit password 'lone'")
    lone = calls_to(user="lone", password="lone")  # noqa: S106 - of a database for tests
    try:
        fault = await fault_of(lone)
        sql.execute("grant service_role to lone")
        assert (await due(lone))["ids"] == []
    finally:
        sql.execute("drop role lone")
    assert (fault.code, fault.retryable, fault.needs_operator) == ("42501", False, True)
    assert "become service_role" in remedy(fault)


async def test_a_server_that_is_not_there_is_tried_again(calls_to):
    """Nothing was sent, so nothing was done."""
    fault = await fault_of(calls_to(port=1))
    assert (fault.retryable, fault.maybe_applied, fault.needs_operator) == (True, False, False)
    assert "check LISTENER_DATABASE_URL" in remedy(fault)


async def test_a_transaction_pooler_is_refused_whatever_its_port(calls_to, embedded_stack):
    """It gives each transaction another session: no role, no prepared statement and no LISTEN would last."""
    with running_pooler(embedded_stack.database_url, by_transaction=True) as port:
        fault = await fault_of(calls_to(host="127.0.0.1", port=port))
    assert (fault.code, fault.retryable, fault.needs_operator) == ("transaction_pooler", False, True)
    assert "session pooler, port 5432" in remedy(fault)


async def test_a_session_pooler_serves(calls_to, embedded_stack):
    """It names backends of its own too, but keeps their sessions."""
    with running_pooler(embedded_stack.database_url, by_transaction=False) as port:
        calls = calls_to(host="127.0.0.1", port=port)
        for _ in range(3):
            assert (await due(calls))["ids"] == []
        await calls.aclose()


@pytest.mark.parametrize("change", ["deallocate all", "reset all"])
async def test_a_pooler_that_changes_its_mind_is_noticed_before_anything_is_done(calls_to, change):
    """A statement that was prepared is not there, or the session's role and mark are not: another session answers."""
    calls = calls_to(connections=1)
    await due(calls)
    ((conversation, *_),) = calls._connections.current().transport._idle
    await conversation.query(change)
    assert (await fault_of(calls)).code == "transaction_pooler"
    assert (await due(calls))["ids"] == [], "this one does keep sessions"


async def test_connections_that_the_server_closed_are_not_used(calls_to, sql):
    """A restart ends those that nobody is using; the next call connects anew and has no fault."""
    calls = calls_to()
    before = {pid for (pid,) in sql.execute(SESSIONS)}
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(due, calls)
    ours = [pid for (pid,) in sql.execute(SESSIONS) if pid not in before]
    assert ours
    for pid in ours:
        sql.execute("select pg_terminate_backend(%s, 5000)", [pid])
    for _ in range(3):
        await due(calls)


async def test_a_call_that_finds_no_free_connection_has_not_asked(calls_to, sql, monkeypatch):
    """It waits for one, first come, first served, but not for long."""
    monkeypatch.setattr(pool_module, "CONNECT_SECONDS", 0.1)
    calls = calls_to(connections=1)
    await due(calls)
    with psycopg.connect(sql.info.dsn, password=sql.info.password) as other:
        other.execute("lock table public.job_listeners in access exclusive mode")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(calls.call, "leave_v1", {"listener": "00000000-0000-4000-8000-000000000001"})
            await anyio.wait_all_tasks_blocked()
            fault = await fault_of(calls)
            other.rollback()
    assert (fault.code, fault.retryable, fault.maybe_applied) == ("NotConnectedError", True, False)


async def test_a_call_on_a_connection_that_went_silent_is_repeated_on_a_fresh_one(
    calls_to, embedded_stack, monkeypatch
):
    """A road that is half open raises no error for minutes; all that were open by it are left."""
    monkeypatch.setattr(hedging, "LEAST_SECONDS", QUICK)
    monkeypatch.setattr(hedging, "REPEAT_SECONDS", QUICK)
    monkeypatch.setattr(hedging, "MANY_TIMES", 0)
    async with running_proxy(TcpRoad(embedded_stack.cluster.port)) as proxy:
        calls = calls_to(host="127.0.0.1", port=proxy.port)
        await due(calls)
        proxy.mode = Mode.HALF_OPEN
        proxy.mode = Mode.PASS
        with anyio.fail_after(10):
            assert (await due(calls))["ids"] == []
        await calls.aclose()


async def test_a_connection_that_breaks_in_a_call_may_have_carried_it_out(calls_to, embedded_stack, sql):
    """The stages ask again, and every function may be called twice."""
    async with running_proxy(TcpRoad(embedded_stack.cluster.port)) as proxy:
        calls = calls_to(host="127.0.0.1", port=proxy.port)
        await due(calls)
        proxy.delay_down = 30.0
        faults = []

        async def call():
            faults.append(await fault_of(calls))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            await anyio.sleep(0.1)
            proxy.cut(is_reset=True)
        assert (faults[0].retryable, faults[0].maybe_applied) == (True, True)
