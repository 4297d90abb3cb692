"""A call on a dead connection is repeated on a fresh one, and one that is merely slow is not repeated for ever."""

from __future__ import annotations

from itertools import islice

import anyio
import pytest
from aiohttp import web
from answering import answering
from faulty_proxy import Mode, TcpRoad, running_proxy
from structlog.testing import capture_logs

from listener.clock import DatabaseClock
from listener.errors import StoreError
from listener.supabase import hedging
from listener.supabase.hedging import Durations
from listener.supabase.rpc import Rpc

QUICK = 0.15
"""Seconds before calls of these tests are repeated."""


class Database:
    """Answers at once, after `seconds`, or with the statuses that a test gives; keeps what it was asked."""

    def __init__(self):
        self.asked, self.seconds, self.statuses = [], [], []

    async def respond(self, request):
        self.asked.append(await request.json())
        status = self.statuses.pop(0) if self.statuses else 200
        if self.seconds:
            await anyio.sleep(self.seconds.pop(0))
        return web.json_response({"code": "55P03"} if status != 200 else {"rows": []}, status=status)


@pytest.fixture
def database():
    """The server that answers."""
    return Database()


@pytest.fixture
async def proxy(database):
    """Give a road to the database that can be broken."""
    async with (
        answering(database.respond) as url,
        running_proxy(TcpRoad(to_port=int(url.rpartition(":")[2]))) as proxy,
    ):
        yield proxy


@pytest.fixture
async def rpc(proxy):
    """Give what calls the database by that road."""
    rpc = Rpc(f"http://127.0.0.1:{proxy.port}", "sb_secret_x", DatabaseClock())
    yield rpc
    await rpc.aclose()


@pytest.fixture
def quick(monkeypatch):
    """Repeat calls soon."""
    monkeypatch.setattr(hedging, "LEAST_SECONDS", QUICK)
    monkeypatch.setattr(hedging, "REPEAT_SECONDS", QUICK)
    monkeypatch.setattr(hedging, "MANY_TIMES", 0)


async def seconds_of(call, *arguments, **named):
    """Measure a call."""
    began = anyio.current_time()
    await call(*arguments, **named)
    return anyio.current_time() - began


@pytest.mark.slow
async def test_calls_on_connections_that_went_silent_take_three_seconds_at_most(rpc, proxy):
    """All that were open are left, also those that nobody was waiting on; the next calls notice nothing."""
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(rpc.call, "poll_jobs_v1", {})
    proxy.mode = Mode.HALF_OPEN
    proxy.mode = Mode.PASS
    with anyio.fail_after(3), capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(rpc.call, "poll_jobs_v1", {})
    assert "connections.replaced" in [line["event"] for line in logs]
    for _ in range(8):
        assert await seconds_of(rpc.call, "poll_jobs_v1", {}) < 0.9
    assert (rpc._connections._fresh, rpc._connections._current.calls) == (None, 0)


@pytest.mark.usefixtures("quick")
async def test_a_road_that_is_silent_for_a_while_costs_three_seconds_after_its_end(rpc, proxy):
    """Repetitions that fell into the silence stay unanswered; there is another one soon."""
    await rpc.call("poll_jobs_v1", {})
    proxy.mode = Mode.HALF_OPEN
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rpc.call, "poll_jobs_v1", {})
            await anyio.sleep(QUICK * 3)
            proxy.mode = Mode.PASS


@pytest.mark.usefixtures("quick")
async def test_a_repetition_may_say_that_it_is_one(rpc, proxy, database):
    """A claim may have been granted the first time."""
    await rpc.call("claim_runs_v1", {"n": 1})
    database.seconds = [30, 0]
    await rpc.call("claim_runs_v1", {"n": 2}, repetition=lambda: {"n": 3})
    assert [each["request"]["n"] for each in database.asked] == [1, 2, 3]


@pytest.mark.usefixtures("quick")
async def test_a_repetition_that_is_refused_does_not_count_while_the_first_goes_on(rpc, database):
    """It may have met the locks of the first."""
    database.seconds, database.statuses = [QUICK * 3], [200] + [400] * 99
    with capture_logs() as logs:
        await rpc.call("finish_runs_v1", {})
    assert len(database.asked) > 1
    assert logs == []


@pytest.mark.usefixtures("quick")
async def test_a_fault_of_several_requests_may_have_been_carried_out(rpc, proxy, database):
    """Even if the last one got no connection."""
    database.seconds = [30] * 99  # also to a repeat that is sent before the road is closed
    async with anyio.create_task_group() as tasks:

        async def close():
            while not database.asked:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            proxy.mode = Mode.HALF_OPEN
            await anyio.sleep(QUICK * 3)
            proxy.mode = Mode.REFUSE

        tasks.start_soon(close)
        with pytest.raises(StoreError) as caught:
            await rpc.call("claim_runs_v1", {})
    assert caught.value.maybe_applied


@pytest.mark.usefixtures("quick")
async def test_what_takes_long_is_called_once(rpc, database):
    """A clean-up of the ledger is not begun twice."""
    database.seconds = [QUICK * 3]
    await rpc.call("clean_ledger_v1", {})
    assert len(database.asked) == 1


@pytest.mark.parametrize(
    ("longest", "pauses"),
    [(0.0, [1, 2.5, 2.5]), (0.01, [1, 2.5, 2.5]), (0.25, [2, 2.5, 2.5]), (1.0, [2.5, 2.5, 2.5]), (4.0, [8, 8, 8])],
)
def test_the_pause_follows_what_calls_of_the_function_take(longest, pauses):
    """A database that is slow as a whole is not asked twice as much."""
    durations = Durations()
    durations.add("poll_jobs_v1", longest)
    assert list(islice(durations.pauses("poll_jobs_v1"), 3)) == pauses
    for _ in range(100):
        durations.add("poll_jobs_v1", 0.01)
    assert next(durations.pauses("poll_jobs_v1")) == 1
