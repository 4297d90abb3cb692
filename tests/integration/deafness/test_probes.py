"""What is heard is proved for each doorbell; silence is asked about, and a rotation loses nothing."""

from __future__ import annotations

import anyio
import pytest
from faulty_proxy import Mode

from listener.domain.messages import Hint
from listener.errors import StoreError

BELLS = {"broadcast", "postgres_changes"}
CANARIES = "select count(*) from job_scheduler.signals where message ->> 'table' = 'canary'"
REFUSED = StoreError("ring_canary_v1", "ConnectError", "refused", retryable=True)
ONLY_CHANGES = "insert into job_scheduler.signals (message) values (%s)"
QUICK = {"canary_seconds": 0.5, "answer_seconds": 2}
PATIENT = {"canary_seconds": 0.5, "answer_seconds": 20}
"""Of a session that must not end, however slow the machine is."""


async def test_joined_is_not_hearing(stack, feeding, canary, deafness):
    """The service is not ready before a canary has come back."""
    allowed = anyio.Event()

    async def ring():
        await allowed.wait()
        return await canary()

    async with feeding(stack.url, ring=ring, wait=False) as heard:
        assert heard.feed.state in {"down", "connecting"}
        await deafness.until(lambda: heard.feed.state == "joined")
        await anyio.sleep(0.3)
        assert (heard.feed.state, heard.health.hears) == ("joined", False)
        assert heard.health.fault().startswith("feed: ")
        allowed.set()
        await deafness.until(lambda: heard.is_whole)
        assert (heard.feed.state, heard.health.fault()) == ("hearing", None)
        assert 'listener_feed_session="hearing"} 1.0' in heard.metrics.exposition().decode()
    assert heard.feed.state == "down"


async def test_without_canaries_a_subscription_is_believed_and_a_signal_proves_it(
    stack, feeding, sql, insert, deafness
):
    """Whoever saves the messages of a hosted plan still hears."""
    before = sql(CANARIES)
    async with feeding(stack.url, canary_seconds=0) as heard:
        assert (heard.feed.state, heard.health.fault()) == ("joined", None)
        insert()
        await deafness.until(lambda: heard.feed.state == "hearing")
    assert sql(CANARIES) == before


async def test_one_deaf_doorbell_is_replaced_while_the_other_one_hears_on(road, feeding, insert, deafness):
    """Make before break: the session that still hears something ends when another one hears more."""
    async with feeding(road.url, **QUICK) as heard:
        road.drop_from_now_on(lambda _, event: event == "postgres_changes")
        await deafness.until(lambda: not heard.health.doorbells["postgres_changes"])
        assert heard.health.doorbells["broadcast"]
        seen = []
        while not heard.is_whole:
            job = insert()
            await deafness.until(lambda job=job: "broadcast" in heard.of(job))
            seen.append(heard.health.hears)
        assert all(seen)
        assert heard.count('listener_feed_doorbells_deaf_total{doorbell="postgres_changes"}') == 1
        job = insert()
        await deafness.until(lambda: heard.of(job) == BELLS)


async def test_a_doorbell_that_does_not_exist_yet_is_tried_again_and_does_not_cost_the_other_one(
    stack, feeding, sql, deafness
):
    """The server answers the join and says later that the table is not published."""
    sql("alter publication supabase_realtime drop table job_scheduler.signals")
    try:
        async with feeding(stack.url, wait=False, **QUICK) as heard:
            await deafness.until(lambda: heard.feed.sessions > 2)
            assert heard.health.doorbells == {"broadcast": True, "postgres_changes": False}
            sql("alter publication supabase_realtime add table job_scheduler.signals")
            await deafness.until(lambda: heard.is_whole)
    finally:
        sql(
            "do $$ begin alter publication supabase_realtime add table job_scheduler.signals; "
            "exception when duplicate_object then null; end $$"
        )


async def test_a_database_that_cannot_broadcast_is_not_asked_for_it(stack, feeding, sql, insert, deafness):
    """Older projects lack the function; what they can ring is proof enough."""

    async def ring():
        sql(ONLY_CHANGES, '{"table": "canary", "rows": null, "xid": 1}')
        return ["postgres_changes"]

    async with feeding(stack.url, ring=ring, wait=False, canary_seconds=0.5, answer_seconds=2) as heard:
        await deafness.until(lambda: heard.health.doorbells["postgres_changes"])
        await anyio.sleep(3)
        assert heard.feed.sessions == 1
        insert()
        await deafness.until(lambda: heard.is_whole)


