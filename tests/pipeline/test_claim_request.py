"""Claim after claim, every due instant ends in the ledger exactly once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.domain.job import Misfire, Trigger, TriggerType
from listener.domain.misfire import MAX_RUNS, STEP
from listener.domain.schedule import upcoming
from listener.execution.claim_request import claim_request
from listener.testing import NOON


def every(parts, seconds, **changes):
    """Make a job that is due every so many seconds from noon on."""
    trigger = Trigger(TriggerType.INTERVAL, NOON, {"seconds": seconds})
    return replace(parts.a_job(1), trigger=trigger, **changes)


def at(seconds):
    """Give an instant after noon."""
    return NOON + timedelta(seconds=seconds)


def claimed_until_idle(job, now, pauses, step=STEP):
    """Claim as the dispatcher does, while time passes, until nothing is due; give what ran and what was skipped."""
    run, missed = [], []
    while job.due_at is not None and job.due_at <= now:
        claim = claim_request(job, now, step)
        assert len(claim.missed or ()) <= step + MAX_RUNS
        assert (claim.due, claim.exhausted) == (job.due_at, claim.next_due is None)
        ran = claim.due if claim.missed is None else claim.run
        run += [ran] if ran else []
        missed += claim.missed or ()
        job = replace(job, due_at=claim.next_due, next_run_at=claim.next_due)
        now += timedelta(seconds=next(pauses, 0))
    return run, missed, job, now


@settings(max_examples=60)
@given(
    period=st.integers(60, 900),
    late=st.floats(0, 5000),
    misfire=st.sampled_from(Misfire),
    grace=st.integers(0, 600),
    ends=st.none() | st.integers(0, 5000),
    pauses=st.lists(st.floats(0, 400), max_size=20),
    step=st.integers(1, 12) | st.just(STEP),
)
def test_every_due_instant_runs_or_is_missed_exactly_once(  # noqa: PLR0913, PLR0917 - what may vary
    parts, period, late, misfire, grace, ends, pauses, step
):
    """In the order of time, however late the listener is and however long it takes."""
    job = every(parts, period, misfire=misfire, misfire_grace_seconds=grace)
    job = replace(job, trigger=replace(job.trigger, ends_at=at(ends) if ends is not None else None))
    run, missed, left, now = claimed_until_idle(job, at(late), iter(pauses), step)
    due = []
    for instant in chain([NOON], upcoming(job.trigger, NOON)):
        if instant > now:
            break
        due.append(instant)
    assert sorted(run + missed) == due
    assert run == sorted(run)
    assert left.due_at is None or left.due_at > now
    if misfire is Misfire.SKIP:
        rounded = timedelta(microseconds=1 + len(pauses))  # each is rounded by itself
        assert not run or now - run[0] <= timedelta(seconds=grace + sum(pauses)) + rounded


def test_an_instant_on_time_is_claimed_with_what_follows(parts):
    """The plain case: nothing was missed."""
    claim = claim_request(every(parts, 60), at(1))
    assert (claim.due, claim.next_due, claim.missed, claim.exhausted) == (NOON, at(60), None, False)


def test_a_claim_ahead_of_its_time_is_for_that_time(parts):
    """Nothing later is looked at."""
    claim = claim_request(every(parts, 60, due_at=at(60), next_run_at=at(60)), at(59.8))
    assert (claim.due, claim.next_due, claim.missed) == (at(60), at(120), None)


def test_the_last_instant_exhausts_the_job(parts):
    """Nothing follows it."""
    job = every(parts, 60)
    claim = claim_request(replace(job, trigger=replace(job.trigger, ends_at=at(30))), at(0))
    assert (claim.due, claim.next_due, claim.exhausted) == (NOON, None, True)


@pytest.mark.parametrize(
    ("misfire", "late", "runs"), [("skip", 61, False), ("skip", 59, True), ("run_once", 999, True)]
)
def test_a_one_time_job_that_missed_its_instant(parts, misfire, late, runs):
    """Runs all the same, unless it asked not to."""
    claim = claim_request(parts.a_job(1, misfire=Misfire(misfire)), at(late))
    assert claim.missed == (None if runs else (NOON,))
    assert (claim.due, claim.run, claim.exhausted) == (NOON, None, False)


@pytest.mark.parametrize(("due_in", "wake_in"), [(None, 5), (60, 5)])
def test_a_run_that_waits_in_the_ledger_is_the_databases_choice(parts, due_in, wake_in):
    """A retry or a manual run before the next due instant, or without any."""
    due = None if due_in is None else at(due_in)
    claim = claim_request(every(parts, 60, due_at=due, next_run_at=at(wake_in)), at(wake_in))
    assert (claim.due, claim.next_due, claim.missed) == (None, None, None)


def test_instants_of_a_pause_are_skipped_for_that_reason(parts):
    """An instant that passed before the job was resumed does not run, and is not called a misfire."""
    claim = claim_request(every(parts, 60, defined_at=at(150)), at(151))
    assert (claim.missed, claim.run, claim.missed_reason) == ((NOON, at(60), at(120)), None, "paused")
    assert claim.next_due == at(180)


@pytest.mark.parametrize("reason", ["misfire", "paused"])
@pytest.mark.parametrize("misfire", Misfire)
def test_a_long_past_is_entered_in_steps(parts, reason, misfire):
    """A job due every second for an hour: what is left of the past is due next, and nothing runs before its end."""
    resumed = {"defined_at": at(3600)} if reason == "paused" else {}
    claim = claim_request(every(parts, 1, misfire=misfire, **resumed), at(3600.5))
    assert (claim.missed, claim.missed_reason) == (tuple(at(second) for second in range(STEP)), reason)
    assert (claim.run, claim.next_due, claim.exhausted) == (None, at(STEP), False)


def test_an_instant_right_before_a_job_was_resumed_is_skipped_too(parts):
    """Instants have microseconds; the one right before the resumption belongs to the pause."""
    claim = claim_request(every(parts, 60, defined_at=at(60) + timedelta(microseconds=1)), at(61))
    assert (claim.missed, claim.run, claim.next_due) == ((NOON, at(60)), None, at(120))
