"""Recurring jobs: each due instant has exactly one final ledger row, whatever met it."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import httpx
import pytest
from patience import allowed

pytestmark = pytest.mark.usefixtures("listener")

EVERY_SECOND = {"trigger_type": "interval", "schedule": {"seconds": 1}}


def instants(ledger):
    """Give the due instants of ledger rows, and check that none is there twice."""
    found = [row["scheduled_for"] for row in ledger if row["cause"] == "schedule"]
    assert max(Counter(found).values()) == 1
    return found


def skipped(listener, reason):
    """Read how many instants the listener counted as skipped."""
    found = re.search(rf'instants_skipped_total{{reason="{reason}"}} (\d+)', httpx.get(f"{listener.url}/metrics").text)
    return int(found[1]) if found else 0


def test_an_interval_runs_at_each_of_its_instants_until_its_runs_are_used_up(project) -> None:
    """From `run_date` on, a second apart, none twice; the job is then completed."""
    job = project.insert(**EVERY_SECOND, run_date=project.soon(0.5), max_runs=3)
    row = project.wait(job)
    ledger = project.ledger(job)
    start = row["run_date"]
    assert instants(ledger) == [start + timedelta(seconds=n) for n in range(3)]
    assert {run["status"] for run in ledger} == {"completed"}
    assert max(run["lateness_ms"] for run in ledger) < allowed(500, 5000)
    assert (row["status"], row["total_runs"], row["next_run_at"]) == ("completed", 3, None)


def test_manual_runs_do_not_use_up_a_schedules_runs(project) -> None:
    """Three manual runs, before and between: the schedule still has its two, and then the job is done."""
    job = project.insert(**EVERY_SECOND, run_date=project.soon(1.5), max_runs=2)
    for _ in range(3):
        project.call("run_job_now", job=job)
    row = project.wait(job, "completed")
    causes = [(run["cause"], run["status"]) for run in project.ledger(job)]
    assert sorted(causes) == [("manual", "completed")] * 3 + [("schedule", "completed")] * 2
    assert (row["total_runs"], row["scheduled_runs"], row["next_run_at"]) == (5, 2, None)


def test_a_cron_job_with_seconds_runs_until_its_end(project) -> None:
    """Every second of the clock up to `ends_at`; the job is then completed."""
    ends_at = project.soon(3)
    job = project.insert(trigger_type="cron", schedule={"expression": "* * * * * *"}, ends_at=ends_at)
    row = project.wait(job)
    found = instants(project.ledger(job))
    assert len(found) in {2, 3}
    assert all(b - a == timedelta(seconds=1) and a.microsecond == 0 for a, b in pairwise(found))
    assert found[-1] <= row["ends_at"]
    assert row["status"] == "completed"


def test_a_due_instant_that_meets_a_running_job_is_skipped(project) -> None:
    """The ledger says so: reason overlap; skipped instants use up no run."""
    job = project.insert("rest", metadata={"seconds": 1.5}, **EVERY_SECOND, max_runs=2)
    assert project.wait(job)["status"] == "completed"
    states = project.states(job)
    assert states[:3] == [("completed", None), ("skipped", "overlap"), ("completed", None)]
    assert Counter(states)["completed", None] == 2
    assert instants(project.ledger(job))


def test_a_run_that_ends_just_before_the_next_instant_does_not_skip_it(project) -> None:
    """Although the next instant is claimed ahead of its time, while the job still runs."""
    job = project.insert("rest", metadata={"seconds": 0.85}, **EVERY_SECOND, max_runs=2)
    project.wait(job)
    assert project.states(job) == [("completed", None)] * 2


def test_a_due_instant_waits_for_the_run_that_it_meets(project) -> None:
    """With overlap queue all run, one after the other."""
    job = project.insert("rest", metadata={"seconds": 1.3}, **EVERY_SECOND, max_runs=3, overlap="queue")
    assert project.wait(job)["status"] == "completed"
    ledger = project.ledger(job)
    assert project.states(job) == [("completed", None)] * 3
    assert all(b["started_at"] >= a["completed_at"] for a, b in pairwise(ledger))
    assert instants(ledger)


def test_due_instants_run_beside_each_other_where_that_is_allowed(project) -> None:
    """With overlap allow the second begins before the first has ended, and max_runs still holds."""
    job = project.insert("rest", metadata={"seconds": 2.5}, **EVERY_SECOND, max_runs=3, overlap="allow")
    assert project.wait(job)["status"] == "completed"
    first, second, third = project.ledger(job)
    assert second["started_at"] < first["completed_at"] > third["started_at"]
    assert {run["lateness_ms"] < allowed(500, 5000) for run in (first, second, third)} == {True}
    assert project.job(job)["total_runs"] == 3


def test_a_due_instant_replaces_the_run_that_it_meets(project, marks) -> None:
    """With overlap replace the older handler is stopped within moments, and the ledger says why."""
    work = {"marks": str(marks), "seconds": 1.6}
    job = project.insert("rest", metadata=work, **EVERY_SECOND, max_runs=2, overlap="replace")
    assert project.wait(job)["status"] == "completed"
    assert project.states(job)[0] == ("cancelled", "overlap")
    assert project.states(job)[-1] == ("completed", None)
    words = [line.split()[0] for line in marks.read_text().splitlines()]
    assert Counter(words)["stopped"] == len(project.ledger(job)) - 1
    assert Counter(words)["ended"] == 1


def test_jobs_that_share_a_key_run_one_after_the_other(project) -> None:
    """Ten at once, never two at a time, each exactly once; another key runs beside them."""
    rows = [{"handler": "rest", "metadata": {"seconds": 0.1}, "concurrency_key": "printer"} for _ in range(10)]
    jobs = project.insert_many([*rows, {**rows[0], "concurrency_key": "scanner"}])
    assert [project.wait(job)["status"] for job in jobs] == ["completed"] * 11
    runs = sorted((run["started_at"], run["completed_at"]) for job in jobs[:-1] for run in project.ledger(job))
    assert len(runs) == 10
    assert all(later[0] >= earlier[1] for earlier, later in pairwise(runs))
    assert project.ledger(jobs[-1])[0]["completed_at"] < runs[-1][0]


def test_a_recurring_job_that_is_paused_skips_what_passes_and_goes_on(project, listener) -> None:
    """The skipped instants are in the ledger with reason paused, and counted; none is missing or there twice."""
    before = skipped(listener, "paused")
    job = project.insert(**EVERY_SECOND)
    project.wait_for_runs(job, 1)
    project.call("pause_job", job=job)
    project.sql.execute("select pg_sleep(2.1)")
    paused = project.ledger(job)
    project.call("resume_job", job=job)
    project.wait_for_runs(job, len(paused) + 4)
    project.call("cancel_job", job=job)
    ledger = project.ledger(job)
    assert {(row["status"], row["reason"]) for row in ledger[len(paused) :]} >= {
        ("skipped", "paused"),
        ("completed", None),
    }
    assert all(b - a == timedelta(seconds=1) for a, b in pairwise(instants(ledger)))
    assert skipped(listener, "paused") - before == sum(row["reason"] == "paused" for row in ledger)


def test_a_failing_recurring_job_goes_on_at_its_next_instant(project) -> None:
    """A failed instant is over when its attempts are; the job stays scheduled and its counters show both."""
    job = project.insert("fail_first", metadata={"good_from_attempt": 2}, **EVERY_SECOND, max_attempts=1, max_runs=2)
    row = project.wait(job)
    assert project.states(job) == [("failed", None)] * 2
    assert (row["total_runs"], row["failed_runs"], row["successful_runs"]) == (2, 2, 0)
