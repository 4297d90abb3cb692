"""Answers are classified: retried, never, in smaller parts, or as a lesson for the clock."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime

import anyio
import pytest
from aiohttp import web
from answering import answering
from structlog.testing import capture_logs

from listener.clock import DatabaseClock
from listener.errors import StoreError
from listener.migrate.files import migrations_folder
from listener.supabase import rpc as rpc_module
from listener.supabase.rpc import CALL_SECONDS, OWN_SECONDS, Rpc

LEGACY_KEY = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln"


class Project:
    """A project whose answers a test decides, and what calls it."""

    def __init__(self):
        self.url, self.made = "", []
        self.answer = lambda _: web.Response()

    async def respond(self, request):
        await request.read()
        answer = self.answer(request)
        return await answer if inspect.isawaitable(answer) else answer

    def rpc(self, key="sb_secret_x", **options):
        self.made.append(Rpc(self.url, key, DatabaseClock(), **options))
        return self.made[-1]


@pytest.fixture
async def project():
    """Give a project over real HTTP; what calls it is closed."""
    project = Project()
    async with answering(project.respond) as project.url:
        yield project
        for rpc in project.made:
            await rpc.aclose()


@pytest.fixture
async def fault_of(project):
    """Give what calls, and gives the StoreError that comes of it."""
    rpc = project.rpc()

    async def fault_of(answer, request=None):
        project.answer = answer
        with pytest.raises(StoreError) as caught:
            await rpc.call("claim_runs_v1", request or {})
        assert caught.value.function == "claim_runs_v1"
        return caught.value

    return fault_of


def reported(code, message="m", status=400):
    """Answer with a code of the database's."""
    return web.json_response({"code": code, "message": message}, status=status)


NOT_DONE = ["PGRST000", "PGRST001", "PGRST002", "PGRST003", "53300", "57P03", "40001", "40P01"]
MAYBE_APPLIED = ["57P01", "57P02", "08006", "08P01", "08000", "40003"]
TOO_MUCH = ["57014", "55P03"]
SLOWLY = ["25006", "53100", "53200", "58030"]
BOUNDED = ["PGRST202", "PGRST204", "PGRST205", "PGRST303"]
FOR_A_ROW = ["22P02", "22008", "23505", "23514", "PGRST102", "PGRST116", "21000", "54000", "XX000"]
OF_A_TRIGGER = ["P0001", "42501", "42703", "42883", "42P01"]
NEVER = ["PGRST301", "PGRST302", "PGRST300", "28000"]
TABLE = [
    (NOT_DONE, {"retryable"}),
    (MAYBE_APPLIED, {"retryable", "maybe_applied"}),
    (TOO_MUCH, {"retryable", "split_batch"}),
    (SLOWLY, {"retryable", "needs_operator"}),
    (BOUNDED, {"retryable"}),
    (FOR_A_ROW, {"split_batch"}),
    (OF_A_TRIGGER, {"split_batch", "needs_operator"}),
    (NEVER, {"needs_operator"}),
]


def flags(fault):
    """Name what is true of a fault."""
    return {name for name in ("retryable", "split_batch", "maybe_applied", "needs_operator") if getattr(fault, name)}


@pytest.mark.parametrize(("codes", "expected"), TABLE)
async def test_the_code_decides_whatever_the_status(fault_of, codes, expected):
    """Whether it may be repeated, was perhaps carried out, is the fault of a row, or has to be fixed by somebody."""
    for code in codes:
        for status in (400, 404, 500, 503):
            fault = await fault_of(lambda _, c=code, s=status: reported(c, status=s))
            assert (fault.code, flags(fault)) == (code, expected), (code, status)


async def test_a_schema_cache_that_stays_behind_is_waited_for_no_longer(project, monkeypatch):
    """For a minute it may be loading; then a function is missing, and somebody has to migrate. Success forgets that."""
    seconds = [1000.0]
    rpc = project.rpc()
    monkeypatch.setattr(rpc._clock, "monotonic", lambda: seconds[0])

    async def fault():
        project.answer = lambda _: reported("PGRST202", "no function", 404)
        with pytest.raises(StoreError) as caught:
            await rpc.call("claim_runs_v1", {})
        return flags(caught.value)

    for at, expected in ((0, {"retryable"}), (50, {"retryable"}), (61, {"needs_operator"})):
        seconds[0] = 1000.0 + at
        assert await fault() == expected
    project.answer = lambda _: web.json_response({})
    await rpc.call("claim_runs_v1", {})
    assert await fault() == {"retryable"}


