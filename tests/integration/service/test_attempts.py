"""How attempts end, and what follows: cancellation, failure, retry, snooze, timeout, and runs on demand."""

from __future__ import annotations

import os
import time
from itertools import pairwise

import pytest
from patience import allowed
from ways import both_ways

pytestmark = [pytest.mark.usefixtures("listener"), both_ways]


@pytest.mark.parametrize("handler", ["rest", "rest_in_thread"])
def test_cancelling_a_running_job_stops_its_handler_within_a_second(project, marks, eventually, handler) -> None:
    """On the loop and in a thread; the ledger says that the run was cancelled."""
    job = project.insert(handler, metadata={"marks": str(marks), "seconds": 30})
    eventually(lambda: "begun" in marks.read_text(), "the handler has begun")
    requested_at = time.monotonic()
    project.call("cancel_job", job=job)
    eventually(lambda: "stopped" in marks.read_text(), "the handler has stopped")
    assert time.monotonic() - requested_at < allowed(1, 10)
    assert project.wait_for_runs(job, 1)[0]["status"] == "cancelled"
    assert project.states(job) == [("cancelled", "cancelled")]
    assert project.job(job)["status"] == "cancelled"


def process_is_gone(pid: int) -> bool:
    """Whether no such process is left."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("by", ["cancel_job", "status", "delete"])
def test_cancelling_a_job_kills_the_process_of_its_handler_within_a_second(project, marks, eventually, by) -> None:
    """It need not look: the worker is ended, whichever way a client says so."""
    job = project.insert("rest_in_process", metadata={"marks": str(marks), "seconds": 30})
    eventually(lambda: "begun" in marks.read_text(), "the handler has begun")
    worker = int(marks.read_text().split()[1])
    requested_at = time.monotonic()
    match by:
        case "cancel_job":
            project.call("cancel_job", job=job)
        case "status":
            project.update(job, status="cancelled")
        case "delete":
            project.delete(job)
    eventually(lambda: process_is_gone(worker), "the worker is gone")
    assert time.monotonic() - requested_at < allowed(1, 10)
    if by != "delete":
        project.wait_for_runs(job, 1)
        assert project.states(job) == [("cancelled", "cancelled")]
    assert "ended" not in marks.read_text()


RERUN = """
update public.scheduled_jobs set status = 'cancelled' where id = {0};
update public.scheduled_jobs set status = 'scheduled', metadata = '{{"seconds": 0.5}}' where id = {0}
"""


@pytest.mark.parametrize("at_once", [False, True], ids=["two requests", "one transaction"])
def test_a_job_cancelled_while_it_runs_may_run_again_at_once(project, marks, eventually, at_once) -> None:
    """The first run is stopped, although nobody may see the job cancelled; its end does not touch the second run."""
    job = project.insert("rest", metadata={"marks": str(marks), "seconds": 30})
    eventually(lambda: "begun" in marks.read_text(), "the handler has begun")
    if at_once:
        project.sql.execute(RERUN.format(job))
    else:
        project.update(job, status="cancelled")
        project.update(job, status="scheduled", metadata={"seconds": 0.5})
    assert project.wait(job)["status"] == "completed"
    eventually(lambda: "stopped" in marks.read_text(), "the first handler has stopped")
    project.wait_for_runs(job, 2)
    assert sorted(project.states(job)) == [("cancelled", "cancelled"), ("completed", None)]
    assert project.job(job)["status"] == "completed"


def test_deleting_a_running_job_stops_its_handler(project, marks, eventually) -> None:
    """The row is gone, and so is the run."""
    job = project.insert("rest", metadata={"marks": str(marks), "seconds": 30})
    eventually(lambda: "begun" in marks.read_text(), "the handler has begun")
    project.delete(job)
    eventually(lambda: "stopped" in marks.read_text(), "the handler has stopped")


def test_a_failing_job_is_tried_again_with_growing_pauses_until_it_is_good(project) -> None:
    """Each attempt has its own ledger row; the job ends completed."""
    job = project.insert("fail_first", metadata={"good_from_attempt": 3}, retry_delay_seconds=0.3, retry_backoff=3)
    row = project.wait(job)
    ledger = project.ledger(job)
    assert [(run["attempt"], run["status"]) for run in ledger] == [(1, "failed"), (2, "failed"), (3, "completed")]
    assert len({run["scheduled_for"] for run in ledger}) == 1
    assert ledger[0]["error"] == "RuntimeError: attempt 1 is too early"
    assert "fail_first" in ledger[0]["error_details"]["traceback"]
    pauses = [(b["started_at"] - a["completed_at"]).total_seconds() for a, b in pairwise(ledger)]
    assert pauses[0] >= 0.27
    assert pauses[1] >= 0.81
    assert (row["status"], row["total_runs"], row["successful_runs"], row["failed_runs"]) == ("completed", 1, 1, 0)


def test_a_job_that_keeps_failing_ends_failed_after_its_last_attempt(project) -> None:
    """One run that failed, with as many ledger rows as attempts."""
    job = project.insert("fail_first", metadata={"good_from_attempt": 99}, max_attempts=3, retry_delay_seconds=0.1)
    row = project.wait(job)
    assert [(run["attempt"], run["status"]) for run in project.ledger(job)] == [(n, "failed") for n in (1, 2, 3)]
    assert (row["status"], row["total_runs"], row["failed_runs"]) == ("failed", 1, 1)
    assert row["error"] == "RuntimeError: attempt 3 is too early"


def test_a_failed_job_runs_again_when_it_is_retried(project) -> None:
    """`retry_job` gives it a due instant of its own, with fresh attempts."""
    job = project.insert("fail_first", metadata={"good_from_attempt": 2}, max_attempts=1)
    assert project.wait(job)["status"] == "failed"
    project.update(job, metadata={"good_from_attempt": 1})
    project.call("retry_job", job=job)
    assert project.wait(job, "completed")["error"] is None
    assert [(run["attempt"], run["status"]) for run in project.ledger(job)] == [(1, "failed"), (1, "completed")]


def test_a_handler_chooses_its_outcome(project) -> None:
    """`Retry` sets the delay, `Fail` ends it for good, `Snooze` uses no attempt."""
    again, never, later = project.insert("ask_again"), project.insert("give_up"), project.insert("doze")
    assert project.wait(again)["result"] == 2
    first, second = project.ledger(again)
    assert (first["status"], first["reason"], second["status"]) == ("failed", "retry", "completed")
    assert 0.3 <= (second["started_at"] - first["completed_at"]).total_seconds() < allowed(3, 30)
    assert project.wait(never)["status"] == "failed"
    assert [(run["status"], run["reason"], run["error"]) for run in project.ledger(never)] == [
        ("failed", "no_such_recipient", "nobody lives there")
    ]
    assert project.wait(later)["result"] == 1
    assert [run["attempt"] for run in project.ledger(later)] == [1]


@pytest.mark.parametrize("handler", ["rest", "rest_in_thread"])
def test_a_run_that_takes_longer_than_its_timeout_is_stopped(project, marks, handler) -> None:
    """It fails with reason timeout, and is tried again like any failure; on the loop, and in a thread that looks."""
    patience = {"timeout_seconds": 0.3, "max_attempts": 2, "retry_delay_seconds": 0.1}
    job = project.insert(handler, metadata={"marks": str(marks), "seconds": 30}, **patience)
    assert project.wait(job)["status"] == "failed"
    assert project.states(job) == [("failed", "timeout")] * 2
    assert [line.split()[0] for line in marks.read_text().splitlines()] == ["begun", "stopped"] * 2


def test_a_process_that_takes_longer_than_its_timeout_is_killed(project, marks, eventually) -> None:
    """The time that a worker takes to start counts; the handler need not look."""
    job = project.insert(
        "rest_in_process", metadata={"marks": str(marks), "seconds": 30}, timeout_seconds=4, max_attempts=1
    )
    eventually(lambda: "begun" in marks.read_text(), "the handler has begun")
    worker = int(marks.read_text().split()[1])
    assert project.wait(job)["status"] == "failed"
    assert project.states(job) == [("failed", "timeout")]
    eventually(lambda: process_is_gone(worker), "the worker is gone")


@pytest.mark.parametrize("status", ["scheduled", "completed", "paused"])
def test_a_job_runs_on_demand_whatever_its_status(project, status) -> None:
    """`test_mode` reaches the handler; the run has cause manual, and the job's own status and schedule stay."""
    when = {"run_date": project.soon(3600)} if status == "scheduled" else {}
    job = project.insert("rest", status="paused" if status == "paused" else "scheduled", **when)
    project.wait(job, status)
    before = project.job(job)
    execution = project.call("run_job_now", job=job, test_mode=True)
    (run,) = [row for row in project.wait_for_runs(job, 2 if status == "completed" else 1) if row["cause"] == "manual"]
    assert (str(run["id"]), run["status"], run["test_mode"]) == (execution, "completed", True)
    assert run["result"]["test_mode"] is True
    after = project.job(job)
    assert [after[name] for name in ("status", "next_run_at", "due_at")] == [
        status,
        *[before["next_run_at"], before["due_at"]],
    ]


