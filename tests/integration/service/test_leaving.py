"""A listener that gets SIGTERM is gone in time, whatever its handlers do, and takes along all that it started."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
from patience import allowed


@pytest.fixture(autouse=True)
def _nothing_left_to_do(project):
    """Leave no run of the test before to the next listener."""
    project.sql.execute("delete from public.scheduled_jobs")


def lives(process: int) -> bool:
    """Whether there is such a process, and more of it than its exit code."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_a_second_sigterm_ends_the_time_that_runs_are_granted(project, listeners, marks, eventually) -> None:
    """Runs that still go on are handed back at once, as they would be at the end of that time."""
    leaving = listeners.start(drain_seconds=60)
    job = project.insert("rest", metadata={"marks": str(marks), "seconds": 60})
    eventually(marks.read_text, "it has begun")
    for _ in range(2):  # together they are one: a terminal and whatever runs the service both pass it on
        leaving.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    time.sleep(1.5)
    assert project.states(job) == [("running", None)]
    assert leaving.stop() == 0
    assert project.states(job) == [("failed", "shutdown"), ("queued", None)]


def test_a_sigterm_during_the_start_is_received(project, listeners, eventually) -> None:
    """A process that leaves it to the kernel is killed by it, or, the first one of a container, goes on."""
    early = listeners.launch()
    status = Path(f"/proc/{early.process.pid}/status")

    def catches_sigterm() -> bool:
        caught = int(status.read_text().partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> signal.SIGTERM - 1 & 1)

    eventually(catches_sigterm, "it listens")
    assert not early.ready()
    assert early.stop() == 0


def test_a_handler_that_will_not_stop_does_not_keep_the_process(project, listeners, marks, eventually) -> None:
    """It ends without it, not in order, and the lease runs out: a process without stages must not look alive."""
    leaving = listeners.start(drain_seconds=0)
    project.insert("cling", metadata={"marks": str(marks), "seconds": 60})
    eventually(marks.read_text, "it runs")
    began = time.monotonic()
    assert leaving.stop(within=30) == 1
    assert time.monotonic() - began > 5  # others, which need a while, are given it
    assert "service.cut_short" in leaving.log.read_text()


def test_a_signal_to_all_processes_of_a_service_lets_runs_end(project, listeners, marks, eventually) -> None:
    """A terminal sends Ctrl-C to its whole group, and systemd SIGTERM: also to worker processes."""
    leaving = listeners.start(drain_seconds=20)
    job = project.insert("rest_in_process", metadata={"marks": str(marks), "seconds": 2})
    eventually(marks.read_text, "it runs")
    worker = int(marks.read_text().split()[1])
    for order in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker, order)
    assert leaving.stop(within=20) == 0
    assert project.states(job) == [("completed", None)]


def test_a_killed_listener_takes_its_worker_processes_along(project, listeners, marks, eventually) -> None:
    """Their runs are given to another listener when the lease is over: then nobody else may work on them."""
    killed = listeners.start()
    project.insert("rest_in_process", metadata={"marks": str(marks), "seconds": 60})
    eventually(marks.read_text, "it runs")
    worker = int(marks.read_text().split()[1])
    assert worker != killed.process.pid
    assert lives(worker)
    killed.stop(signal.SIGKILL)
    eventually(lambda: not lives(worker), "it is gone")


@pytest.mark.parametrize("handler", ["cling", "swallow", "block", "rest_stale_in_thread", "ignore_sigterm_in_process"])
def test_a_second_sigterm_is_obeyed_in_ten_seconds(project, listeners, marks, eventually, handler) -> None:
    """Also with a handler that shields itself, swallows or holds up the loop, and a thread or process that stays."""
    leaving = listeners.start(drain_seconds=60)
    project.insert(handler, metadata={"marks": str(marks), "seconds": 60})
    eventually(marks.read_text, "it runs")
    leaving.process.send_signal(signal.SIGTERM)
    time.sleep(1.2)  # a second signal that comes sooner is the same order
    leaving.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert leaving.stop(signal.SIGCONT, within=30) in {0, 1}
    assert time.monotonic() - began < allowed(10, 15)


def test_the_handler_that_holds_up_the_loop_is_named(project, listeners, marks, eventually) -> None:
    """While it still does, in the log, and afterwards where readiness is asked for."""
    held_up = listeners.start(log_format="json")
    job = project.insert("block", metadata={"marks": str(marks), "seconds": 4})
    eventually(marks.read_text, "it runs")
    eventually(lambda: "loop.held_up" in held_up.log.read_text(), "the log names it")
    assert project.job(job)["status"] == "running"
    (line,) = [json.loads(line) for line in held_up.log.read_text().splitlines() if "loop.held_up" in line]
    assert (line["handler"], line["job_id"]) == ("block", job)
    assert line["at"].endswith(" in block")
    assert "scenario_handlers.py:" in line["at"]
    reported = eventually(lambda: _fault(held_up), "it is not ready")
    assert f"handler 'block' of job {job} keeps the loop, at " in reported


def _fault(listener) -> str:
    answer = httpx.get(f"{listener.url}/readyz", timeout=10)
    return "" if answer.is_success else answer.text


def test_a_fork_of_a_handler_does_not_keep_the_port(project, listeners, marks, eventually) -> None:
    """The next listener has it at once, although the child lives on."""
    first = listeners.start()
    project.insert("fork_in_thread", metadata={"marks": str(marks), "seconds": 20})
    eventually(lambda: "child" in marks.read_text(), "it has forked")
    child = int(marks.read_text().split()[-1])
    try:
        first.stop(within=20)
        assert lives(child)
        with socket.create_server(("127.0.0.1", int(first.url.rpartition(":")[2]))):
            pass
    finally:
        os.kill(child, signal.SIGTERM)
    eventually(lambda: not lives(child), "it ends by a signal")
