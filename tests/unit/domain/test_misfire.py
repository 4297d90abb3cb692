"""Late due instants by example; the whole rule is in tests/property/test_misfire.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from listener.domain.job import Misfire, Trigger, TriggerType
from listener.domain.misfire import MAX_RUNS, MAX_SKIPPED, settle

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


def test_run_all_is_bounded_and_keeps_the_latest():
    """An hour of a job that runs every second: a hundred runs, a thousand listed skips, the rest counted."""
    now = NOON + timedelta(hours=1)
    settlement = settle(EVERY_SECOND, NOON, now, Misfire.RUN_ALL, 0)
    assert len(settlement.run) == MAX_RUNS
    assert settlement.run[-1] == now
    assert settlement.skipped[0] == NOON
    assert len(settlement.skipped) == MAX_SKIPPED
    assert settlement.more == 3_601 - MAX_RUNS - MAX_SKIPPED
    assert settlement.more_is_exact


def test_a_year_of_missed_seconds_is_settled_at_once():
    """The work does not grow with the outage: the latest instants are found by halving."""
    daytime = Trigger(TriggerType.CRON, NOON, {"expression": "* 9-16 * * 1-5 *"}, "Europe/Berlin")
    now = NOON + timedelta(days=365, hours=9)
    settlement = settle(daytime, NOON, now, Misfire.RUN_ONCE, 60)
    assert settlement.run == (datetime(2027, 6, 1, 14, 59, 59, tzinfo=UTC),)
    assert not settlement.more_is_exact
    assert settlement.next_due == datetime(2027, 6, 2, 7, tzinfo=UTC)


def test_no_more_runs_start_than_the_caller_allows():
    """A job with two runs left starts two, the latest."""
    settlement = settle(EVERY_FIVE_MINUTES, NOON, NOON + FIVE_MINUTES * 4, Misfire.RUN_ALL, 0, at_most=2)
    assert settlement.run == (NOON + FIVE_MINUTES * 3, NOON + FIVE_MINUTES * 4)
    assert settle(EVERY_SECOND, NOON, NOON + timedelta(hours=1), Misfire.RUN_ALL, 0, at_most=0).run == ()


def test_a_one_time_job_that_is_late_has_no_next():
    """Its only instant runs, or is skipped, and the job is exhausted."""
    once = Trigger(TriggerType.ONCE, NOON)
    assert settle(once, NOON, NOON + timedelta(days=1), Misfire.RUN_ONCE, 60).run == (NOON,)
    skipped = settle(once, NOON, NOON + timedelta(days=1), Misfire.SKIP, 60)
    assert (skipped.run, skipped.skipped, skipped.next_due) == ((), (NOON,), None)
