"""Calls through PostgREST and over connections of the listener's own: the same rights, settings, answers and faults."""

from __future__ import annotations

import contextlib
import uuid

import anyio
import psycopg
import pytest
from patience import PATIENCE_SECONDS

from listener.clock import DatabaseClock
from listener.errors import StoreError
from listener.postgres.pool import CONNECTIONS, DirectCalls
from listener.supabase.rpc import Rpc

FUNCTION = """
create or replace function public.transport_{name}(request jsonb) returns json language plpgsql as $$
begin
    {body};
end
$$;
revoke all on function public.transport_{name}(jsonb) from public, anon, authenticated;
grant execute on function public.transport_{name}(jsonb) to service_role;
"""
BODIES = {
    "where": """return json_build_object(
        'user', current_user, 'role', auth.role(), 'claims', current_setting('request.jwt.claims')::jsonb ->> 'role',
        'method', current_setting('request.method'), 'headers', json_typeof(current_setting('request.headers')::json),
        'statement_timeout', current_setting('statement_timeout'), 'lock_timeout', current_setting('lock_timeout'),
        'schemas', current_schemas(false), 'zone', current_setting('TimeZone'),
        'isolation', current_setting('transaction_isolation'), 'read_only', current_setting('transaction_read_only')
    )""",
    "fail": "raise exception 'on purpose' using errcode = request ->> 'code'",
    "sleep": "perform pg_sleep(30); return json_build_object('slept', true)",
    "echo": "return request",
}
CODES = {
    "53300": {"retryable"},
    "55P03": {"retryable", "split_batch"},
    "57P01": {"retryable", "maybe_applied"},
    "08006": {"retryable", "maybe_applied"},
    "57014": {"retryable", "split_batch"},
    "25006": {"retryable", "needs_operator"},
    "22P02": {"split_batch"},
    "XX000": {"split_batch"},
    "P0001": {"split_batch"},
    "JS001": {"retryable", "needs_operator"},
    "28000": {"needs_operator"},
}


def flags(fault):
    """Name what is true of a fault."""
    return {name for name in ("retryable", "split_batch", "maybe_applied", "needs_operator") if getattr(fault, name)}


@pytest.fixture(scope="module")
def sql(embedded_stack):
    """A connection as superuser."""
    with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def functions(embedded_stack, sql):
    """Add functions for the tests, and give their names; they go after the module."""
    with psycopg.connect(embedded_stack.database_url, autocommit=True) as connection:
        for name, body in BODIES.items():
            connection.execute(FUNCTION.format(name=name, body=body))
        connection.execute("notify pgrst, 'reload schema'")
    yield
    for name in BODIES:
        sql.execute(f"drop function public.transport_{name}(jsonb)")


@pytest.fixture(params=["postgrest", "direct"])
def make_calls(request, embedded_stack, functions):
    """Make what calls functions, by each way."""
    if request.param == "postgrest":
        return lambda: Rpc(embedded_stack.url, embedded_stack.service_key, DatabaseClock())
    return lambda: DirectCalls(embedded_stack.database_url, DatabaseClock())


