"""The feed receives both channels, notices when it receives no more, comes back, and leaves nothing behind."""

from __future__ import annotations

import asyncio  # noqa: TID251 - realtime-py's tasks are asyncio's, and they are what must not be left
import time
import uuid
from contextlib import asynccontextmanager

import anyio
import psycopg
import pytest

from listener.clock import DatabaseClock
from listener.execution.worker import CarriedClock
from listener.observability.health import Health
from listener.observability.metrics import Metrics
from listener.supabase.feed import RealtimeFeed
from listener.supabase.rpc import Rpc
from listener.supabase.session import Session, SessionEndedError
from listener.supabase.store import SupabaseStore
from listener.testing import NOON

CHANNELS = ("broadcast", "postgres_changes")
PATIENCE_SECONDS = 10


class Road:
    """A way to the stack that can be cut, blocked, and opened again."""

    def __init__(self, port):
        self._port, self._streams, self._open = port, [], True

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


@asynccontextmanager
async def road_to(stack):
    """Give a road, and the URL at its beginning."""
    road = Road(stack.ports["api"])
    listening = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listening.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
    async with listening, anyio.create_task_group() as tasks:
        tasks.start_soon(listening.serve, road.carry)
        yield road, f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


@pytest.fixture
async def road(stack):
    """A road to the stack, with `url` at its beginning."""
    async with road_to(stack) as (road, url):
        road.url = url
        yield road


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
async def probe(stack):
    """A function that sends a probe."""
    rpc = Rpc(stack.url, stack.service_key, DatabaseClock())
    store = SupabaseStore(rpc, listener_id=str(uuid.uuid4()), name="test", lease_seconds=30, claim_ahead_seconds=0)
    yield store.send_probe
    await rpc.aclose()


@pytest.fixture
def feed_of(stack, received, probe):
    """Make a feed, with its health."""

    def make(url, channels=CHANNELS):
        clock = CarriedClock(NOON)
        health = Health(clock, channels)
        health.poll_succeeded()
        feed = RealtimeFeed(
            url=url,
            key=stack.service_key,
            channels=channels,
            tables=("scheduled_jobs",),
            deliver=received.append,
            send_probe=probe,
            health=health,
            metrics=Metrics(),
            clock=clock,
            jitter=lambda: 0.1,
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


async def test_a_session_receives_each_channel(stack, change, received):
    """The same insert by both, with the row."""
    before, works = asyncio.all_tasks(), []
    session = Session(stack.url, stack.service_key, received.append, works.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.live, CHANNELS)
        await until(lambda: set(works) == set(CHANNELS))
        job_id = change()
        await until(lambda: sources_of(received, job_id) == set(CHANNELS))
        tasks.cancel_scope.cancel()
    await session.close()
    assert await tasks_left(before) == set()


async def test_a_session_ends_when_its_socket_is_cut(stack, road, received):
    """At once, and says why; nothing of it goes on."""
    before, works = asyncio.all_tasks(), []
    session = Session(road.url, stack.service_key, received.append, works.append)

    async def cut():
        await until(lambda: set(works) == set(CHANNELS))
        await road.cut()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cut)
        started = time.monotonic()
        with pytest.raises(SessionEndedError, match=r"CHANNEL_ERROR|socket closed"), anyio.fail_after(PATIENCE_SECONDS):
            await session.live(CHANNELS)
    assert time.monotonic() - started < 3
    await session.close()
    assert await tasks_left(before) == set()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:1", "Connect|refused"),
        (None, "401|403|HTTP|InvalidStatus|Unauthorized|CHANNEL_ERROR|rejected"),
    ],
    ids=["nobody there", "bad key"],
)
async def test_a_session_that_cannot_begin_ends(stack, url, why):
    """With the reason, without an exception of another kind, and without tasks."""
    before = asyncio.all_tasks()
    session = Session(url or stack.url, "sb_secret_wrong", lambda _: None, lambda _: None)
    with pytest.raises(SessionEndedError, match=why), anyio.fail_after(PATIENCE_SECONDS):
        await session.live(CHANNELS)
    await session.close()
    assert await tasks_left(before) == set()


async def test_a_fault_of_the_receiver_ends_the_session_with_its_name(stack, change):
    """realtime-py would go stale silently."""

    def take_hint(_):
        message = "no receiver"
        raise ZeroDivisionError(message)

    works = []
    session = Session(stack.url, stack.service_key, take_hint, works.append)

    async def change_soon():
        await until(lambda: set(works) == set(CHANNELS))
        change()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(change_soon)
        with (
            pytest.raises(SessionEndedError, match="ZeroDivisionError: no receiver"),
            anyio.fail_after(PATIENCE_SECONDS),
        ):
            await session.live(CHANNELS)
    await session.close()


async def test_the_feed_comes_back_and_polls_what_it_missed(feed_of, road, change, received):
    """While it is away it says so."""
    before = asyncio.all_tasks()
    feed, health = feed_of(road.url)
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
        await until(lambda: sources_of(received, job_id) == set(CHANNELS))
        tasks.cancel_scope.cancel()
    assert await tasks_left(before) == set()


async def test_many_sessions_leave_nothing(feed_of, road, monkeypatch):
    """Neither tasks nor sockets, however often the road is cut."""
    monkeypatch.setattr("listener.supabase.feed.FIRST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr("listener.supabase.feed.MAX_PAUSE_SECONDS", 0.1)
    feed, health = feed_of(road.url)
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


@pytest.mark.parametrize("channel", CHANNELS)
async def test_one_channel_alone_is_received(feed_of, stack, change, received, channel):
    """A project may lack the other."""
    feed, health = feed_of(stack.url, (channel,))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run)
        await until(lambda: health.receiving)
        job_id = change()
        await until(lambda: sources_of(received, job_id) == {channel})
        tasks.cancel_scope.cancel()


async def test_without_channels_there_is_no_feed(feed_of, stack):
    """It does nothing, and the polls are enough."""
    feed, health = feed_of(stack.url, ())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run)
        await anyio.wait_all_tasks_blocked()
        assert (feed.sessions, health.fault()) == (0, None)
        tasks.cancel_scope.cancel()