def test_a_paused_job_does_not_run_and_a_resumed_one_does(project) -> None:
    """A due instant that passes in the pause runs nothing until the job is resumed."""
    job = project.insert(run_date=project.soon(0.8))
    project.call("pause_job", job=job)
    project.sql.execute("select pg_sleep(1.3)")
    assert (project.job(job)["status"], project.ledger(job)) == ("paused", [])
    project.call("resume_job", job=job)
    assert project.wait(job)["status"] == "completed"
    assert len(project.ledger(job)) == 1


def test_a_job_paused_between_attempts_waits_with_its_retry(project) -> None:
    """Resumed, it goes on with the next attempt of the same due instant."""
    job = project.insert("fail_first", metadata={"good_from_attempt": 2}, retry_delay_seconds=0.6)
    project.wait_for_runs(job, 1)
    project.call("pause_job", job=job)
    project.sql.execute("select pg_sleep(1)")
    assert project.states(job)[1][0] == "queued"
    project.call("resume_job", job=job)
    assert project.wait(job)["status"] == "completed"
    assert [run["attempt"] for run in project.ledger(job)] == [1, 2]


@pytest.mark.parametrize("ends", ["by itself", "by cancel_job"])
def test_a_job_paused_while_it_runs_goes_on_to_its_end_and_nothing_follows(project, marks, eventually, ends) -> None:
    """It shows as paused at once; its handler goes on, or is stopped where the paused job is cancelled."""
    later = {"trigger_type": "interval", "schedule": {"seconds": 1}}
    job = project.insert("rest", metadata={"marks": str(marks), "seconds": 1 if ends == "by itself" else 30}, **later)
    eventually(lambda: "begun" in marks.read_text(), "the handler has begun")
    assert project.call("pause_job", job=job)["status"] == "paused"
    if ends == "by cancel_job":
        project.call("cancel_job", job=job)
        eventually(lambda: "stopped" in marks.read_text(), "the handler has stopped")
        assert project.wait_for_runs(job, 1)[0]["status"] == "cancelled"
        return
    assert project.wait_for_runs(job, 1)[0]["status"] == "completed"
    row = project.job(job)
    assert (row["status"], row["total_runs"], row["next_run_at"]) == ("paused", 1, None)
    resumed = project.call("resume_job", job=job)
    assert resumed["status"] == "scheduled"
    project.wait_for_runs(job, 3)
    over = [run["status"] for run in project.ledger(job) if run["completed_at"] and run["reason"] is None]
    assert set(over) == {"completed"}
    project.call("cancel_job", job=job)
