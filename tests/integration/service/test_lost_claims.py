"""A listener that sleeps, fails or hangs: its runs go to another one, what it says later counts nothing, it shows."""

from __future__ import annotations

import signal
import time

import httpx
from patience import allowed

SHORT = {"lease_seconds": 4, "rescue_seconds": 0.5}


def test_a_listener_that_slept_longer_than_its_lease_writes_nothing_and_stops_its_handler(
    project, listeners, marks, eventually
) -> None:
    """The other one has begun a second attempt meanwhile, and that is the one that counts."""
    sleeper = listeners.start(**SHORT)
    job = project.insert("rest", metadata={"marks": str(marks), "seconds": 90}, retry_delay_seconds=0)
    eventually(lambda: "begun" in marks.read_text(), "the handler has begun")
    project.update(job, metadata={"marks": str(marks), "seconds": 1})  # of the attempt to come
    staying = listeners.start(**SHORT)
    sleeper.process.send_signal(signal.SIGSTOP)
    try:
        project.wait_for_runs(job, 1)
        assert project.states(job)[0] == ("failed", "lease_lost")
    finally:
        sleeper.process.send_signal(signal.SIGCONT)
    stopped = f"stopped {sleeper.process.pid} 1"
    eventually(lambda: stopped in marks.read_text(), "the handler of the first attempt is stopped")
    assert project.wait(job)["status"] == "completed"
    first, second = project.ledger(job)
    assert (first["status"], first["reason"], first["result"]) == ("failed", "lease_lost", None)
    assert (second["status"], second["attempt"], second["result"]["attempt"]) == ("completed", 2, 2)
    assert str(second["listener_id"]) == staying.describe()["listener_id"]
    assert [line for line in marks.read_text().splitlines() if line.startswith("ended")] == [
        f"ended {staying.process.pid} 2"
    ]
    row = project.job(job)
    assert (row["total_runs"], row["failed_runs"]) == (1, 0)
    eventually(lambda: sleeper.describe()["leases_held"] == 0, "the sleeper lets go of it")
    assert project.job(job) == row


def test_a_stage_that_cannot_work_ends_the_process_with_a_code_and_its_runs_go_on_elsewhere(
    project, listeners, marks, tmp_path
) -> None:
    """Its port is lost: after some tries the process ends, hands back what it held, and does not look alive."""
    lost_port = tmp_path / "lost"
    failing = listeners.start(handlers="handlers,scenario_handlers,failing_http", LOST_PORT=lost_port)
    job = project.insert("rest", metadata={"marks": str(marks), "seconds": 60})
    threaded = project.insert("rest_stale_in_thread", metadata={"marks": str(marks), "seconds": 60})
    project.wait(job, "running")
    project.wait(threaded, "running")
    listeners.start()
    project.update(job, metadata={"seconds": 0})
    project.update(threaded, metadata={"seconds": 0})
    lost_port.touch()
    assert failing.process.wait(40) == 1
    assert "listener: stage http failed 6 times" in failing.log.read_text()
    for each in (job, threaded):
        assert project.wait(each)["status"] == "completed"
        lost, taken_over = project.ledger(each)
        assert (lost["status"], lost["reason"]) == ("failed", "shutdown")
        assert (taken_over["started_at"] - lost["completed_at"]).total_seconds() < allowed(5, 30)


def test_a_job_that_is_cancelled_and_scheduled_again_within_one_poll_stops_its_old_run(
    project, listeners, marks, eventually
) -> None:
    """Without any channel: no row shows it any more, but the poll reports it."""
    listeners.start(channels="none", stale_poll_seconds=0.5)
    job = project.insert("rest", metadata={"marks": str(marks), "seconds": 30})
    eventually(lambda: "begun" in marks.read_text(), "the handler has begun")
    with project.sql.transaction():
        project.sql.execute("update scheduled_jobs set status = 'cancelled' where id = %s", [job])
        project.sql.execute("update scheduled_jobs set status = 'scheduled', metadata = '{}' where id = %s", [job])
    requested_at = time.monotonic()
    eventually(lambda: "stopped" in marks.read_text(), "the old handler is stopped")
    assert time.monotonic() - requested_at < allowed(5, 30)
    assert project.wait(job)["status"] == "completed"
    assert sorted(project.states(job)) == [("cancelled", "cancelled"), ("completed", None)]


def test_a_handler_that_blocks_the_loop_shows(project, listeners, eventually) -> None:
    """In the reason of `/readyz` and in the metrics, as soon as the loop turns again."""
    listener = listeners.start()
    job = project.insert("block", metadata={"seconds": 3})
    project.wait(job)

    def reason():
        answer = httpx.get(f"{listener.url}/readyz")
        return answer.text if answer.status_code == 503 else None

    reported = eventually(reason, "it is not ready")
    assert reported.startswith("loop: held up for ")
    assert "database: ok" in reported
    metrics = httpx.get(f"{listener.url}/metrics").text
    late = {
        line.split()[0]: float(line.split()[1]) for line in metrics.splitlines() if line.startswith("listener_loop")
    }
    assert late["listener_loop_lag_seconds_sum"] > 2
    assert "listener_work_overdue_seconds" in metrics