async def test_an_operator_fault_is_logged_once_a_minute(project, monkeypatch):
    """Not with each of the calls that go on meanwhile; and every call reports how it ended."""
    seconds, ends = [1000.0], []
    rpc = project.rpc(answered=lambda function, fault: ends.append((function, fault)))
    project.answer = lambda _: reported("25006", status=500)
    monkeypatch.setattr(rpc._clock, "monotonic", lambda: seconds[0])
    with capture_logs() as lines:
        for at in (0, 1, 59, 60, 61):
            seconds[0] = 1000.0 + at
            with pytest.raises(StoreError):
                await rpc.call("finish_runs_v1", {})
    assert [line["code"] for line in lines if line["event"] == "database.needs_operator"] == ["25006", "25006"]
    project.answer = lambda _: web.Response(status=204)
    await rpc.call("finish_runs_v1", {})
    assert [function for function, _ in ends] == ["finish_runs_v1"] * 6
    assert [fault is None for _, fault in ends] == [False] * 5 + [True]


async def test_a_call_ends_in_time_however_slowly_the_answer_drips(project):
    """A limit for each read would be met by one byte each; the whole call has one, and what it did is not clear."""

    async def drip(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await anyio.sleep(0.01)

    ends = []
    rpc = project.rpc(answered=lambda *call: ends.append(call), within_seconds={"claim_runs_v1": 0.05})
    project.answer = drip
    with anyio.fail_after(5), pytest.raises(StoreError) as caught:
        await rpc.call("claim_runs_v1", {})
    assert (caught.value.code, flags(caught.value)) == ("TimeoutError", {"retryable", "maybe_applied"})
    assert ends == [("claim_runs_v1", caught.value)]


async def test_an_error_without_a_code_is_a_connection_that_broke(fault_of):
    """So PostgREST answers, with status 400, when its backend is terminated, perhaps after the commit."""
    body = {"code": "", "details": None, "hint": None, "message": ""}
    assert flags(await fault_of(lambda _: web.json_response(body, status=400))) == {"retryable", "maybe_applied"}


async def test_a_function_that_may_not_be_called_is_nobodys_row(fault_of):
    """Each claim would rest for a minute, and the listener seem well, while somebody has to grant the right."""
    message = "permission denied for function claim_runs_v1"
    fault = await fault_of(lambda _: reported("42501", message, 403))
    assert flags(fault) == {"needs_operator"}


async def test_a_fault_of_a_function_that_is_given_no_rows_is_the_operators(project):
    """No row can be to blame for a poll that reads a column that is not there."""
    project.answer = lambda _: reported("42703", "column does not exist")
    with pytest.raises(StoreError) as caught:
        await project.rpc().call("poll_jobs_v1", {})
    assert flags(caught.value) == {"needs_operator"}


async def test_a_function_that_is_not_there_says_what_to_do(fault_of):
    """A newcomer reads it in the log and on /readyz at the first start of a listener."""
    fault = await fault_of(lambda _: reported("PGRST202", "no such function", 404))
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
        (500, {"retryable", "maybe_applied"}),
        (502, {"retryable", "maybe_applied"}),
        (503, {"retryable", "maybe_applied"}),
        (504, {"retryable", "maybe_applied"}),
        (404, {"needs_operator"}),
    ],
)
async def test_without_a_code_of_the_databases_the_status_decides(fault_of, body, status, expected):
    """A proxy in between answers with codes of its own, or none, or no JSON."""
    fault = await fault_of(lambda _: web.Response(status=status, body=body))
    assert flags(fault) == expected


def cut_off(request):
    """End the connection instead of an answer."""
    request.transport.close()
    return web.Response()


