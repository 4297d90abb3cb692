"""A loop that is held up and a stage that hangs show, although nothing fails."""

from __future__ import annotations

from types import SimpleNamespace

import anyio
import pytest

from listener.maintenance.watchdog import INTERVAL_SECONDS, Watchdog
from listener.observability.health import LAG_REMEMBERED_SECONDS, LAG_SECONDS, PATIENCE_SECONDS, Health


@pytest.fixture
def pulse_of(clock, parts):
    """Make a watchdog of real stages on a store that answers claims so, and a service that is ready otherwise."""

    def make(claim, **sizes):
        world = parts.stages(parts.ScriptedStore(claim=claim, finish=parts.taken), clock, **sizes)
        health = Health(clock)
        health.poll_succeeded()
        watchdog = Watchdog(clock, health, world.metrics, world.agenda, world.dispatcher)

        def heartbeat(seconds=INTERVAL_SECONDS):
            """Let the clock go on, a heartbeat at a time, and then heartbeat."""
            for _ in range(round(seconds / INTERVAL_SECONDS)):
                clock.advance(INTERVAL_SECONDS)
                health.poll_succeeded()
                watchdog.run_once()
            return health.fault()

        watchdog.run_once()
        return SimpleNamespace(world=world, health=health, watchdog=watchdog, heartbeat=heartbeat)

    return make


async def test_a_loop_that_is_held_up_is_not_ready_and_is_again_after_a_while(pulse_of, clock, parts):
    """Also before the watchdog itself has had its turn; a short delay is none."""
    of = pulse_of(parts.granted)
    clock.advance(INTERVAL_SECONDS + LAG_SECONDS)
    assert of.health.fault() is None
    clock.advance(0.1)
    assert of.health.fault().startswith("loop: held up for 2.1 s")
    of.watchdog.run_once()
    assert of.heartbeat(LAG_REMEMBERED_SECONDS - 1).startswith("loop: held up")
    assert of.heartbeat(2) is None
    assert b"listener_loop_lag_seconds_sum 2.1" in of.world.metrics.exposition()


async def test_an_armed_job_that_nobody_takes_out_shows(pulse_of, parts):
    """The timekeeper hangs."""
    of = pulse_of(parts.granted)
    of.world.agenda.arm(parts.a_job(1), of.world.clock.now())
    assert of.heartbeat(PATIENCE_SECONDS) is None
    assert of.heartbeat(1).startswith("work: due, with free slots, and not claimed for")
    assert b"listener_work_overdue_seconds 6" in of.world.metrics.exposition()
    of.world.agenda.take_due()
    assert of.heartbeat() is None


async def test_ready_jobs_that_nobody_claims_show_only_while_slots_are_free(pulse_of, parts):
    """The dispatcher hangs; without a free slot they wait by right."""
    of = pulse_of(parts.granted, concurrency=1)
    of.world.dispatcher.add([parts.a_job(1), parts.a_job(2)])
    assert of.heartbeat(PATIENCE_SECONDS + 1).startswith("work: due")
    await of.world.dispatcher.run_once(lambda _: None)
    assert (of.world.dispatcher.waiting, of.heartbeat(PATIENCE_SECONDS * 3)) == (1, None)


async def test_a_claim_that_gets_no_answer_shows(pulse_of, parts):
    """However many jobs wait behind it."""
    of = pulse_of(lambda _: anyio.sleep_forever())
    of.world.dispatcher.add([parts.a_job(1)])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(of.world.dispatcher.run)
        await parts.settled()
        assert of.heartbeat(PATIENCE_SECONDS) is None
        assert of.heartbeat(1).startswith("work: due")
        tasks.cancel_scope.cancel()


async def test_work_that_goes_on_is_none_that_waits(pulse_of, parts):
    """Claim after claim, for longer than the patience."""
    of = pulse_of(parts.granted, concurrency=1000, batch_size=1)
    of.world.dispatcher.add([parts.a_job(each) for each in range(100)])
    for _ in range(50):
        await of.world.dispatcher.run_once(lambda _: None)
        assert of.heartbeat() is None
