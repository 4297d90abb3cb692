"""What an answer means: retried, never, in smaller parts, or a lesson for the clock."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime

import anyio
import httpx
import pytest
from structlog.testing import capture_logs

from listener.clock import DatabaseClock
from listener.errors import StoreError
from listener.migrate import migrations_folder
from listener.supabase.rpc import CALL_SECONDS, OWN_SECONDS, Rpc

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


NOT_DONE = ["PGRST000", "PGRST001", "PGRST002", "PGRST003", "53300", "57P03", "40001", "40P01"]
UNCLEAR = ["57P01", "57P02", "08006", "08P01", "08000", "40003"]
TOO_MUCH = ["57014", "55P03"]
SLOWLY = ["25006", "53100", "53200", "58030"]
BOUNDED = ["PGRST202", "PGRST204", "PGRST205", "PGRST303"]
FOR_A_ROW = ["22P02", "22008", "23505", "23514", "P0001", "42501", "PGRST102", "PGRST116", "21000", "54000", "XX000"]
NEVER = ["PGRST301", "PGRST302", "PGRST300", "42883", "42P01", "28000"]
TABLE = [
    (NOT_DONE, {"retryable"}),
    (UNCLEAR, {"retryable", "unclear"}),
    (TOO_MUCH, {"retryable", "shrink"}),
    (SLOWLY, {"retryable", "alarm"}),
    (BOUNDED, {"retryable"}),
    (FOR_A_ROW, {"shrink"}),
    (NEVER, {"alarm"}),
]


def flags(fault):
    """Name what is true of a fault."""
    return {name for name in ("retryable", "shrink", "unclear", "alarm") if getattr(fault, name)}


@pytest.mark.parametrize(("codes", "expected"), TABLE)
async def test_the_code_decides_whatever_the_status(codes, expected):
    """Whether it may be repeated, was perhaps carried out, is the fault of a row, or has to be mended by somebody."""
    for code in codes:
        for status in (400, 404, 500, 503):
            fault = await fault_of(lambda _, c=code, s=status: httpx.Response(s, json={"code": c, "message": "m"}))
            assert (fault.code, flags(fault)) == (code, expected), (code, status)


async def test_a_schema_cache_that_stays_behind_is_waited_for_no_longer(monkeypatch):
    """For a minute it may be loading; then a function is missing, and somebody has to migrate. Success forgets that."""
    seconds, status = [1000.0], [404]

    def answer(_):
        return httpx.Response(
            status[0], json={"code": "PGRST202", "message": "no function"} if status[0] != 200 else {}
        )

    rpc = rpc_to(answer, "sb_secret_another")
    monkeypatch.setattr(rpc._clock, "monotonic", lambda: seconds[0])

    async def fault():
        with pytest.raises(StoreError) as caught:
            await rpc.call("claim_runs_v1", {})
        return flags(caught.value)

    for at, expected in ((0, {"retryable"}), (50, {"retryable"}), (61, {"alarm"})):
        seconds[0] = 1000.0 + at
        assert await fault() == expected
    status[0] = 200
    await rpc.call("claim_runs_v1", {})
    status[0] = 404
    assert await fault() == {"retryable"}


async def test_an_alarm_is_told_once_a_minute(monkeypatch):
    """Not with each of the calls that go on meanwhile; and every call tells how it ended."""
    seconds, told = [1000.0], []
    rpc = Rpc("http://project", "sb_secret_x", DatabaseClock(), lambda function, fault: told.append((function, fault)))
    rpc._http._transport = httpx.MockTransport(lambda _: httpx.Response(500, json={"code": "25006", "message": "m"}))
    monkeypatch.setattr(rpc._clock, "monotonic", lambda: seconds[0])
    with capture_logs() as lines:
        for at in (0, 1, 59, 60, 61):
            seconds[0] = 1000.0 + at
            with pytest.raises(StoreError):
                await rpc.call("finish_runs_v1", {})
    assert [line["code"] for line in lines if line["event"] == "database.alarm"] == ["25006", "25006"]
    rpc._http._transport = httpx.MockTransport(lambda _: httpx.Response(204))
    await rpc.call("finish_runs_v1", {})
    assert [function for function, _ in told] == ["finish_runs_v1"] * 6
    assert [fault is None for _, fault in told] == [False] * 5 + [True]
    await rpc.aclose()


async def test_a_call_ends_in_time_however_slowly_the_answer_drips():
    """A limit for each read would be met by one byte each; the whole call has one, and what it did is not clear."""

    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self):
            while True:
                yield b" "
                await anyio.sleep(0.01)

    told = []
    rpc = Rpc(
        "http://project", "sb_secret_x", DatabaseClock(), lambda *call: told.append(call), {"claim_runs_v1": 0.05}
    )
    rpc._http._transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Drip()))
    with anyio.fail_after(5), pytest.raises(StoreError) as caught:
        await rpc.call("claim_runs_v1", {})
    assert (caught.value.code, flags(caught.value)) == ("TimeoutError", {"retryable", "unclear"})
    assert told == [("claim_runs_v1", caught.value)]
    await rpc.aclose()


async def test_an_error_without_a_code_is_a_connection_that_broke():
    """So PostgREST answers, with status 400, when its backend is terminated, perhaps after the commit."""
    body = {"code": "", "details": None, "hint": None, "message": ""}
    assert flags(await fault_of(lambda _: httpx.Response(400, json=body))) == {"retryable", "unclear"}


async def test_a_function_that_may_not_be_called_is_nobodys_row():
    """Each claim would rest for a minute, and the listener seem well, while somebody has to grant the right."""
    message = "permission denied for function claim_runs_v1"
    fault = await fault_of(lambda _: httpx.Response(403, json={"code": "42501", "message": message}))
    assert flags(fault) == {"alarm"}


async def test_a_function_that_is_not_there_says_what_to_do():
    """Whoever starts a listener for the first time reads it in the log, and on /readyz."""
    fault = await fault_of(lambda _: httpx.Response(404, json={"code": "PGRST202", "message": "no such function"}))
    assert "`listener migrate`" in str(fault)


def test_every_limit_is_of_a_function_that_there_is():
    """And none is longer than somebody could wait for."""
    sql = "".join(path.read_text() for path in migrations_folder().glob("*.sql"))
    assert all(f"function public.{function}(" in sql for function in OWN_SECONDS)
    assert all(0 < seconds <= 60 for seconds in (CALL_SECONDS, *OWN_SECONDS.values()))


@pytest.mark.parametrize(
    "body", [b"", b"<html>bad gateway</html>", b'{"message": "no"}', b'{"code": "rate_limit"}', b"[]"]
)
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (429, {"retryable"}),
        (500, {"retryable", "unclear"}),
        (502, {"retryable", "unclear"}),
        (503, {"retryable", "unclear"}),
        (504, {"retryable", "unclear"}),
        (404, {"alarm"}),
    ],
)
async def test_without_a_code_of_the_databases_the_status_decides(body, status, expected):
    """What stands between has codes of its own, or none, or no JSON."""
    fault = await fault_of(lambda _: httpx.Response(status, content=body))
    assert flags(fault) == expected


@pytest.mark.parametrize(
    ("fault", "unclear"),
    [
        (httpx.ConnectError, False),
        (httpx.ConnectTimeout, False),
        (httpx.PoolTimeout, False),
        (httpx.ReadTimeout, True),
        (httpx.WriteError, True),
        (httpx.RemoteProtocolError, True),
    ],
)
async def test_faults_of_the_connection_are_tried_again(fault, unclear):
    """Every function may be called twice; after the request was sent it may have been carried out."""

    def answer(request):
        message = "gone"
        raise fault(message, request=request)

    found = await fault_of(answer)
    assert (found.code, flags(found)) == (fault.__name__, {"retryable", "unclear"} if unclear else {"retryable"})


@pytest.mark.parametrize("content", [b"<html>log in</html>", b"[1]", b'{"rows": ', b"7"])
async def test_a_success_that_is_not_the_databases_is_a_fault_to_retry(content):
    """A proxy's page with status 200 must not end a stage."""
    assert flags(await fault_of(lambda _: httpx.Response(200, content=content))) == {"retryable", "unclear"}


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
