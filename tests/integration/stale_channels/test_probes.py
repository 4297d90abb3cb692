"""Each channel proves that it receives; a silent one is probed, and a rotation loses nothing."""

from __future__ import annotations

import anyio
import pytest
from faulty_proxy import Mode
from given_stack import needs_superuser
from structlog.testing import capture_logs

from listener.domain.messages import Hint
from listener.errors import StoreError

CHANNELS = {"broadcast", "postgres_changes"}
PROBES = "select count(*) from job_scheduler.signals where message ->> 'table' = 'probe'"
REFUSED = StoreError("send_probe_v1", "ConnectError", "refused", retryable=True)
ONLY_CHANGES = "insert into job_scheduler.signals (message) values (%s)"
SEND = "realtime.send(jsonb, text, text, boolean)"
QUICK = {"probe_seconds": 0.5, "answer_seconds": 2}
PATIENT = {"probe_seconds": 0.5, "answer_seconds": 20}
"""Of a session that must not end, however slow the machine is."""


async def test_joined_is_not_receiving(stack, feeding, probe, staleness):
    """The service is not ready before a probe has come back."""
    allowed = anyio.Event()

    async def send(channels):
        await allowed.wait()
        return await probe(channels)

    async with feeding(stack.url, send_probe=send, wait=False) as received:
        assert received.feed.state in {"down", "connecting"}
        await staleness.until(lambda: received.feed.state == "joined")
        await anyio.sleep(0.3)
        assert (received.feed.state, received.health.receiving) == ("joined", False)
        assert received.health.fault().startswith("feed: ")
        allowed.set()
        await staleness.until(lambda: received.is_whole)
        assert (received.feed.state, received.health.fault()) == ("receiving", None)
        assert 'listener_feed_session="receiving"} 1.0' in received.metrics.exposition().decode()
    assert received.feed.state == "down"


async def test_without_probes_a_subscription_is_believed_and_a_signal_proves_it(stack, feeding, sql, insert, staleness):
    """A project that saves messages of a hosted plan still receives."""
    before = sql(PROBES)
    async with feeding(stack.url, probe_seconds=0) as received:
        assert (received.feed.state, received.health.fault()) == ("joined", None)
        insert()
        await staleness.until(lambda: received.feed.state == "receiving")
    assert sql(PROBES) == before


async def test_one_stale_channel_is_replaced_while_the_other_one_receives(road, feeding, insert, staleness):
    """Make before break: the session that still receives something ends when another one receives more."""
    async with feeding(road.url, **QUICK) as received:
        road.drop_from_now_on(lambda _, event: event == "postgres_changes")
        await staleness.until(lambda: not received.health.channels["postgres_changes"])
        assert received.health.channels["broadcast"]
        seen = []
        while not received.is_whole:
            job = insert()
            await staleness.until(lambda job=job: "broadcast" in received.of(job))
            seen.append(received.health.receiving)
        assert all(seen)
        assert received.count('listener_feed_channels_stale_total{channel="postgres_changes"}') == 1
        job = insert()
        await staleness.until(lambda: received.of(job) == CHANNELS)


async def test_a_channel_that_does_not_exist_yet_is_tried_again_and_does_not_cost_the_other_one(
    stack, feeding, sql, staleness
):
    """The server answers the join and says later that the table is not published; one line is logged of it."""
    sql("alter publication supabase_realtime drop table job_scheduler.signals")
    try:
        async with feeding(stack.url, wait=False, **QUICK) as received:
            with capture_logs() as lines:
                await staleness.until(lambda: received.feed.sessions > 2)
            assert received.health.channels == {"broadcast": True, "postgres_changes": False}
            assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["feed.channel_stale"]
            sql("alter publication supabase_realtime add table job_scheduler.signals")
            await staleness.until(lambda: received.is_whole)
    finally:
        sql(
            "do $$ begin alter publication supabase_realtime add table job_scheduler.signals; "
            "exception when duplicate_object then null; end $$"
        )


async def test_a_database_that_cannot_broadcast_is_not_asked_for_it(stack, feeding, sql, insert, staleness):
    """Older projects lack the function; what they can send is proof enough."""

    async def send(_):
        sql(ONLY_CHANGES, '{"table": "probe", "rows": ["postgres_changes"], "xid": 1}')
        return ["postgres_changes"]

    async with feeding(stack.url, send_probe=send, wait=False, probe_seconds=0.5, answer_seconds=2) as received:
        await staleness.until(lambda: received.health.channels["postgres_changes"])
        await anyio.sleep(3)
        assert received.feed.sessions == 1
        insert()
        await staleness.until(lambda: received.is_whole)


