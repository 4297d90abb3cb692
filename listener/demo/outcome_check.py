"""Compares the ledger, and what Realtime delivered, with the expected outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from supabase import AsyncClient

    from listener.demo.board import Board, Line

COLUMNS = "scheduled_job_id,scheduled_for,attempt,status,reason,test_mode,started_at,lateness_ms,error"


@dataclass(frozen=True, slots=True)
class OutcomeCheck:
    """All differences, one sentence each, and the runs of the ledger."""

    faults: tuple[str, ...]
    runs: tuple[Mapping[str, Any], ...]

    def lateness(self, share: float) -> float:
        """Return the lateness in milliseconds that a `share` (0 to 1) of all started runs did not exceed."""
        late = sorted(run["lateness_ms"] for run in self.runs if run["lateness_ms"] is not None)
        return float(late[min(len(late) - 1, int(share * len(late)))]) if late else 0.0


async def judge(client: AsyncClient, board: Board, meeting: Mapping[str, Any]) -> OutcomeCheck:
    """Compare the ledger, and what Realtime has delivered, with the expected outcomes."""
    ledger: Any = (await client.table("job_executions").select(COLUMNS).order("scheduled_for").execute()).data
    held: Any = (await client.table("meetings").select("status,end_time").eq("id", meeting["id"]).execute()).data
    faults = [fault for line in board.lines.values() for fault in _faults_of(line, _of(line, ledger))]
    faults += _faults_of_meeting(held[0], [run for run in ledger if run["scheduled_for"] == meeting["end_time"]])
    return OutcomeCheck(tuple(faults), tuple(ledger))


def _of(line: Line, ledger: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    runs = [run for run in ledger if run["scheduled_job_id"] == line.row.get("id")]
    return sorted(runs, key=lambda run: (run["scheduled_for"], run["attempt"]))


def _faults_of(line: Line, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    scene = line.scene
    if not line.row:
        return [f"{scene.name}: Realtime delivered nothing"]
    faults = []
    if line.status != scene.status:
        faults.append(f"{scene.name}: is {line.status}, should be {scene.status}")
    told = tuple(":".join(filter(None, (run["status"], run["reason"]))) for run in runs)
    if told != scene.runs:
        has, wanted = ", ".join(told) or "no run", ", ".join(scene.runs)
        faults.append(f"{scene.name}: the ledger has {has}, should have {wanted}")
    early = [run for run in runs if run["lateness_ms"] is not None and run["lateness_ms"] < 0]
    return faults + [f"{scene.name}: a run began {-run['lateness_ms']:.1f} ms before its time" for run in early]


def _faults_of_meeting(held: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    faults = []
    if held["status"] != "done":
        faults.append(f"the meeting is {held['status']}, should be done")
    if not runs:
        faults.append(f"the meeting's job did not run at its moved end, {datetime.fromisoformat(held['end_time'])}")
    return faults
