"""What an answer means: retried, never, in smaller parts, or a lesson for the clock."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime

import httpx
import pytest

from listener.clock import DatabaseClock
from listener.errors import StoreError
from listener.supabase.rpc import Rpc

LEGACY_KEY = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln"


@functools.cache
def made_rpc(key):
    """Make one for all tests: a client costs 20 ms."""
    return Rpc("http://project", key, DatabaseClock())


def rpc_to(answer, key="sb_secret_x"):
    """Give an Rpc whose requests `answer` takes."""
    rpc = made_rpc(key)
    rpc._http._transport = httpx.MockTransport(answer)
    return rpc


async def fault_of(answer, request=None):
    """Call, and give the StoreError that comes of it."""
    with pytest.raises(StoreError) as caught:
        await rpc_to(answer).call("claim_runs_v1", request or {})
    assert caught.value.function == "claim_runs_v1"
    return caught.value


ALWAYS = ["PGRST000", "PGRST001", "PGRST002", "PGRST003", "53300", "PGRST202", "PGRST204", "PGRST205", "PGRST303"]
ROLLED_BACK = ["40001", "40P01", "55P03", "57014", "57P01", "57P03", "08006", "08P01", "25006", "53100", "58030"]
NEVER_FOR_A_ROW = ["22P02", "22008", "23505", "23514", "P0001", "42501", "PGRST102", "PGRST116", "21000", "54000"]
NEVER = ["PGRST301", "PGRST302", "PGRST300", "42883", "42P01", "28000"]


@pytest.mark.parametrize(
    ("codes", "retryable", "shrink"),
    [(ALWAYS, True, False), (ROLLED_BACK, True, None), (NEVER_FOR_A_ROW, False, True), (NEVER, False, False)],
)
async def test_the_code_decides_whatever_the_status(codes, retryable, shrink):
    """A row may be to blame for some: then a smaller batch may succeed."""
    for code in codes:
        for status in (400, 404, 500, 503):
            fault = await fault_of(lambda _, c=code, s=status: httpx.Response(s, json={"code": c, "message": "m"}))
            expected = code == "57014" if shrink is None else shrink
            assert (fault.code, fault.retryable, fault.shrink) == (code, retryable, expected), (code, status)


@pytest.mark.parametrize(
    "body", [b"", b"<html>bad gateway</html>", b'{"message": "no"}', b'{"code": "rate_limit"}', b"[]"]
)
@pytest.mark.parametrize(("status", "retryable"), [(429, True), (502, True), (503, True), (504, True), (404, False)])
async def test_without_a_code_of_the_databases_the_status_decides(body, status, retryable):
    """What stands between has codes of its own, or none, or no JSON."""
    fault = await fault_of(lambda _: httpx.Response(status, content=body))
    assert (fault.retryable, fault.shrink) == (retryable, False)


@pytest.mark.parametrize(
    "fault", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.PoolTimeout, httpx.RemoteProtocolError]
)
async def test_faults_of_the_connection_are_tried_again(fault):
    """Every function may be called twice."""

    def answer(request):
        message = "gone"
        raise fault(message, request=request)

    found = await fault_of(answer)
    assert (found.code, found.retryable, found.shrink) == (fault.__name__, True, False)


@pytest.mark.parametrize("content", [b"<html>log in</html>", b"[1]", b'{"rows": ', b"7"])
async def test_a_success_that_is_not_the_databases_is_a_fault_to_retry(content):
    """A proxy's page with status 200 must not end a stage."""
    assert (await fault_of(lambda _: httpx.Response(200, content=content))).retryable


async def test_a_redirect_is_no_answer():
    """It is not followed: the key would travel with it."""
    fault = await fault_of(lambda _: httpx.Response(302, headers={"location": "http://elsewhere"}))
    assert not fault.retryable


@pytest.mark.parametrize("value", ["\ud800", object()])
async def test_a_value_that_has_no_json_is_a_fault_of_its_row(value):
    """So that the batch is split until it stands alone."""
    fault = await fault_of(lambda _: httpx.Response(200), {"results": [{"result": value}]})
    assert (fault.code, fault.retryable, fault.shrink) == ("unserializable", False, True)


@pytest.mark.parametrize(("key", "authorization"), [("sb_secret_x", None), (LEGACY_KEY, f"Bearer {LEGACY_KEY}")])
async def test_one_request_with_one_argument_and_the_key(key, authorization):
    """A new key is no JWT, so it is no bearer token either."""
    seen = []

    def answer(request):
        seen.append(request)
        return httpx.Response(200, content=b"null")

    rpc = rpc_to(answer, key)
    assert await rpc.call("leave_v1", {"listener": "me"}) is None
    (request,) = seen
    assert str(request.url) == "http://project/rest/v1/rpc/leave_v1"
    assert json.loads(request.content) == {"request": {"listener": "me"}}
    assert (request.headers["apikey"], request.headers.get("authorization")) == (key, authorization)


async def test_every_answer_teaches_the_clock():
    """The database's instant, whatever the local clock says."""
    told = datetime(2031, 1, 1, tzinfo=UTC)
    rpc = rpc_to(lambda _: httpx.Response(200, json={"now": told.isoformat(), "rows": []}))
    await rpc.call("due_jobs_v1", {})
    assert abs((rpc._clock.now() - told).total_seconds()) < 1