async def cut_short(request):
    """End the connection in the middle of an answer."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    request.transport.close()
    return response


def babble(request):
    """Answer what is no HTTP."""
    request.transport.write(b"220 mail.example ESMTP\r\n")
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize(
    ("answer", "code"),
    [(cut_off, "ServerDisconnectedError"), (cut_short, "ClientPayloadError"), (babble, "ClientResponseError")],
)
async def test_a_connection_that_ends_may_have_carried_the_request(fault_of, answer, code):
    """Every function may be called twice: after the request was sent it may have been carried out."""
    fault = await fault_of(answer)
    assert (fault.code, flags(fault)) == (code, {"retryable", "maybe_applied"})


async def test_who_got_no_connection_has_not_asked(project, monkeypatch):
    """Neither where nobody listens, nor where all connections are taken for too long."""
    monkeypatch.setattr(rpc_module, "CONNECT_SECONDS", 0.05)
    monkeypatch.setattr(rpc_module, "CONNECTIONS", 1)
    rpc, asked, go_on = project.rpc(), anyio.Event(), anyio.Event()

    async def hold(_):
        asked.set()
        await go_on.wait()
        return web.json_response({})

    project.answer = hold
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rpc.call, "claim_runs_v1", {})
        await asked.wait()
        with pytest.raises(StoreError) as crowded:
            await rpc.call("claim_runs_v1", {})
        go_on.set()
    nowhere = Rpc("http://127.0.0.1:1", "sb_secret_x", DatabaseClock())
    with pytest.raises(StoreError) as refused:
        await nowhere.call("claim_runs_v1", {})
    await nowhere.aclose()
    assert (crowded.value.code, flags(crowded.value)) == ("ConnectionTimeoutError", {"retryable"})
    assert (refused.value.code, flags(refused.value)) == ("ClientConnectorError", {"retryable"})


async def test_the_proxy_of_the_environment_is_asked(project, monkeypatch):
    """Unless the project's host needs none."""
    seen = []

    def answer(request):
        seen.append(request.raw_path)
        return web.json_response({})

    project.answer = answer
    monkeypatch.setenv("http_proxy", project.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    await project.rpc().call("leave_v1", {})
    distant = Rpc("http://project.example", "sb_secret_x", DatabaseClock())
    await distant.call("leave_v1", {})
    await distant.aclose()
    assert seen == ["/rest/v1/rpc/leave_v1", "http://project.example/rest/v1/rpc/leave_v1"]


@pytest.mark.parametrize("content", [b"<html>log in</html>", b"[1]", b'{"rows": ', b"7"])
async def test_a_success_that_is_not_the_databases_is_a_fault_to_retry(fault_of, content):
    """A proxy's page with status 200 must not end a stage."""
    assert flags(await fault_of(lambda _: web.Response(body=content))) == {"retryable", "maybe_applied"}


async def test_a_redirect_is_no_answer(project, fault_of):
    """It is not followed: the key would travel with it."""
    asked = []

    def answer(request):
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": f"{project.url}/elsewhere"})

    fault = await fault_of(answer)
    assert (fault.retryable, asked) == (False, ["/rest/v1/rpc/claim_runs_v1"])


@pytest.mark.parametrize("value", ["\ud800", object()])
async def test_a_value_that_has_no_json_is_a_fault_of_its_row(fault_of, value):
    """So that the batch is split until it stands alone."""
    fault = await fault_of(lambda _: web.Response(), {"results": [{"result": value}]})
    assert (fault.code, fault.retryable, fault.split_batch) == ("unserializable", False, True)


@pytest.mark.parametrize(("key", "authorization"), [("sb_secret_x", None), (LEGACY_KEY, f"Bearer {LEGACY_KEY}")])
async def test_one_request_with_one_argument_and_the_key(project, key, authorization):
    """A new key is no JWT, so it is no bearer token either."""
    seen = []

    async def answer(request):
        seen.append((request.path, await request.json(), request.headers))
        return web.Response(body=b"null")

    project.answer = answer
    assert await project.rpc(key).call("leave_v1", {"listener": "me"}) is None
    ((path, content, headers),) = seen
    assert (path, content) == ("/rest/v1/rpc/leave_v1", {"request": {"listener": "me"}})
    assert (headers["apikey"], headers.get("authorization")) == (key, authorization)
    assert headers["content-type"] == "application/json"


async def test_every_answer_teaches_the_clock(project):
    """The database's instant, whatever the local clock says."""
    at = datetime(2031, 1, 1, tzinfo=UTC)
    project.answer = lambda _: web.json_response({"now": at.isoformat(), "rows": []})
    rpc = project.rpc()
    await rpc.call("due_jobs_v1", {})
    assert abs((rpc._clock.now() - at).total_seconds()) < 1