async def test_a_function_that_is_missing_for_a_while_makes_its_channel_stale_for_a_while(
    stack, feeding, sql, insert, staleness
):
    """Within one session: not received as soon as a probe finds out, and received as soon as one comes back."""
    needs_superuser(stack)
    async with feeding(stack.url, **PATIENT) as received:
        sql(f"alter function {SEND} rename to send_elsewhere")
        try:
            await staleness.until(lambda: not received.health.channels["broadcast"])
            assert received.health.receiving
        finally:
            sql(f"alter function {SEND.replace('.send', '.send_elsewhere')} rename to send")
        await staleness.until(lambda: received.is_whole)
        job = insert()
        await staleness.until(lambda: received.of(job) == CHANNELS)
        assert received.feed.sessions == 1


async def test_a_probe_that_cannot_be_sent_does_not_end_a_session(wire, feeding, probe, staleness, monkeypatch):
    """The database is away, the socket is not; when the socket does not answer either, the session ends."""
    monkeypatch.setattr("listener.supabase.watched_session.RETRY_SECONDS", 0.2)
    monkeypatch.setattr("listener.supabase.watched_session.PONG_SECONDS", 1)
    is_away = False

    async def send(channels):
        if is_away:
            raise REFUSED
        return await probe(channels)

    async with feeding(wire.url, send_probe=send, **PATIENT) as received:
        is_away = True
        await staleness.until(lambda: received.count('listener_feed_probes_total{outcome="unsent"}') >= 3)
        assert (received.feed.sessions, received.is_whole) == (1, True)
        wire.mode = Mode.HALF_OPEN
        await staleness.until(lambda: not received.health.receiving)
        wire.mode, is_away = Mode.PASS, False
        await staleness.until(lambda: received.is_whole)


async def test_after_an_answer_the_next_probe_is_due_no_later_than_the_silence(stack, feeding, probe, staleness):
    """The watch that waits for an answer has long to sleep; the answer wakes it."""
    sent = []
    async with anyio.create_task_group() as later:

        async def send(channels):
            sent.append(later.start_soon(probe, channels))  # sent once it is known to have been sent
            return CHANNELS

        async with feeding(stack.url, send_probe=send, **PATIENT):
            await staleness.until(lambda: len(sent) >= 4, PATIENT["answer_seconds"] / 2)


async def test_a_busy_table_needs_no_probes(stack, feeding, sql, insert):
    """Every signal proves the channel that brings it."""
    async with feeding(stack.url, probe_seconds=1, answer_seconds=5):
        before = sql(PROBES)
        for _ in range(20):
            insert()
            await anyio.sleep(0.1)
        assert sql(PROBES) - before <= 1


async def test_replicas_share_their_probes(stack, feeding, sql):
    """All listeners receive a probe that one of them sends."""
    times = {"probe_seconds": 0.6, "answer_seconds": 5}
    async with feeding(stack.url, **times), feeding(stack.url, **times), feeding(stack.url, **times):
        before, began = sql(PROBES), anyio.current_time()
        await anyio.sleep(2)
        sent = sql(PROBES) - before
        alone = (anyio.current_time() - began) / (0.6 * 0.9)
        assert sent <= 2 * alone, "each sends its own"


async def test_a_rotation_is_make_before_break(stack, feeding, insert, staleness, monkeypatch):
    """Every change is received by each channel, and the service never says that it receives nothing."""
    async with feeding(stack.url, rotate_seconds=0.5) as received:
        reported = []
        monkeypatch.setattr(received.health, "stale", lambda *why: reported.append(why))
        jobs = []
        while received.feed.sessions < 4:
            jobs.append(insert())
            await anyio.sleep(0.05)
        await staleness.until(lambda: all(received.of(job) == CHANNELS for job in jobs))
        assert reported == []
        assert len(received.feed._watched) <= 2


async def test_frames_that_cannot_be_read_are_counted(road, feeding, insert, staleness):
    """The client drops them and says so in its log alone; the session goes on."""
    async with feeding(road.url) as received:
        await road.send_garbage()
        await staleness.until(lambda: received.count("listener_feed_frames_unreadable_total") == 5)
        job = insert()
        await staleness.until(lambda: received.of(job) == CHANNELS)
        assert received.feed.sessions == 1


async def test_more_hints_than_are_kept_become_one_look(stack, feeding, monkeypatch):
    """Hints that arrive faster than they are taken neither wait without bound nor are lost."""
    monkeypatch.setattr("listener.supabase.feed.MOST_WAITING_HINTS", 2)
    async with feeding(stack.url) as received:
        received.hints.clear()
        for number in range(5):
            received.feed._publish(Hint("broadcast", "scheduled_jobs", xid=number))
        assert {hint.source for hint in received.hints} == {"feed"}
        await anyio.sleep(0.05)
        assert [hint.xid for hint in received.hints if hint.source == "broadcast"] == [0, 1, 2]  # one is on its way


@pytest.mark.parametrize("channel", sorted(CHANNELS))
async def test_one_channel_alone_is_proved(road, feeding, channel, staleness):
    """And ends its session when it is lost."""
    async with feeding(road.url, channels=(channel,), **QUICK) as received:
        road.drop_from_now_on(lambda _, event: event == channel)
        await staleness.until(lambda: not received.health.receiving)
        assert "a probe did not come back" in received.health.fault()
        await staleness.until(lambda: received.is_whole)
