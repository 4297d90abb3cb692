"""The rescuer takes over what the dead left, all of it, again and again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from structlog.testing import capture_logs

from listener.domain.job import Misfire, Trigger, TriggerType
from listener.domain.messages import Rescued
from listener.errors import StoreError
from listener.maintenance.rescuer import Rescuer
from listener.testing import NOON

DOWN = StoreError("rescue_runs_v1", "ConnectError", "refused", retryable=True)


@pytest.fixture
def rescuer_of(clock, parts):
    """Make a rescuer that looks every five seconds, on a store that answers so."""

    def make(answers):
        world = parts.stages(parts.ScriptedStore(rescue=answers), clock)
        return Rescuer(world.store, world.reconciler, world.clock, world.metrics, 5, lambda: 1.0), world

    return make


async def test_rescued_jobs_are_armed_and_counted(rescuer_of, parts):
    """Their next attempts are due at once."""
    rescuer, world = rescuer_of([Rescued(2, [parts.a_job(1), parts.a_job(2)])])
    assert await rescuer.run_once() == 2
    assert [job.id for job in world.agenda.take_due()] == [1, 2]
    assert b"listener_runs_rescued_total 2.0" in world.metrics.exposition()


async def test_jobs_that_no_listener_has_a_handler_for_are_counted_and_the_handlers_named_once(rescuer_of):
    """Again when the names change; an answer without any resets both."""
    waits = [(5, ["a"]), (7, ["a"]), (9, ["a", "b"]), (0, []), (5, ["a"])]
    rescuer, world = rescuer_of([Rescued(0, [], waiting=jobs, missing=names) for jobs, names in waits])
    with capture_logs() as logs:
        for jobs, _ in waits:
            await rescuer.run_once()
            assert f"listener_jobs_without_handler {jobs}.0".encode() in world.metrics.exposition()
    assert [(line["event"], line["handlers"], line["jobs"]) for line in logs] == [
        ("handlers.missing", ["a"], 5),
        ("handlers.missing", ["a", "b"], 9),
        ("handlers.missing", ["a"], 5),
    ]


async def test_it_goes_on_until_nothing_is_left_and_survives_a_fault(rescuer_of, naps):
    """A batch is followed by another one at once, a fault and an empty one by a pause."""
    nothing = Rescued(0, [])
    rescuer, world = rescuer_of([Rescued(9, []), Rescued(1, []), nothing, DOWN, nothing])
    with pytest.raises(IndexError):  # the script's end
        await rescuer.run()
    assert len(world.store.requests) == 6
    assert naps == [5, 5, 5]


async def test_a_listener_that_was_held_up_lets_its_results_go_first(rescuer_of, clock, monkeypatch):
    """They wait to be written for the same reason for which its leases ran out; but only once, and not for long."""
    rescuer, _ = rescuer_of([Rescued(0, [])] * 3)
    held_up, naps = [0, 9, 9, 0], []

    async def sleep(seconds):
        naps.append(seconds)
        clock.advance(seconds + held_up.pop(0))

    monkeypatch.setattr(anyio, "current_time", clock.monotonic)
    monkeypatch.setattr(anyio, "sleep", sleep)
    with pytest.raises(IndexError):  # the script's end
        await rescuer.run()
    assert naps == [5, 5, 1, 5]


async def test_pauses_differ_between_listeners(parts, clock, naps):
    """And are never longer than the setting."""
    for chance, pause in ((0.0, 2.5), (1.0, 5)):
        world = parts.stages(parts.ScriptedStore(rescue=[Rescued(0, [])]), clock)
        rescuer = Rescuer(world.store, world.reconciler, world.clock, world.metrics, 5, lambda chance=chance: chance)
        with anyio.fail_after(1), pytest.raises(IndexError):
            await rescuer.run()
        assert naps.pop() == pause


async def test_a_run_that_cannot_be_rescued_is_reported_by_name(rescuer_of):
    """Somebody has to fix it; the others were rescued."""
    rescuer, _ = rescuer_of([Rescued(1, [], {"run-7": "boom"})])
    with capture_logs() as lines:
        assert await rescuer.run_once() == 1
    reported = [(line["execution_id"], line["error"]) for line in lines if line["event"] == "rescue.failed"]
    assert reported == [("run-7", "boom")]


async def test_instants_that_nobody_handles_end_one_by_one_as_if_on_time(clock, parts):
    """A misfire policy would hide them; one that the database refuses delays no other, and all are counted."""
    clock.advance(7200)
    minutely = Trigger(TriggerType.INTERVAL, NOON, {"seconds": 60})
    jobs = [
        parts.a_job(1, misfire=Misfire.SKIP),
        parts.a_job(2, trigger=minutely, defined_at=NOON, misfire=Misfire.SKIP),
        parts.a_job(3, trigger=replace(minutely, timezone="Mars/Base", type=TriggerType.DAILY), defined_at=NOON),
    ]
    asked = []

    def end(claims):
        asked.extend((claim.job_id, claim.due, claim.next_due, claim.missed) for claim in claims)
        if {claim.job_id for claim in claims} >= {1}:
            return StoreError("end_unhandled_v1", "P0001", "not this one", retryable=False, split_batch=True)
        return Rescued(len(claims), [])

    world = parts.stages(parts.ScriptedStore(rescue=[Rescued(1, [], {}, jobs)], end_unhandled=end), clock)
    rescuer = Rescuer(world.store, world.reconciler, clock, world.metrics, 5, lambda: 1.0)
    with capture_logs() as logs:
        assert await rescuer.run_once() == 2
    assert asked[2:] == [(1, NOON, None, None), (2, NOON, NOON + timedelta(minutes=1), None)]
    assert {line["event"]: line.get("instants") for line in logs}["instants.unhandled"] == 1
    assert len(world.planner) == 1, "the job whose instants cannot be computed gets the reason"
