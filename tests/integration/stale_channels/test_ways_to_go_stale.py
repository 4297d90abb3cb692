"""Each way in which realtime-py goes stale for good: a stock client does; the feed recovers in under ten seconds."""

from __future__ import annotations

import anyio
import pytest
from faulty_proxy import Mode
from websockets.exceptions import ConnectionClosedError

pytestmark = pytest.mark.filterwarnings(  # of realtime-py; as an error it would end its listening by itself
    "ignore:ConnectionClosed.(code|reason) is deprecated:DeprecationWarning"
)
POISON = (
    "insert into job_scheduler.signals (message) values ('{}')",
    "select realtime.send('{\"no\": \"signal\"}'::jsonb, 'changed', 'job_scheduler', true)",
)
SYSTEM_ERROR = {"channel": "x", "extension": "postgres_changes", "status": "error", "message": "out of order"}


async def test_an_outage_longer_than_five_attempts(wire, feeding, stock_client, staleness):
    """The stock client gives up in a task that nobody awaits."""
    async with stock_client(wire.url, initial_backoff=0.05) as stock, feeding(wire.url) as received:
        await staleness.both_receive(received, stock)
        wire.mode = Mode.REFUSE
        await staleness.until(lambda: not received.health.receiving and stock.client._listen_task.done())
        assert received.health.fault().startswith("feed: ")
        wire.mode = Mode.PASS
        await staleness.only_the_feed_receives(received, stock)
        assert received.feed.sessions > 1
        with pytest.raises(OSError, match="Connect"):
            await stock.client._listen_task


async def test_an_exception_in_a_callback(wire, feeding, stock_client, staleness, sql):
    """Of the stock client it ends the listening, although it looks connected; the feed keeps its session."""
    async with stock_client(wire.url) as stock, feeding(wire.url) as received:
        await staleness.both_receive(received, stock)
        for each in POISON:
            sql(each)
        await staleness.until(stock.client._listen_task.done)
        assert stock.client.is_connected
        await staleness.only_the_feed_receives(received, stock)
        assert received.feed.sessions == 1
        with pytest.raises(KeyError):
            await stock.client._listen_task


@pytest.mark.parametrize("frame", [("system", SYSTEM_ERROR), ("phx_error", {})], ids=lambda frame: frame[0])
async def test_an_error_of_the_server_and_the_join_that_follows(road, feeding, stock_client, staleness, frame):
    """The stock client joins the same topic again, and takes the end of its old join for that of the new one."""
    async with stock_client(road.url) as stock, feeding(road.url) as received:
        await staleness.both_receive(received, stock)
        await road.notify_channels(*frame)
        await staleness.until(lambda: not stock.client.channels and received.feed.sessions > 1)
        assert stock.client.is_connected
        await staleness.only_the_feed_receives(received, stock)


async def test_a_token_that_expires(road, feeding, stock_client, staleness):
    """The server closes each channel; the stock client never joins it again."""
    async with stock_client(road.url) as stock, feeding(road.url) as received:
        await staleness.both_receive(received, stock)
        await road.expire_tokens()
        await staleness.until(lambda: received.feed.sessions > 1)
        assert stock.client.is_connected
        await staleness.only_the_feed_receives(received, stock)


async def test_a_join_that_takes_too_long(road, feeding, stock_client, staleness):
    """The stock client joins again, both joins succeed, and the end of the first one ends both."""
    road.mischief.join_delay_seconds = 3
    async with (
        stock_client(road.url, joined=False, timeout=1) as stock,
        feeding(road.url, wait=False, join_seconds=2) as received,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(stock.join)
        await staleness.until(lambda: received.feed.sessions > 1)
        road.mischief.join_delay_seconds = 0
        await staleness.until(lambda: received.is_whole)
        await staleness.until(lambda: not stock.client.channels)
        assert stock.client.is_connected
        await staleness.only_the_feed_receives(received, stock)


async def test_a_peer_that_is_gone_without_a_word(wire, feeding, stock_client, staleness):
    """Nothing comes and nothing is refused; the stock client still believes that it is connected."""
    async with stock_client(wire.url) as stock, feeding(wire.url, polls=True) as received:
        await staleness.both_receive(received, stock)
        wire.mode = Mode.HALF_OPEN
        wire.mode = Mode.PASS  # whoever was connected stays stale
        await staleness.a_job_makes_the_feed_doubt(received)
        await staleness.only_the_feed_receives(received, stock)
        assert stock.client.is_connected


@pytest.mark.parametrize(
    ("fault", "noticed"),
    [("heartbeats unanswered", "at rest"), ("events dropped", "at rest"), ("events dropped", "by a job")],
)
async def test_a_channel_that_still_looks_joined(  # noqa: PLR0913, PLR0917 - fixtures
    road, feeding, stock_client, staleness, fault, noticed
):
    """The server has forgotten it; the stock client does not look at the answers to its heartbeats.

    At rest a probe is due, here soon; with the usual times, the first job that no channel brings causes one.
    """
    times = {"probe_seconds": 1.5, "answer_seconds": 1.5} if noticed == "at rest" else {"polls": True}
    async with stock_client(road.url) as stock, feeding(road.url, **times) as received:
        await staleness.both_receive(received, stock)
        if fault == "events dropped":
            road.drop_from_now_on(lambda _, event: event in {"broadcast", "postgres_changes"})
        else:
            road.mark_stale()
        if noticed == "at rest":
            await staleness.until(lambda: received.feed.sessions > 1)
        else:
            await staleness.a_job_makes_the_feed_doubt(received)
        await staleness.only_the_feed_receives(received, stock)
        assert stock.client.is_connected
        assert all(channel.is_joined for channel in stock.client.channels.values())


async def test_a_push_that_is_cancelled_while_it_connects_again(road, feeding, stock_client, staleness):
    """A push that finds the socket closed connects in its own task; cancelled, it leaves the channels behind."""
    async with stock_client(road.url) as stock, feeding(road.url) as received:
        await staleness.both_receive(received, stock)
        road.cut()
        stock.client.send_buffer.append(anyio.sleep_forever)  # a message that waits for a slow peer
        with anyio.move_on_after(0.5):
            await stock.client._on_connect_error(ConnectionClosedError(None, None))
        assert stock.client.is_connected
        await staleness.only_the_feed_receives(received, stock)
