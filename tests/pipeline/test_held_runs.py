"""Held runs are found by execution and by job, also where a stop overtakes the grant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from listener.domain.messages import ClaimRequest
from listener.runs.held_runs import REMEMBERED_STOPS
from listener.testing import NOON


@pytest.fixture
def world(clock, parts):
    """The stages on a store that is not asked."""
    return parts.stages(parts.ScriptedStore(), clock)


@pytest.fixture
def hold(world, parts):
    """Hold a run of a job, claimed at a revision."""

    def hold(job_id=1, revision=5, **changes):
        claimed_run = world.executor.prepare(parts.a_run(ClaimRequest(job_id, NOON), revision=revision, **changes))
        world.runs.add(claimed_run)
        return claimed_run

    return hold


def reasons(*claimed_run):
    """Say for each why it was stopped, if it was."""
    return [each.cancelled.reason if each.cancelled else None for each in claimed_run]


def test_a_run_is_held_until_its_end_is_written(world, hold):
    """And forgotten completely: a job leaves nothing behind."""
    one, two = hold(), hold()
    assert world.runs.execution_ids == [one.run.execution_id, two.run.execution_id]
    for each in (one, two):
        assert each.run.execution_id in world.runs
        world.runs.remove(each.run.execution_id)
        world.runs.remove(each.run.execution_id)
    assert (len(world.runs), world.runs._by_job) == (0, {})


def test_stopping_a_job_stops_every_run_of_it_and_no_other(world, hold):
    """Started or not."""
    mine, also_mine, other = hold(1), hold(1), hold(2)
    world.runs.cancel_job(1, "deleted")
    assert reasons(mine, also_mine, other) == ["deleted", "deleted", None]


def test_a_run_claimed_after_the_job_was_cancelled_goes_on(world, hold):
    """A cancelled job may have a manual run; the cancelled row comes again with every poll that repeats it."""
    earlier, by_hand = hold(revision=5), hold(revision=6, cause="manual")
    world.runs.cancel_job(1, "cancelled", 6)
    assert reasons(earlier, by_hand) == ["cancelled", None]


def test_a_stop_that_overtakes_the_grant_still_stops(world, hold):
    """The claim was granted before, but its answer comes later."""
    world.runs.cancel_job(1, "cancelled", 6)
    assert reasons(hold(revision=5), hold(revision=6), hold(2)) == ["cancelled", None, None]


def test_remembered_stops_are_bounded(world):
    """However many jobs are cancelled."""
    for job_id in range(3 * REMEMBERED_STOPS):
        world.runs.cancel_job(job_id, "cancelled", 6)
    assert len(world.runs._stopped) == REMEMBERED_STOPS


def test_cancelling_executions_counts_those_held(world, hold):
    """A run that ended meanwhile is no loss."""
    one, two = hold(), hold()
    assert world.runs.cancel([one.run.execution_id, "another"], "lease_lost") == 1
    assert reasons(one, two) == ["lease_lost", None]


@pytest.mark.parametrize("overtaken", [False, True])
def test_an_edit_withdraws_what_has_not_started(world, hold, parts, overtaken):
    """Of the schedule's runs claimed before it: not those that have begun, nor those that somebody asked for."""
    edited = replace(parts.a_job(1), status="running", revision=6)  # a one-time job that has a due instant again

    def held():
        started = hold(revision=5)
        started.started_at = NOON
        return [hold(revision=5), started, hold(revision=5, cause="manual"), hold(revision=6)]

    if overtaken:
        world.runs.withdraw_edited(edited)
        runs = held()
        assert reasons(runs[0], *runs[2:]) == ["edited", None, None]
    else:
        runs = held()
        world.runs.withdraw_edited(edited)
        assert reasons(*runs) == ["edited", None, None, None]


def test_a_job_that_merely_runs_is_not_taken_for_edited(world, hold, parts):
    """While it runs, a one-time job has no due instant, and a recurring one has its next."""
    once = hold(1)
    world.runs.withdraw_edited(replace(parts.a_job(1), status="running", revision=6, due_at=None))
    assert reasons(once) == [None]
