"""The board: the state of each job as Realtime last reported it, and its display."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from listener.demo.scenes import Scene

STYLES = {
    "": "dim",
    "scheduled": "cyan",
    "running": "bold yellow",
    "completed": "bold green",
    "failed": "bold red",
    "cancelled": "magenta",
    "paused": "bold blue",
}
COLUMNS = ("  job", "trigger", "due", "status", "late", "runs", "try", "last result or error")
DROPPED, WIDE = ("trigger", "try"), 110
MILLISECONDS = 1000
A_WHILE, HALF_A_YEAR = timedelta(hours=12), timedelta(days=183)


@dataclass(slots=True)
class Line:
    """One job as last delivered; `due` is the instant of its present or next run."""

    scene: Scene
    row: Mapping[str, Any] = field(default_factory=dict)
    due: datetime | None = None
    late_ms: float | None = None

    @property
    def status(self) -> str:
        """The job's status, empty before the first delivery."""
        return str(self.row.get("status", ""))

    @property
    def reached(self) -> bool:
        """Whether the job has reached its expected outcome."""
        return (self.status, self.row.get("total_runs", 0)) == (self.scene.status, self.scene.counted_runs)

    def take(self, row: Mapping[str, Any]) -> bool:
        """Take a delivered row; return whether it is a transition, or the end of one more run."""
        before = self.row
        self.row = row
        if row["last_run_at"] != before.get("last_run_at"):
            self._measure(_instant(row["last_run_at"]))
        if row["status"] != "running" or self.due is None:
            self.due = _instant(row["next_run_at"]) or self.due
        return any(row[name] != before.get(name) for name in ("status", "total_runs", "error"))

    def _measure(self, started: datetime | None) -> None:
        if started and self.due and started >= self.due:  # a manual run is not late
            self.late_ms = (started - self.due).total_seconds() * MILLISECONDS

    def cells(self) -> tuple[str, ...]:
        """Return the table's cells beside name and trigger."""
        late = "" if self.late_ms is None else f"{self.late_ms:.0f} ms"
        attempt = str(self.row.get("attempt") or "")
        return self._due_shown(), self.status, late, str(self.row.get("total_runs", "")), attempt, self._news()

    def _due_shown(self) -> str:
        """Show no more of the instant than is needed; the row's last change is today."""
        if self.due is None:
            return ""
        ahead = self.due - datetime.fromisoformat(self.row["updated_at"])
        form = "%H:%M:%S" if ahead < A_WHILE else "%d %b %H:%M" if ahead < HALF_A_YEAR else "%d %b %Y"
        return f"{self.due.astimezone():{form}}"

    def _news(self) -> str:
        if self.row.get("error"):
            return str(self.row["error"])
        result = self.row.get("result")
        return "" if result is None else str(result)


class Board:
    """The lines of all jobs.

    Args:
        on_transition: called with each line that has made a transition.
    """

    def __init__(self, on_transition: Callable[[Line], None]) -> None:
        self.lines: dict[str, Line] = {}
        self._names: dict[str, str] = {}
        self._on_transition = on_transition

    def announce(self, scenes: Sequence[Scene]) -> None:
        """Make a line for each scene."""
        self.lines = {scene.name: Line(scene) for scene in scenes}

    def name_job(self, job_id: str, name: str) -> None:
        """Register a job whose name is not its scene's."""
        self._names[job_id] = name

    def take(self, row: Mapping[str, Any]) -> None:
        """Take a delivered row; rows of other jobs are ignored."""
        line = self.lines.get(self._names.get(row["job_id"], row["job_id"]))
        if line is not None and line.take(row):
            self._on_transition(line)

    @property
    def missing(self) -> list[Line]:
        """The jobs that have not reached their expected outcome."""
        return [line for line in self.lines.values() if not line.reached]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the board; a narrow terminal shows fewer columns, and the last one is cut."""
        shown = [title for title in COLUMNS if options.max_width >= WIDE or title not in DROPPED]
        columns = [Column(title, no_wrap=True, overflow="ellipsis") for title in shown]
        columns[-1].ratio = 1
        table = Table(*columns, box=None, header_style="bold", padding=(0, 2, 0, 0), expand=True)
        for line in self.lines.values():
            due, status, late, runs, attempt, news = line.cells()
            mark = Text("✓ ", "green") if line.reached else Text("  ")
            cells: tuple[str | Text, ...] = (
                mark + Text(line.scene.name, "bold"),
                Text(line.scene.trigger, "dim"),
                due,
                Text(status or "…", STYLES[status]),
                late,
                runs,
                attempt,
                Text(news, "red" if line.row.get("error") else ""),
            )
            table.add_row(*(cell for title, cell in zip(COLUMNS, cells, strict=True) if title in shown))
        yield table


def _instant(text: str | None) -> datetime | None:
    """Read an instant as Realtime writes it."""
    return datetime.fromisoformat(text) if text else None
