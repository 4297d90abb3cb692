"""Late due instants by example; the whole rule is in tests/property/test_misfire.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from listener.domain.job import Misfire, Trigger, TriggerType
from listener.domain.misfire import MAX_RUNS, STEP, settle

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
FIVE_MINUTES = timedelta(minutes=5)
EVERY_FIVE_MINUTES = Trigger(TriggerType.INTERVAL, NOON, {"seconds": 300})
EVERY_SECOND = Trigger(TriggerType.INTERVAL, NOON, {"seconds": 1})


def test_an_instant_that_is_not_yet_due_waits():
    """Nothing is run or skipped before its time."""
    settlement = settle(EVERY_FIVE_MINUTES, NOON, NOON - FIVE_MINUTES, Misfire.RUN_ONCE, 60)
    assert (settlement.run, settlement.skipped, settlement.next_due) == ((), (), NOON)


@pytest.mark.parametrize("misfire", Misfire)
def test_within_the_grace_every_policy_runs_it(misfire: Misfire):
    """A minute late is on time where the grace is a minute."""
    settlement = settle(EVERY_FIVE_MINUTES, NOON, NOON + timedelta(seconds=60), misfire, 60)
    assert settlement.run == (NOON,)
    assert settlement.skipped == ()


def test_run_once_runs_the_latest_missed_instant_for_all():
    """Four instants missed: the last one runs, the first three are skipped, and what is within the grace runs too."""
    instants = [NOON + FIVE_MINUTES * step for step in range(5)]
    settlement = settle(EVERY_FIVE_MINUTES, NOON, instants[-1] + timedelta(seconds=30), Misfire.RUN_ONCE, 60)
    assert list(settlement.run) == instants[3:]
    assert list(settlement.skipped) == instants[:3]
    assert settlement.next_due == instants[-1] + FIVE_MINUTES


@pytest.mark.parametrize(("misfire", "runs"), [(Misfire.RUN_ONCE, 1), (Misfire.RUN_ALL, 5), (Misfire.SKIP, 0)])
def test_the_policy_decides_about_missed_instants(misfire: Misfire, runs: int):
    """One for all, each, or none."""
    settlement = settle(EVERY_FIVE_MINUTES, NOON, NOON + FIVE_MINUTES * 4 + timedelta(seconds=61), misfire, 60)
    assert len(settlement.run) == runs
    assert len(settlement.skipped) == 5 - runs


def settled(trigger: Trigger, now: datetime, misfire: Misfire) -> tuple[list[datetime], list[datetime], int]:
    """Settle step by step; what runs, what was skipped, and in how many steps."""
    due, skipped, steps = NOON, [], 0
    while True:
        settlement = settle(trigger, due, now, misfire, 0)
        skipped += settlement.skipped
        steps += 1
        if settlement.next_due > now:
            return list(settlement.run), skipped, steps
        assert settlement.run == ()
        due = settlement.next_due


def test_run_all_is_bounded_and_keeps_the_latest():
    """An hour of a job that runs every second: a hundred runs, and every other second is skipped by name."""
    now = NOON + timedelta(hours=1)
    run, skipped, steps = settled(EVERY_SECOND, now, Misfire.RUN_ALL)
    assert (len(run), run[-1]) == (MAX_RUNS, now)
    assert skipped + run == [NOON + timedelta(seconds=second) for second in range(3_601)]
    assert steps == 1 + (3_600 - MAX_RUNS) // STEP


@pytest.mark.parametrize("misfire", Misfire)
def test_a_step_does_not_grow_with_the_outage(misfire: Misfire):
    """Of a year of seconds, the first step settles the earliest and leaves the rest where it begins."""
    daytime = Trigger(TriggerType.CRON, NOON, {"expression": "* 9-16 * * 1-5 *"}, "Europe/Berlin")
    settlement = settle(daytime, NOON, NOON + timedelta(days=365, hours=9), misfire, 60)
    assert settlement.run == ()
    assert settlement.skipped == tuple(NOON + timedelta(seconds=second) for second in range(STEP))
    assert settlement.next_due == NOON + timedelta(seconds=STEP)


def test_a_step_may_be_as_small_as_one_instant():
    """Where many jobs have a long past, each gets a small share of what is entered at a time."""
    settlement = settle(EVERY_SECOND, NOON, NOON + timedelta(hours=1), Misfire.SKIP, 0, step=1)
    assert (settlement.skipped, settlement.next_due) == ((NOON,), NOON + timedelta(seconds=1))


def test_a_one_time_job_that_is_late_has_no_next():
    """Its only instant runs, or is skipped, and the job is exhausted."""
    once = Trigger(TriggerType.ONCE, NOON)
    assert settle(once, NOON, NOON + timedelta(days=1), Misfire.RUN_ONCE, 60).run == (NOON,)
    skipped = settle(once, NOON, NOON + timedelta(days=1), Misfire.SKIP, 60)
    assert (skipped.run, skipped.skipped, skipped.next_due) == ((), (NOON,), None)
