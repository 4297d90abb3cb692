"""The demo does not call wrong what is right, or right what is wrong."""

from __future__ import annotations

import pytest

from listener.demo.board import Line
from listener.demo.outcome_check import OutcomeCheck, _faults_of, _faults_of_meeting
from listener.demo.scenes import Scene

RETRIED = Scene("retried", "once", runs=("failed", "completed"))
END = "2026-11-21T10:00:00+00:00"


def _run(status: str, reason: str | None = None, lateness_ms: float | None = 1.0) -> dict[str, object]:
    return {"status": status, "reason": reason, "lateness_ms": lateness_ms}


def _line(status: str = "completed") -> Line:
    return Line(RETRIED, {"id": 1, "status": status})


def test_what_came_as_expected_has_no_fault():
    """The status, and the ledger attempt by attempt."""
    assert _faults_of(_line(), [_run("failed"), _run("completed")]) == []


@pytest.mark.parametrize(
    ("line", "runs", "fault"),
    [
        (Line(RETRIED), [], "retried: Realtime delivered nothing"),
        (_line("failed"), [_run("failed"), _run("completed")], "retried: is failed, should be completed"),
        (_line(), [_run("completed")], "retried: the ledger has completed, should have failed, completed"),
        (_line(), [], "retried: the ledger has no run, should have failed, completed"),
        (
            _line(),
            [_run("failed", "timeout"), _run("completed")],
            "retried: the ledger has failed:timeout, completed, should have failed, completed",
        ),
        (
            _line(),
            [_run("failed"), _run("completed", lateness_ms=-2)],
            "retried: a run began 2.0 ms before its time",
        ),
    ],
)
def test_whatever_is_not_as_expected_is_one_sentence(line: Line, runs: list[dict[str, object]], fault: str):
    """It names the job, what came, and what should have come."""
    assert _faults_of(line, runs) == [fault]


def test_the_meeting_must_be_done_and_its_job_have_run_at_the_moved_end():
    """A job that did not move along would have run, too."""
    assert _faults_of_meeting({"status": "done", "end_time": END}, [_run("completed")]) == []
    assert len(_faults_of_meeting({"status": "upcoming", "end_time": END}, [])) == 2


def test_lateness_is_that_of_runs_that_began():
    """A skipped run has none."""
    ran = [_run("completed", lateness_ms=late) for late in (1.0, 2.0, 30.0)]
    outcome = OutcomeCheck((), (*ran, _run("skipped", "overlap", None)))
    assert (outcome.lateness(0.5), outcome.lateness(0.99)) == (2.0, 30.0)
    assert OutcomeCheck((), ()).lateness(0.5) == 0.0
