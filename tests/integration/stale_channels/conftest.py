"""A feed and its reflector, and a stock realtime-py client beside them that lives through the same fault."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import psycopg
import pytest
from faulty_proxy import TcpRoad, running_proxy
from faulty_realtime import FaultyRealtime
from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent

from listener.clock import DatabaseClock
from listener.observability.health import Health
from listener.observability.metrics import Metrics
from listener.scheduling.left_to_peers import LeftToPeers
from listener.scheduling.peers import Peers
from listener.scheduling.reflector import Reflector
from listener.settings import Settings
from listener.supabase.feed import ChannelFeed
from listener.supabase.rpc import Rpc
from listener.supabase.session import Session
from listener.supabase.store import SupabaseStore
from listener.supabase.unreadable_frames import unreadable_counted
from listener.supabase.watched_session import Times

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator

    from anyio.abc import TaskGroup

    from listener.domain.messages import Hint
    from listener.local.stack import Stack

CHANNELS = ("broadcast", "postgres_changes")
CHANCE = Random(1)  # noqa: S311 - spreads what a test does, hides nothing
RECOVERY_SECONDS = 10.0
"""In less than this every kind of staleness is noticed and fixed while the server is fine."""
PATIENCE_SECONDS = 20.0
"""For whatever else must come, on a machine that has much to do."""
STALE_SECONDS = 0.6
"""In which a stock client would have received, if it did."""
INSERT = "insert into public.scheduled_jobs (handler, run_date) values ('noop', now() + '1 h') returning id"


async def until(true: Callable[[], object], within: float = PATIENCE_SECONDS) -> None:
    """Wait for what must come."""
    with anyio.fail_after(within):
        while not true():  # noqa: ASYNC110 - what it waits for happens in other programs
            await anyio.sleep(0.01)


@dataclass
class RunningFeed:
    """A feed, and what it has received."""

    feed: ChannelFeed
    health: Health
    metrics: Metrics
    hints: list[Hint] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether it receives each channel."""
        return all(self.health.channels.values())

    def of(self, job: int) -> set[str]:
        """Name the channels that delivered a job."""
        return {hint.source for hint in self.hints if job in [each.id for each in hint.jobs]}

    def count(self, metric: str) -> float:
        """Read a metric."""
        lines = self.metrics.exposition().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(metric))


@dataclass
class Stock:
    """A client as realtime-py's documentation shows it, and the jobs that it received."""

    client: AsyncRealtimeClient
    jobs: list[int] = field(default_factory=list)
    subscribed: anyio.Event = field(default_factory=anyio.Event)

    async def join(self) -> None:
        """Connect, and subscribe to what the listener subscribes to."""
        channel = self.client.channel(f"stock-{uuid.uuid4()}").on_system(lambda _: self.subscribed.set())
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.Insert, self._take, table="signals", schema="job_scheduler"
        )
        await self.client.connect()
        await channel.subscribe()

    def _take(self, change: Any) -> None:
        message = change["data"]["record"]["message"]
        if message["table"] == "scheduled_jobs":
            self.jobs += [row[0] for row in message["rows"]]

    async def leave(self) -> None:
        """End whatever of it still goes on."""
        with anyio.move_on_after(1):
            await self.client.close()


@pytest.fixture
def sql(stack: Stack) -> Iterator[Callable[..., Any]]:
    """Query the database as superuser; give the first value, if there is one."""
    with psycopg.connect(stack.admin_dsn, autocommit=True) as connection:

        def run(statement: str, *arguments: object) -> Any:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchone()[0] if cursor.description else None

        yield run


@pytest.fixture
def insert(sql: Callable[..., Any]) -> Callable[[], int]:
    """Insert a job; give its id."""
    return lambda: sql(INSERT)


@pytest.fixture
async def probe(stack: Stack) -> AsyncIterator[Callable[[Collection[str]], Awaitable[list[str]]]]:
    """Return a function that sends a probe."""
    rpc = Rpc(stack.url, stack.service_key, DatabaseClock())
    name = str(uuid.uuid4())
    store = SupabaseStore(rpc, listener_id=name, name="test", lease_seconds=30, claim_ahead_seconds=0)
    yield store.send_probe
    await rpc.aclose()


@pytest.fixture
async def road(stack: Stack) -> AsyncIterator[FaultyRealtime]:
    """A websocket road to the stack; `url` leads there."""
    async with FaultyRealtime(stack.ports["api"], CHANCE).running() as road:
        road.url = f"http://127.0.0.1:{road.port}"
        yield road


@pytest.fixture
async def wire(stack: Stack) -> AsyncIterator[Any]:
    """A TCP road to the stack; `url` leads there."""
    async with running_proxy(TcpRoad(stack.ports["api"])) as proxy:
        proxy.url = f"http://127.0.0.1:{proxy.port}"
        yield proxy


