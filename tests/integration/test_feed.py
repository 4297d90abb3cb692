"""The feed receives both channels, notices when it receives no more, comes back, and leaves nothing behind."""

from __future__ import annotations

import asyncio  # noqa: TID251 - realtime-py's tasks are asyncio's, and they are what must not be left
import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import psycopg
import pytest
from faulty_proxy import Mode, TcpRoad, running_proxy
from psycopg.conninfo import make_conninfo

from listener.clock import DatabaseClock
from listener.domain.messages import Hint
from listener.errors import SessionEndedError
from listener.execution.worker import CarriedClock
from listener.observability.health import Health
from listener.observability.metrics import Metrics
from listener.postgres.notify_session import NotifySession
from listener.supabase.feed import ChannelFeed
from listener.supabase.rpc import Rpc
from listener.supabase.session import Session
from listener.supabase.store import SupabaseStore
from listener.supabase.watched_session import Times
from listener.testing import NOON

CHANNELS = ("broadcast", "postgres_changes")
PATIENCE_SECONDS = 10
CLOSED = "CHANNEL_ERROR|socket closed|connection closed"
REFUSED = "401|403|HTTP|InvalidStatus|Unauthorized|CHANNEL_ERROR|rejected|password"


@dataclass(frozen=True)
class Kind:
    """One of the two kinds of sessions: its channels, and the port of the stack that it connects to."""

    name: str
    channels: tuple[str, ...]
    port: int
    stack: Any
    listen: Any

    def session(self, port, *receivers, secret=None):
        """Make a session by way of a port."""
        if self.name == "realtime":
            return Session(f"http://127.0.0.1:{port}", secret or self.stack.service_key, *receivers)
        password = {} if secret is None else {"password": secret}
        url = make_conninfo(self.stack.database_url, host="127.0.0.1", port=port, **password)
        return NotifySession(url, self.listen, *receivers)


class Road:
    """A way to the stack that can be cut, blocked, and opened again."""

    def __init__(self, to_port):
        self._port, self._streams, self._open = to_port, [], True

    async def carry(self, stream):
        if not self._open:
            return
        async with stream, await anyio.connect_tcp("127.0.0.1", self._port) as onward:
            self._streams += [stream, onward]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._pump, stream, onward, tasks)
                tasks.start_soon(self._pump, onward, stream, tasks)

    async def _pump(self, source, sink, tasks):
        try:
            async for chunk in source:
                await sink.send(chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        tasks.cancel_scope.cancel()

    async def cut(self, *, stay_closed=False):
        """Break every connection without a word."""
        self._open = not stay_closed
        for stream in self._streams:
            stream._transport.abort()
        self._streams.clear()

    def open(self):
        self._open = True


@pytest.fixture(params=["realtime", "notify"])
def kind(request, stack, store):
    """Give each kind of sessions."""
    if request.param == "realtime":
        return Kind("realtime", CHANNELS, stack.ports["api"], stack, None)
    return Kind("notify", ("notify",), stack.ports["postgres"], stack, store.listen)


@pytest.fixture
async def road(kind):
    """A road to the stack, with `port` at its beginning."""
    road = Road(kind.port)
    listening = await anyio.create_tcp_listener(local_host="127.0.0.1")
    road.port = listening.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
    async with listening, anyio.create_task_group() as tasks:
        tasks.start_soon(listening.serve, road.carry)
        yield road
        tasks.cancel_scope.cancel()


@pytest.fixture
def change(stack):
    """Change something that listeners are to receive of: insert a job, give its id."""
    with psycopg.connect(stack.admin_dsn, autocommit=True) as connection:
        statement = "insert into public.scheduled_jobs (handler, run_date) values ('noop', now() + '1 h') returning id"
        yield lambda: connection.execute(statement).fetchone()[0]


@pytest.fixture
def received():
    """The hints that were received."""
    return []


@pytest.fixture
async def store(stack):
    """The database as a listener has it."""
    rpc = Rpc(stack.url, stack.service_key, DatabaseClock())
    store = SupabaseStore(rpc, listener_id=str(uuid.uuid4()), name="test", lease_seconds=30, claim_ahead_seconds=0)
    yield store
    await rpc.aclose()


@pytest.fixture
def feed_of(kind, received, store):
    """Make a feed, with its health."""

    def make(port, channels=kind.channels, **times):
        clock = CarriedClock(NOON)
        health = Health(clock, channels)
        health.poll_succeeded()
        feed = ChannelFeed(
            name=kind.name,
            make_session=partial(kind.session, port),
            channels=channels,
            tables=("scheduled_jobs",),
            deliver=received.append,
            send_probe=store.send_probe,
            health=health,
            metrics=Metrics(),
            clock=clock,
            jitter=lambda: 0.1,
            times=Times(**times),
        )
        return feed, health

    return make


async def until(condition):
    """Wait for what must come soon."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in other programs
            await anyio.sleep(0.01)


def sources_of(received, job_id):
    """Name the channels that rang for a job."""
    return {hint.source for hint in received if job_id in [job.id for job in hint.jobs]}


async def tasks_left(before):
    """Give the client's tasks that were not there before, once those that end have ended."""
    left = set()
    for _ in range(50):
        left = {task for task in asyncio.all_tasks() - before if "realtime" in repr(task) or "websockets" in repr(task)}
        if not left:
            break
        await anyio.sleep(0.01)
    return left


async def test_a_session_receives_each_channel(kind, change, received):
    """The same insert by all, with the row."""
    before, works = asyncio.all_tasks(), []
    session = kind.session(kind.port, received.append, works.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.live, kind.channels, PATIENCE_SECONDS)
        await until(lambda: set(works) == set(kind.channels))
        job_id = change()
        await until(lambda: sources_of(received, job_id) == set(kind.channels))
        tasks.cancel_scope.cancel()
    await session.close()
    assert await tasks_left(before) == set()


async def test_a_session_ends_when_its_socket_is_cut(kind, road, received):
    """At once, and says why; nothing of it goes on."""
    before, works = asyncio.all_tasks(), []
    session = kind.session(road.port, received.append, works.append)

    async def cut():
        await until(lambda: set(works) == set(kind.channels))
        await road.cut()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cut)
        started = time.monotonic()
        with (
            pytest.raises(SessionEndedError, match=CLOSED),
            anyio.fail_after(PATIENCE_SECONDS),
        ):
            await session.live(kind.channels, PATIENCE_SECONDS)
    assert time.monotonic() - started < 3
    await session.close()
    assert await tasks_left(before) == set()