@pytest.fixture
async def calls(make_calls):
    """Call functions."""
    calls = make_calls()
    with anyio.fail_after(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(StoreError):  # PostgREST reads the schema anew
                await calls.call("transport_echo", {})
                break
            await anyio.sleep(0.05)
    yield calls
    await calls.aclose()


async def fault_of(calls, function, request=None):
    """Give the fault of a call."""
    with pytest.raises(StoreError) as caught:
        await calls.call(function, request or {})
    return caught.value


async def test_a_function_runs_as_the_service_with_its_claims_and_limits(calls):
    """A project's own triggers may look at each of these."""
    answer = await calls.call("transport_where", {})
    assert answer == {
        "user": "service_role",
        "role": "service_role",
        "claims": "service_role",
        "method": "POST",
        "headers": "object",
        "statement_timeout": "8s",
        "lock_timeout": "8s",
        "schemas": ["public", "extensions"],
        "zone": "UTC",
        "isolation": "read committed",
        "read_only": "off",
    }


async def test_the_settings_of_the_role_hold(make_calls, sql):
    """Operators set them; PostgREST reads them when it is asked to, a listener when it connects."""
    for setting in ("statement_timeout = '300ms'", "timezone = 'Asia/Kathmandu'"):
        sql.execute(f"alter role service_role set {setting}")
    sql.execute("notify pgrst, 'reload config'")
    calls = make_calls()
    try:
        with anyio.fail_after(PATIENCE_SECONDS):
            while (await calls.call("transport_where", {}))["zone"] != "Asia/Kathmandu":  # noqa: ASYNC110 - see below
                await anyio.sleep(0.05)  # PostgREST reads its configuration anew
        fault = await fault_of(calls, "transport_sleep")
        assert (fault.code, flags(fault)) == ("57014", {"retryable", "split_batch"})
    finally:
        await calls.aclose()
        for setting in ("statement_timeout", "timezone"):
            sql.execute(f"alter role service_role reset {setting}")
        sql.execute("notify pgrst, 'reload config'")


@pytest.mark.parametrize("code", CODES)
async def test_a_fault_has_its_code_and_its_meaning(calls, code):
    """The stages decide by them."""
    fault = await fault_of(calls, "transport_fail", {"code": code})
    assert (fault.code, flags(fault)) == (code, CODES[code])
    assert "on purpose" in str(fault)


async def test_a_fault_of_a_connection_is_one_of_that_call(calls):
    """The next one succeeds."""
    await fault_of(calls, "transport_fail", {"code": "22P02"})
    assert await calls.call("transport_echo", {"a": 1}, "a") == {"a": 1}


async def test_a_function_that_is_not_there_says_what_to_do(calls):
    """A newcomer has not migrated yet."""
    fault = await fault_of(calls, "transport_nothing")
    assert (fault.code, flags(fault)) == ("PGRST202", {"retryable"})
    assert "`listener migrate`" in str(fault)


async def test_a_function_that_may_not_be_called_is_the_operators(calls, sql):
    """It is no fault of a row."""
    sql.execute("revoke execute on function public.transport_echo(jsonb) from service_role")
    try:
        fault = await fault_of(calls, "transport_echo")
    finally:
        sql.execute("grant execute on function public.transport_echo(jsonb) to service_role")
    assert (fault.code, fault.needs_operator) == ("42501", True)
    assert "permission denied for function transport_echo" in str(fault)


@pytest.mark.parametrize("value", ["x" * 900_000, {"ä": ["🙂", None, 1.5, {}]}], ids=["large", "any JSON"])
async def test_any_argument_and_answer_pass(calls, value):
    """Of any size and character."""
    assert await calls.call("transport_echo", {"value": value}, "value") == {"value": value}


async def test_a_character_that_a_jsonb_cannot_hold_is_a_fault_of_its_row(calls):
    """A handler's result may have it."""
    fault = await fault_of(calls, "transport_echo", {"value": "\0"})
    assert (fault.code, flags(fault)) == ("22P05", {"split_batch"})


async def test_a_backend_that_is_terminated_may_have_carried_the_call_out(calls, sql):
    """A call that follows is served."""
    faults = []

    async def sleep():
        faults.append(await fault_of(calls, "transport_sleep"))

    terminated = (
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where query like '%transport_sleep%' and state = 'active' and wait_event = 'PgSleep'"
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleep)
        with anyio.fail_after(PATIENCE_SECONDS):
            while not sql.execute(terminated).fetchall():  # noqa: ASYNC110 - what it waits for happens elsewhere
                await anyio.sleep(0.02)
    assert faults[0].retryable
    assert faults[0].maybe_applied or isinstance(calls, Rpc), "PostgREST has a code of its own for it"
    assert await calls.call("transport_echo", {"a": 1}, "a")


async def test_calls_that_are_cancelled_leave_the_others_alone(calls):
    """Runs end, and so may what they wait for."""
    async with anyio.create_task_group() as tasks:
        for _ in range(CONNECTIONS):
            tasks.start_soon(calls.call, "transport_sleep", {})
        await anyio.sleep(0.2)
        tasks.cancel_scope.cancel()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(calls.call, "transport_echo", {"id": str(uuid.uuid4())}, "id")


async def test_the_clock_learns_from_every_answer(calls):
    """Whichever way it came."""
    await calls.call("due_jobs_v1", {"until": "1970-01-01T00:00:00Z", "limit": 1}, "ids")
    assert calls._clock._best is not None
