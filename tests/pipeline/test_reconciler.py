"""Rows may arrive in any order: the agenda says what the newest revision of each says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.domain.job import Trigger, TriggerType
from listener.domain.messages import ClaimRequest
from listener.scheduling.reconciler import REMEMBERED, Reconciler
from listener.testing import NOON


@pytest.fixture
def world(clock, parts):
    """The stages on a store that is not asked."""
    return parts.stages(parts.ScriptedStore(), clock)


def recurring(parts, job_id=1, due_in=0.0, **changes):
    """Make an hourly job."""
    trigger = Trigger(TriggerType.INTERVAL, NOON, {"seconds": 3600})
    return replace(parts.a_job(job_id, due_in), trigger=trigger, defined_at=NOON, **changes)


def armed(world):
    """Give what is armed: for each job, its revision and time."""
    return {job.id: (job.revision, world.agenda._wheel.when(job.id)) for job in world.agenda._jobs.values()}


ROWS = st.builds(
    dict,
    job_id=st.integers(1, 4),
    revision=st.integers(1, 6),
)


def _row(parts, job_id, revision):
    """Give the one state that a job has at a revision: armed, beyond the horizon, paused, cancelled or unplanned."""
    kind = (job_id + 3 * revision) % 5
    base = parts.a_job(job_id, due_in=10 * revision, revision=revision)
    if kind == 0:
        return base
    if kind == 1:
        return parts.a_job(job_id, due_in=4000, revision=revision)
    if kind in (2, 3):
        return replace(base, status=("paused", "cancelled")[kind - 2], due_at=None, next_run_at=None)
    return replace(recurring(parts, job_id, revision=revision), due_at=None, next_run_at=None, unplanned=True)


@given(rows=st.lists(st.lists(ROWS, min_size=1, max_size=4), max_size=12))
def test_only_the_newest_revision_of_each_job_counts(parts, rows):
    """In any order, in any pages, by any way in, repeated or not."""
    world = parts.stages(parts.ScriptedStore(), clock := parts.VirtualClock())
    newest = {}
    for number, page in enumerate(rows):
        jobs = [_row(parts, **row) for row in page]
        for job in jobs:
            if job.revision >= newest.get(job.id, job).revision:
                newest[job.id] = job
        if number % 2 == 0:
            world.reconciler.apply(jobs, clock.monotonic())
        else:
            world.reconciler.refused(jobs)
        clock.advance(0.001)
    expected = {
        job.id: job for job in newest.values() if job.next_run_at and job.next_run_at <= world.reconciler.armed_until
    }
    assert {job_id: revision for job_id, (revision, _) in armed(world).items()} == {
        job_id: job.revision for job_id, job in expected.items()
    }
    assert set(world.planner._wanted) == {job.id for job in newest.values() if job.unplanned}


def test_a_refused_claim_answered_with_an_old_row_does_not_undo_a_newer_one(world, parts):
    """The edit overtook the answer."""
    world.reconciler.apply([parts.a_job(1, due_in=120, revision=6)])
    before = armed(world)
    world.reconciler.refused([parts.a_job(1, due_in=0, revision=5)])
    assert armed(world) == before


def test_a_page_read_before_this_listeners_own_write_does_not_undo_it(world, clock, parts):
    """The retry was queued, and then a poll that had begun before said that the job runs and waits for nothing."""
    running = replace(parts.a_job(1), status="running", due_at=None, next_run_at=None)
    requested_at = clock.monotonic()
    clock.advance(0.01)
    world.reconciler.apply([replace(parts.a_job(1, due_in=5), due_at=None)])  # the answer to the run_result
    world.reconciler.apply([running], requested_at)
    assert 1 in world.agenda
    clock.advance(0.01)
    world.reconciler.apply([running], clock.monotonic())  # a later poll knows more
    assert 1 not in world.agenda


def test_a_page_read_before_with_a_newer_revision_counts(world, clock, parts):
    """An edit is newer than any answer, whenever it was read."""
    requested_at = clock.monotonic()
    clock.advance(0.01)
    world.reconciler.apply([parts.a_job(1, due_in=5)])
    world.reconciler.apply([parts.a_job(1, due_in=7, revision=2)], requested_at)
    assert armed(world)[1][0] == 2


def test_a_job_beyond_the_horizon_is_not_kept(world, parts):
    """Also when it was armed before it was moved there."""
    world.reconciler.apply([parts.a_job(1), parts.a_job(2, due_in=301)])
    assert list(armed(world)) == [1]
    world.reconciler.apply([parts.a_job(1, due_in=301, revision=2)])
    assert armed(world) == {}


def test_an_echo_of_a_known_row_is_not_announced_again(world, clock, parts):
    """Two channels ring for one insert; the second finds the job armed, or claimed already."""
    assert world.reconciler.announce(parts.a_job(1))
    assert world.reconciler.announce(parts.a_job(1)), "no look is needed"
    world.agenda.take_due()
    requested_at = clock.monotonic()
    world.reconciler.granted([parts.a_run(ClaimRequest(1, NOON), revision=1)])
    assert world.reconciler.announce(parts.a_job(1))
    world.reconciler.apply([parts.a_job(1)], requested_at)  # read before it was granted
    assert armed(world) == {}
    world.reconciler.apply([parts.a_job(1, due_in=9, revision=2)], requested_at)
    assert list(armed(world)) == [1]


def test_nothing_of_an_announced_job_is_kept(world, parts):
    """Its claim decides: what the table says of it is news, whatever revision was announced."""
    assert world.reconciler.announce(parts.a_job(1, revision=10**9))
    assert armed(world)[1][0] == 0
    world.reconciler.apply([parts.a_job(1, due_in=100, revision=1)])
    assert armed(world)[1][0] == 1
    assert not world.reconciler.announce(parts.a_job(1, due_in=50, revision=10**9)), "a look is needed"
    assert not world.reconciler.announce(parts.a_job(2, due_in=50)), "it is not due"
    assert list(armed(world)) == [1]


def test_a_cancelled_or_deleted_job_stops_its_runs(world, parts):
    """A paused one does not."""
    claimed_run = {}
    for job_id in (1, 2, 3):
        run = parts.a_run(ClaimRequest(job_id, NOON), revision=1)
        claimed_run[job_id] = world.executor.prepare(run)
        world.runs.add(claimed_run[job_id])
    over = [
        replace(parts.a_job(each), status=status, revision=2, next_run_at=None, due_at=None)
        for each, status in ((1, "cancelled"), (3, "paused"))
    ]
    world.reconciler.apply(over)
    world.reconciler.forget([2])
    reasons = {job_id: each.cancelled and each.cancelled.reason for job_id, each in claimed_run.items()}
    assert reasons == {1: "cancelled", 2: "deleted", 3: None}


def test_what_is_remembered_is_bounded(world, parts):
    """However many jobs pass."""
    base = parts.a_job(1)
    world.reconciler.apply(replace(base, id=each, next_run_at=None) for each in range(REMEMBERED + 500))
    assert len(world.reconciler._revisions) == len(world.reconciler._answered) == REMEMBERED


def test_a_refused_job_rests_before_it_is_asked_for_again(world, clock, parts):
    """It was locked, or its key is taken; asking at once would only burn the database."""
    world.reconciler.refused([parts.a_job(1)])
    assert world.agenda.take_due() == []
    clock.advance(0.25)
    assert [job.id for job in world.agenda.take_due()] == [1]


def test_the_rest_of_a_job_that_is_due_later_is_its_own_time(world, clock, parts):
    """A refusal that answers with a future instant needs no pause."""
    world.reconciler.refused([parts.a_job(1, due_in=3)])
    clock.advance(2.9)
    assert world.agenda.take_due() == []
    clock.advance(timedelta(seconds=0.1).total_seconds())
    assert len(world.agenda.take_due()) == 1


def test_only_jobs_whose_handlers_this_listener_has_are_armed(world, clock, parts):
    """Others fill no memory; one that is edited to another handler is armed no more; any is planned."""
    reconciler = Reconciler(world.agenda, world.planner, world.runs, clock, timedelta(minutes=5), ["mine"])
    reconciler.apply([parts.a_job(1, handler="mine"), parts.a_job(2, handler="foreign"), parts.a_job(3, handler=None)])
    reconciler.announce(parts.a_job(4, handler="foreign"))
    reconciler.refused([parts.a_job(2, handler="foreign", revision=2)])
    assert sorted(armed(world)) == [1, 3]
    reconciler.apply([parts.a_job(1, handler="foreign", revision=2)])
    assert sorted(armed(world)) == [3]
    reconciler.apply([recurring(parts, 5, handler="foreign", unplanned=True, due_at=None, next_run_at=None)])
    assert len(world.planner) == 1