REASONS = {
    "nobody there": ({"port": 1}, "Connect|[Rr]efused"),
    "bad key": (
        {"secret": "sb_secret_wrong"},
        "401|403|HTTP|InvalidStatus|Unauthorized|CHANNEL_ERROR|rejected|password",
    ),
}


@pytest.mark.parametrize("case", REASONS)
async def test_a_session_that_cannot_begin_ends(kind, case):
    """With the reason, without an exception of another kind, and without tasks."""
    named, why = REASONS[case]
    before = asyncio.all_tasks()
    session = kind.session(named.get("port", kind.port), lambda _: None, lambda _: None, secret=named.get("secret"))
    with pytest.raises(SessionEndedError, match=why), anyio.fail_after(PATIENCE_SECONDS):
        await session.live(kind.channels, PATIENCE_SECONDS)
    await session.close()
    assert await tasks_left(before) == set()


async def test_a_fault_of_the_receiver_ends_the_session_with_its_name(kind, change):
    """realtime-py would go stale silently."""

    def take_hint(_):
        message = "no receiver"
        raise ZeroDivisionError(message)

    works = []
    session = kind.session(kind.port, take_hint, works.append)

    async def change_soon():
        await until(lambda: set(works) == set(kind.channels))
        change()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(change_soon)
        with (
            pytest.raises(SessionEndedError, match="ZeroDivisionError: no receiver"),
            anyio.fail_after(PATIENCE_SECONDS),
        ):
            await session.live(kind.channels, PATIENCE_SECONDS)
    await session.close()


async def test_the_feed_comes_back_and_polls_what_it_missed(kind, feed_of, road, change, received):
    """While it is away it says so."""
    before = asyncio.all_tasks()
    feed, health = feed_of(road.port)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run)
        await until(lambda: all(health.channels.values()))
        received.clear()
        await road.cut(stay_closed=True)
        await until(lambda: not health.receiving)
        assert [hint.source for hint in received] == ["feed"], "stale, it polls more often from now on"
        assert health.fault().startswith("feed: ")
        change()
        received.clear()
        road.open()
        await until(lambda: all(health.channels.values()))
        assert health.fault() is None
        assert feed.sessions >= 2
        assert any(not (hint.jobs or hint.gone or hint.ids or hint.xid) for hint in received), "a gap requests a poll"
        job_id = change()
        await until(lambda: sources_of(received, job_id) == set(kind.channels))
        tasks.cancel_scope.cancel()
    assert await tasks_left(before) == set()


