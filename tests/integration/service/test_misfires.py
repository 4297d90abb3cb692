"""Due instants that passed while no listener was there follow the misfire policy."""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import pairwise

import pytest

MISSED = 5
MISFIRE, RAN = ("skipped", "misfire"), ("completed", None)


@pytest.fixture(scope="module")
def settled(project, listener_factory):
    """Leave jobs to a listener that goes before they are due, and give them once the next one has dealt with them."""
    planner = listener_factory()
    start, end = project.soon(1.5), project.soon(1.5 + MISSED - 0.5)
    interval = {"handler": "noop", "trigger_type": "interval", "schedule": {"seconds": 1}, "misfire_grace_seconds": 4}
    rows = [
        {**interval, "run_date": start, "ends_at": end, "misfire": name} for name in ("run_once", "run_all", "skip")
    ]
    jobs = project.insert_many(rows)
    crowd = project.insert_many([rows[1]] * 50)  # so many that the ends of runs and the claims of others meet
    while not all(project.job(job)["next_run_at"] for job in [*jobs, *crowd]):
        time.sleep(0.01)
    planner.stop()
    once = {"handler": "noop", "run_date": project.soon(-100)}
    jobs += project.insert_many([{**once, "misfire": "run_once"}, {**once, "misfire": "skip"}])
    jobs += project.insert_many([{**once, "misfire": "skip", "misfire_grace_seconds": 3600}])
    project.sql.execute("select pg_sleep_until(%s::timestamptz + interval '1 s')", [end])
    assert not any(project.ledger(job) for job in jobs)
    listener_factory()
    for job in [*jobs, *crowd]:
        project.wait(job)
    assert {tuple(project.states(job)) for job in crowd} == {(RAN,) * MISSED}
    return dict(zip(["run_once", "run_all", "skip", "once_run", "once_skip", "once_in_grace"], jobs, strict=True))


def states_by_instant(project, job):
    """Give status and reason by whole seconds since the first due instant; one ledger row each."""
    ledger = project.ledger(job)
    start = ledger[0]["scheduled_for"]
    states = {(row["scheduled_for"] - start) // timedelta(seconds=1): (row["status"], row["reason"]) for row in ledger}
    assert len(states) == len(ledger)
    return [states[n] for n in sorted(states)]


def test_run_once_runs_the_last_missed_instant_for_all(settled, project) -> None:
    """The earlier ones are entered as skipped."""
    states = states_by_instant(project, settled["run_once"])
    assert len(states) == MISSED
    assert states.count(RAN) >= 1
    assert states == [MISFIRE] * states.index(RAN) + [RAN] * (MISSED - states.index(RAN))


def test_run_all_runs_every_missed_instant_one_after_the_other(settled, project) -> None:
    """In their order, and never two at a time although overlap is skip."""
    assert states_by_instant(project, settled["run_all"]) == [RAN] * MISSED
    ledger = project.ledger(settled["run_all"])
    assert all(b["started_at"] >= a["completed_at"] for a, b in pairwise(ledger))


def test_skip_runs_nothing_that_was_missed_beyond_the_grace(settled, project) -> None:
    """Instants missed by less still run."""
    states = states_by_instant(project, settled["skip"])
    assert MISFIRE in states
    assert states == [MISFIRE] * states.count(MISFIRE) + [RAN] * (MISSED - states.count(MISFIRE))


def test_a_one_time_job_that_was_missed_runs_unless_it_says_skip(settled, project) -> None:
    """A skipped one is cancelled, its ledger row says misfire; within the grace it is not missed."""
    outcomes = {name: (project.job(settled[name])["status"], project.states(settled[name])) for name in settled}
    assert outcomes["once_run"] == ("completed", [RAN])
    assert outcomes["once_skip"] == ("cancelled", [MISFIRE])
    assert outcomes["once_in_grace"] == ("completed", [RAN])


def test_a_job_with_nothing_left_to_run_is_completed(settled, project) -> None:
    """All instants were in the past, so each job is exhausted."""
    assert {project.job(settled[name])["status"] for name in ("run_once", "run_all", "skip")} == {"completed"}
