"""Several listeners on one database: they share the work, and one that leaves hands its work on."""

from __future__ import annotations

import signal
import time
from collections import Counter

from patience import allowed


def test_two_listeners_share_jobs_and_run_each_once(project, listeners, marks, eventually) -> None:
    """500 jobs due at one instant: each runs exactly once, and both take part."""
    listeners.launch(concurrency=20)
    listeners.launch(concurrency=20)
    for each in listeners.started:
        each.wait_until_ready()
    at = project.soon(1)
    rows = [{"handler": "rest", "run_date": at, "metadata": {"marks": str(marks), "seconds": 0.02}}] * 500
    jobs = project.insert_many(rows)
    done = "select count(*) as n from public.scheduled_jobs where id = any(%s) and status = 'completed'"
    eventually(lambda: project.rows(done, jobs)[0]["n"] == len(jobs), "all end", 30)
    runs = project.rows("select * from public.job_executions where scheduled_job_id = any(%s)", jobs)
    assert Counter(run["scheduled_job_id"] for run in runs) == Counter(jobs)
    begun = [line.split()[1] for line in marks.read_text().splitlines() if line.startswith("begun")]
    assert len(begun) == len(jobs)
    assert len(set(begun)) == len({run["listener_id"] for run in runs}) == 2


def test_a_listener_that_is_asked_to_stop_lets_its_runs_end(project, listeners, marks, eventually) -> None:
    """Within its drain time; it claims nothing more, and exits with 0 as soon as the last run has ended."""
    leaving = listeners.start(drain_seconds=8)
    job = project.insert("rest", metadata={"marks": str(marks), "seconds": 1})
    eventually(marks.read_text, "it has begun: one that is only claimed is handed back")
    leaving.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    later = project.insert()
    assert leaving.process.wait(5) == 0
    assert project.states(job) == [("completed", None)]
    assert project.states(later) == []
    listeners.start()
    assert project.wait(later)["status"] == "completed"


def test_what_does_not_end_in_time_is_handed_to_another_listener_at_once(project, listeners, marks) -> None:
    """A run that goes on becomes another attempt elsewhere; one that was only claimed starts elsewhere in time."""
    leaving = listeners.start(drain_seconds=0.5, claim_ahead_seconds=4)
    going_on = project.insert("rest", metadata={"marks": str(marks), "seconds": 250})
    project.wait(going_on, "running")
    staying = listeners.start()
    waiting = project.insert("rest", run_date=project.soon(3))  # which only the first claims so far ahead
    project.wait(waiting, "running")
    project.update(going_on, metadata={"seconds": 0})  # of the attempt to come
    requested_at = project.rows("select clock_timestamp() as now")[0]["now"]
    assert leaving.stop(within=allowed(4, 30)) == 0
    assert project.wait(going_on)["status"] == project.wait(waiting)["status"] == "completed"
    assert project.states(going_on) == [("failed", "shutdown"), ("completed", None)]
    lost, taken_over = project.ledger(going_on)
    assert str(taken_over["listener_id"]) == staying.describe()["listener_id"] != str(lost["listener_id"])
    assert (taken_over["started_at"] - lost["completed_at"]).total_seconds() < allowed(2, 20)
    assert (lost["completed_at"] - requested_at).total_seconds() < allowed(2, 20)
    (run,) = project.ledger(waiting)
    assert run["attempt"] == 1
    assert 0 <= run["lateness_ms"] < allowed(1000, 10_000)