async def test_a_canary_that_cannot_be_sent_does_not_end_a_session(wire, feeding, canary, deafness, monkeypatch):
    """The database is away, the socket is not; when the socket does not answer either, the session ends."""
    monkeypatch.setattr("listener.supabase.watched_session.RETRY_SECONDS", 0.2)
    monkeypatch.setattr("listener.supabase.watched_session.PONG_SECONDS", 1)
    is_away = False

    async def ring():
        if is_away:
            raise REFUSED
        return await canary()

    async with feeding(wire.url, ring=ring, **PATIENT) as heard:
        is_away = True
        await deafness.until(lambda: heard.count('listener_feed_canaries_total{outcome="unsent"}') >= 3)
        assert (heard.feed.sessions, heard.is_whole) == (1, True)
        wire.mode = Mode.HALF_OPEN
        await deafness.until(lambda: not heard.health.hears)
        wire.mode, is_away = Mode.PASS, False
        await deafness.until(lambda: heard.is_whole)


async def test_after_an_answer_the_next_canary_is_due_no_later_than_the_silence(stack, feeding, canary, deafness):
    """The watch that waits for an answer has long to sleep; the answer wakes it."""
    rings = []
    async with anyio.create_task_group() as later:

        async def ring():
            rings.append(later.start_soon(canary))  # rung once it is known to have been rung
            return BELLS

        async with feeding(stack.url, ring=ring, **PATIENT):
            await deafness.until(lambda: len(rings) >= 4, PATIENT["answer_seconds"] / 2)


async def test_a_busy_table_needs_no_canaries(stack, feeding, sql, insert):
    """Every signal proves the doorbell that brings it."""
    async with feeding(stack.url, canary_seconds=1, answer_seconds=5):
        before = sql(CANARIES)
        for _ in range(20):
            insert()
            await anyio.sleep(0.1)
        assert sql(CANARIES) - before <= 1


async def test_replicas_share_their_canaries(stack, feeding, sql):
    """What one of them rings, all of them hear."""
    times = {"canary_seconds": 0.6, "answer_seconds": 5}
    async with feeding(stack.url, **times), feeding(stack.url, **times), feeding(stack.url, **times):
        before, began = sql(CANARIES), anyio.current_time()
        await anyio.sleep(2)
        rung = sql(CANARIES) - before
        alone = (anyio.current_time() - began) / (0.6 * 0.9)
        assert rung <= 2 * alone, "each rings its own"


async def test_a_rotation_is_make_before_break(stack, feeding, insert, deafness, monkeypatch):
    """Every change is heard by each doorbell, and the service never says that it hears nothing."""
    async with feeding(stack.url, rotate_seconds=0.5) as heard:
        told = []
        monkeypatch.setattr(heard.health, "deaf", lambda *why: told.append(why))
        jobs = []
        while heard.feed.sessions < 4:
            jobs.append(insert())
            await anyio.sleep(0.05)
        await deafness.until(lambda: all(heard.of(job) == BELLS for job in jobs))
        assert told == []
        assert len(heard.feed._lines) <= 2


async def test_frames_that_cannot_be_read_are_counted(road, feeding, insert, deafness):
    """The client drops them and says so in its log alone; the session goes on."""
    async with feeding(road.url) as heard:
        await road.send_garbage()
        await deafness.until(lambda: heard.count("listener_feed_frames_unreadable_total") == 5)
        job = insert()
        await deafness.until(lambda: heard.of(job) == BELLS)
        assert heard.feed.sessions == 1


async def test_more_hints_than_are_kept_become_one_look(stack, feeding, monkeypatch):
    """What arrives faster than it is taken neither waits without bound nor is lost."""
    monkeypatch.setattr("listener.supabase.feed.MOST_WAITING_HINTS", 2)
    async with feeding(stack.url) as heard:
        heard.hints.clear()
        for number in range(5):
            heard.feed._take(Hint("broadcast", "scheduled_jobs", xid=number))
        assert {hint.source for hint in heard.hints} == {"feed"}
        await anyio.sleep(0.05)
        assert [hint.xid for hint in heard.hints if hint.source == "broadcast"] == [0, 1, 2]  # one is on its way


@pytest.mark.parametrize("bell", sorted(BELLS))
async def test_one_doorbell_alone_is_proved(road, feeding, bell, deafness):
    """And ends its session when it is lost."""
    async with feeding(road.url, bells=(bell,), **QUICK) as heard:
        road.drop_from_now_on(lambda _, event: event == bell)
        await deafness.until(lambda: not heard.health.hears)
        assert "a canary did not come back" in heard.health.fault()
        await deafness.until(lambda: heard.is_whole)