NOTIFY_ALONE = pytest.mark.parametrize("kind", ["notify"], indirect=True)
"""Tests of what NOTIFY has of its own; `stale_channels` has those of Realtime."""


@NOTIFY_ALONE
async def test_a_connection_that_went_silent_is_replaced_because_its_probe_does_not_come(
    kind, feed_of, change, received
):
    """No error reports it."""
    async with running_proxy(TcpRoad(kind.port)) as proxy:
        feed, health = feed_of(proxy.port, probe_seconds=0.3)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed.run)
            await until(lambda: health.receiving)
            proxy.mode = Mode.HALF_OPEN
            proxy.mode = Mode.PASS
            await until(lambda: feed.sessions > 1 and health.receiving)
            job_id = change()
            await until(lambda: sources_of(received, job_id) == {"notify"})
            tasks.cancel_scope.cancel()


@NOTIFY_ALONE
async def test_a_request_for_notifications_that_was_lost_is_made_again(kind, stack, feed_of, change, received):
    """A restored database does not have it; the probe shows that, and what came meanwhile is looked for."""
    feed, health = feed_of(kind.port, probe_seconds=0.3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run)
        await until(lambda: health.receiving)
        received.clear()
        with psycopg.connect(stack.admin_dsn, autocommit=True) as connection:
            connection.execute("delete from job_scheduler.listening")
        await until(lambda: "feed" in {hint.source for hint in received} and health.receiving)
        job_id = change()
        await until(lambda: sources_of(received, job_id) == {"notify"})
        tasks.cancel_scope.cancel()


@NOTIFY_ALONE
async def test_whatever_somebody_sends_by_notify_only_causes_a_look(kind, stack, change, received):
    """Anybody may who may connect to the database; the session goes on."""
    forged = [
        "",
        "no JSON",
        "[]",
        "7",
        '{"table": 5}',
        '{"table": "scheduled_jobs", "rows": [[1]], "xid": "x"}',
        "[" * 7000,
    ]
    works = []
    session = kind.session(kind.port, received.append, works.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.live, kind.channels, PATIENCE_SECONDS)
        await until(lambda: works)
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            for payload in forged:
                connection.execute("select pg_notify('job_scheduler', %s)", [payload])
        await until(lambda: len(received) == len(forged))
        assert set(received) == {Hint("notify", "scheduled_jobs")}
        job_id = change()
        await until(lambda: sources_of(received, job_id) == {"notify"})
        tasks.cancel_scope.cancel()
    await session.close()


async def test_many_sessions_leave_nothing(feed_of, road, monkeypatch):
    """Neither tasks nor sockets, however often the road is cut."""
    monkeypatch.setattr("listener.supabase.feed.FIRST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr("listener.supabase.feed.MAX_PAUSE_SECONDS", 0.1)
    feed, health = feed_of(road.port)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run)
        counts = []
        for number in range(1, 6):
            await until(lambda number=number: feed.sessions >= number and all(health.channels.values()))
            counts.append(len(asyncio.all_tasks()))
            await road.cut()
            await until(lambda: not health.receiving)
        tasks.cancel_scope.cancel()
    assert max(counts[1:]) <= counts[0] + 1


@pytest.mark.parametrize("kind", ["realtime"], indirect=True)
@pytest.mark.parametrize("channel", CHANNELS)
async def test_one_channel_alone_is_received(kind, feed_of, change, received, channel):
    """A project may lack the other."""
    feed, health = feed_of(kind.port, (channel,))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run)
        await until(lambda: health.receiving)
        job_id = change()
        await until(lambda: sources_of(received, job_id) == {channel})
        tasks.cancel_scope.cancel()


async def test_without_channels_there_is_no_feed(kind, feed_of):
    """It does nothing, and the polls are enough."""
    feed, health = feed_of(kind.port, ())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run)
        await anyio.wait_all_tasks_blocked()
        assert (feed.sessions, health.fault()) == (0, None)
        tasks.cancel_scope.cancel()
