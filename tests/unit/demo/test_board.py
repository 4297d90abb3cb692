"""The board shows what Realtime delivers."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from rich.console import Console

from listener.demo.board import Board, Line
from listener.demo.scenes import Scene, scenes

DUE, STARTED = "2026-11-21T10:00:00+00:00", "2026-11-21T10:00:00.25+00:00"


def _row(**changes: object) -> dict[str, object]:
    fields = {
        "job_id": "tick",
        "status": "scheduled",
        "total_runs": 0,
        "attempt": 0,
        "error": None,
        "result": None,
        "next_run_at": DUE,
        "last_run_at": None,
        "updated_at": DUE,
    }
    return {**fields, **changes}


def _board() -> tuple[Board, list[str]]:
    reported: list[str] = []
    board = Board(lambda line: reported.append(line.status))
    board.announce([Scene("tick", "every 2 s")])
    return board, reported


def test_a_transition_is_reported_once():
    """A row that is delivered again, or in which only the lease has moved, is no transition."""
    board, reported = _board()
    for status in ("scheduled", "running", "running", "completed"):
        board.take(_row(status=status))
    assert reported == ["scheduled", "running", "completed"]


def test_lateness_counts_from_the_instant_that_the_run_was_for():
    """Although the row has the next instant already while the run goes on."""
    board, _ = _board()
    board.take(_row())
    board.take(_row(status="running", next_run_at="2026-11-21T10:00:02+00:00"))
    board.take(_row(last_run_at=STARTED, next_run_at="2026-11-21T10:00:02+00:00", total_runs=1))
    assert board.lines["tick"].late_ms == 250


def test_a_run_out_of_turn_is_not_late():
    """A run now of a job that is due next year began before its time."""
    line = Line(Scene("rehearsed", "once"))
    line.take(_row(next_run_at="2027-11-21T10:00:00+00:00"))
    line.take(_row(next_run_at="2027-11-21T10:00:00+00:00", last_run_at=STARTED, total_runs=1))
    assert line.late_ms is None


def test_a_job_is_missing_until_status_and_runs_are_as_expected():
    """A recurring job has its expected status before it has run at all."""
    scene = Scene("daily", "daily", status="scheduled")
    board, _ = _board()
    board.announce([scene])
    board.take(_row(job_id="daily"))
    assert [line.scene for line in board.missing] == [scene]
    board.take(_row(job_id="daily", total_runs=1))
    assert board.missing == []


def test_jobs_of_others_are_not_shown():
    """The listener's own jobs, or those of another program."""
    board, reported = _board()
    board.take(_row(job_id="somebody else's"))
    assert reported == []
    assert list(board.lines) == ["tick"]


def test_the_drawn_board_has_a_line_for_each_job():
    """Also before anything was delivered, and with text that looks like markup."""
    board, _ = _board()
    board.take(_row(error="[red]no[/red] luck", status="failed"))
    console = Console(width=120)
    with console.capture() as shown:
        console.print(board)
    assert "tick" in shown.get()
    assert "[red]no[/red] luck" in shown.get()


def test_a_terminal_of_80_by_24_shows_every_job_whole():
    """Its name, when it is due, its status and the beginning of its result; the lines before and after fit, too."""
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    board = Board(lambda _: None)
    board.announce(scenes(now))
    row = _row(status="scheduled", total_runs=3, updated_at=now.isoformat(), last_run_at=None)
    for name in board.lines:
        board.take({**row, "job_id": name, "next_run_at": "2026-01-07T12:00:00+00:00", "result": "hello, world"})
    console = Console(width=80, height=24)
    with console.capture() as shown:
        console.print(board)
    lines = shown.get().splitlines()
    assert len(lines) == len(board.lines) + 1 <= 20
    for name, line in zip(board.lines, lines[1:], strict=True):
        assert re.search(rf"{name} +07 Jan \d\d:\d\d +scheduled +3 +hello, world", line)
