"""A listener that is killed loses nothing: another one runs what it had claimed, and all that was still to come."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import timedelta
from itertools import pairwise

from patience import allowed

RUNNING, DUE = 500, 5_000

FILL = """
insert into public.scheduled_jobs (handler, metadata, retry_delay_seconds)
select 'rest', jsonb_build_object('seconds', %s), 0 from generate_series(1, %s)
"""
HOW_MANY = "select count(*) as n from public.scheduled_jobs where status = %s"
BY_INSTANT = """
select scheduled_job_id, scheduled_for, count(*) filter (where status = 'completed') as completed,
    array_agg(distinct coalesce(reason, status)) filter (where status <> 'completed') as others
from public.job_executions group by 1, 2
"""
LOST = "select count(*) as lost from public.job_executions where reason = 'lease_lost' and listener_id = %s"
ENDS = "select status, count(*) as n from public.scheduled_jobs group by status"


def test_a_killed_listener_loses_no_job_and_no_instant_ends_twice(project, listeners, eventually) -> None:
    """With 500 jobs running and 5,000 due, each due instant ends completed exactly once; what was lost says so."""
    quick = {"lease_seconds": 3, "rescue_seconds": 1, "concurrency": RUNNING}
    first = listeners.start(**quick)
    project.sql.execute(FILL, [60, RUNNING])
    eventually(lambda: project.rows(HOW_MANY, "running")[0]["n"] == RUNNING, "all run")
    project.sql.execute(FILL, [0, DUE])
    eventually(lambda: first.describe()["jobs_waiting_for_slot"] > 0, "the others wait")
    first_id = first.describe()["listener_id"]
    first.stop(signal.SIGKILL)
    project.sql.execute("update public.scheduled_jobs set metadata = '{}'")

    listeners.start(**quick)
    eventually(lambda: project.rows(ENDS) == [{"status": "completed", "n": RUNNING + DUE}], "all end", 60)
    instants = project.rows(BY_INSTANT)
    assert len(instants) == RUNNING + DUE
    assert {row["completed"] for row in instants} == {1}
    assert {tuple(row["others"]) for row in instants if row["others"]} == {("lease_lost",)}
    assert sum(row["lost"] for row in project.rows(LOST, first_id)) == RUNNING


def test_recurring_jobs_miss_no_instant_when_a_listener_is_killed(project, listeners, eventually) -> None:
    """100 jobs are killed in the middle of a run: each instant still has one final row, and none is missing."""
    quick = {"lease_seconds": 3, "rescue_seconds": 1}
    killed = listeners.start(**quick)
    recurring = {"trigger_type": "interval", "schedule": {"seconds": 1}, "max_runs": 3, "retry_delay_seconds": 0}
    row = {"handler": "rest", "metadata": {"seconds": 0.4}, **recurring, "run_date": project.soon(1)}
    jobs = project.insert_many([row] * 100)
    listeners.launch(**quick)
    running = "select count(*) as n from public.job_executions where status = 'running' and started_at <= now()"
    eventually(lambda: project.rows(running)[0]["n"] == len(jobs), "all run")
    killed.stop(signal.SIGKILL)
    ended = "select count(*) as n from public.scheduled_jobs where id = any(%s) and status = 'completed'"
    eventually(lambda: project.rows(ended, jobs)[0]["n"] == len(jobs), "all end", 90)
    for job in jobs:
        states = {row["scheduled_for"]: row["status"] for row in project.ledger(job) if row["reason"] != "lease_lost"}
        assert len(states) == len(project.ledger(job)) - project.states(job).count(("failed", "lease_lost"))
        assert Counter(states.values())["completed"] == 3
        assert {b - a for a, b in pairwise(sorted(states))} == {timedelta(seconds=1)}


def test_a_retry_whose_listener_died_is_not_late(project, listeners) -> None:
    """The attempt that waits in the ledger is taken up by another listener that was there all the time."""
    settings = {"lease_seconds": 3, "rescue_seconds": 1, "poll_seconds": 0.3}  # the other sees the job before it fails
    by_id = {
        each.describe()["listener_id"]: each for each in (listeners.start(**settings), listeners.start(**settings))
    }
    job = project.insert("fail_first", metadata={"good_from_attempt": 2, "seconds": 1}, retry_delay_seconds=2)
    first, _ = project.wait_for_runs(job, 1)
    by_id[str(first["listener_id"])].stop(signal.SIGKILL)
    assert project.wait(job)["status"] == "completed"
    _, second = project.ledger(job)
    assert second["listener_id"] != first["listener_id"]
    assert second["lateness_ms"] < allowed(3_000, 30_000)