@pytest.fixture
def feeding(stack: Stack, probe: Callable[[Collection[str]], Awaitable[list[str]]]) -> Callable[..., Any]:
    """Run a feed while the block lasts; leave it once it receives, unless `wait` says otherwise."""

    @asynccontextmanager
    async def run(
        url: str,
        channels: tuple[str, ...] = CHANNELS,
        *,
        send_probe: Any = None,
        wait: bool = True,
        polls: bool = False,
        **times: float,
    ) -> AsyncIterator[RunningFeed]:
        clock, hints, metrics = DatabaseClock(), [], Metrics()
        reflectors: list[Reflector] = []

        def deliver(hint: Hint) -> None:
            hints.append(hint)
            for reflector in reflectors:
                reflector.take_hint(hint)

        health = Health(clock, channels)
        health.poll_succeeded()
        feed = ChannelFeed(
            name="realtime",
            make_session=partial(Session, url, stack.service_key),
            channels=channels,
            tables=("scheduled_jobs",),
            deliver=deliver,
            send_probe=send_probe or probe,
            health=health,
            metrics=metrics,
            clock=clock,
            jitter=CHANCE.random,
            times=Times(**times),
            while_running=partial(unreadable_counted, metrics.frame_unreadable),
            count_others=lambda: 2,  # the tests that run several are about sharing
        )
        received = RunningFeed(feed, health, metrics, hints)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed.run)
            if polls:
                reflectors.append(await _started(tasks, stack, feed, received))
            if wait:
                await until(lambda: received.is_whole)
                for reflector in reflectors:  # the first poll after that says which changes are older than the channels
                    await until(lambda reflector=reflector: reflector._missed_hints.has_begun)
            yield received
            tasks.cancel_scope.cancel()

    return run


async def _started(tasks: TaskGroup, stack: Stack, feed: ChannelFeed, received: RunningFeed) -> Reflector:
    """Start a reflector that polls as often as by default, and that arms nothing."""
    clock = DatabaseClock()
    name, rpc = str(uuid.uuid4()), Rpc(stack.url, stack.service_key, clock)
    arms_nothing = SimpleNamespace(
        apply=lambda *_, **__: None,
        announce=lambda _: True,
        forget=lambda _: None,
        armed_until=None,
        complete_until=None,
    )
    usual = {name: Settings.model_fields[name].default for name in ("poll_seconds", "stale_poll_seconds")}
    store = SupabaseStore(rpc, listener_id=name, name="test", lease_seconds=30, claim_ahead_seconds=0)
    reflector = Reflector(
        store=store,
        reconciler=arms_nothing,
        left_out=LeftToPeers(store, arms_nothing, Peers(name, clock, 0), clock, 1000),
        clock=clock,
        health=received.health,
        metrics=received.metrics,
        horizon=timedelta(hours=2),
        horizon_jobs=1000,
        relist_seconds=600,
        **usual,
    )
    reflector.doubter = feed

    async def run() -> None:
        try:
            await reflector.run()
        finally:
            with anyio.CancelScope(shield=True):
                await rpc.aclose()

    tasks.start_soon(run)
    return reflector


@pytest.fixture
def stock_client(stack: Stack) -> Callable[..., Any]:
    """Run a stock client while the block lasts."""

    @asynccontextmanager
    async def run(url: str, *, joined: bool = True, **options: Any) -> AsyncIterator[Stock]:
        stock = Stock(AsyncRealtimeClient(f"{url}/realtime/v1", stack.service_key, **options))
        try:
            if joined:
                await stock.join()
                with anyio.fail_after(30):
                    await stock.subscribed.wait()
            yield stock
        finally:
            await stock.leave()

    return run


@pytest.fixture
def staleness(insert: Callable[[], int]) -> SimpleNamespace:
    """Give what every test of a fault says before and after it."""

    async def both_receive(received: RunningFeed, stock: Stock) -> None:
        """The fault that follows is what makes the difference."""
        job = insert()
        await until(lambda: received.of(job) == set(CHANNELS) and job in stock.jobs)

    async def only_the_feed_receives(received: RunningFeed, stock: Stock) -> None:
        """The feed receives by each channel again in less than ten seconds, and the stock client does not."""
        await until(lambda: received.is_whole, RECOVERY_SECONDS)
        job = insert()
        await until(lambda: received.of(job) == set(CHANNELS))
        await anyio.sleep(STALE_SECONDS)
        assert job not in stock.jobs, "this fault makes nobody stale any more"

    async def a_job_makes_the_feed_doubt(received: RunningFeed) -> None:
        """A poll finds a job that no channel brought, and the feed knows in less than ten seconds what that means."""
        before, job = received.feed.sessions, insert()
        await until(lambda: not received.health.receiving or received.feed.sessions > before, RECOVERY_SECONDS)
        assert received.of(job) == set()

    return SimpleNamespace(
        both_receive=both_receive,
        only_the_feed_receives=only_the_feed_receives,
        a_job_makes_the_feed_doubt=a_job_makes_the_feed_doubt,
        until=until,
    )
