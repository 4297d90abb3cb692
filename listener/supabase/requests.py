"""Writes claims, ends of attempts and log lines as the functions of the database read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from listener.domain.messages import ClaimRequest, Note, RunResult


def logs(entries: Iterable[Note | RunResult]) -> list[dict[str, Any]]:
    """Return the log lines of these runs as `note_runs_v1` and `finish_runs_v1` read them."""
    return [
        {
            "execution_id": each.execution_id,
            "at": line.at,
            "level": line.level,
            "message": line.message,
            "fields": line.fields,
        }
        for each in entries
        for line in each.logs
    ]


def note(entry: Note) -> dict[str, Any]:
    """Return the progress of a run as `note_runs_v1` reads it."""
    message: dict[str, Any] = {"id": entry.execution_id, "fence": entry.fence, "progress": entry.progress}
    return message if entry.step is None else {**message, "step": entry.step}


def claim(request: ClaimRequest) -> dict[str, Any]:
    """Return a claim as `claim_runs_v1` reads it."""
    message: dict[str, Any] = {"id": request.job_id, "due": request.due}
    if request.next_due is not None:
        message["next"] = request.next_due
    if request.hinted:
        message["hinted"] = True
    if request.exhausted:
        message["exhausted"] = True
    if request.defined_at is not None:
        message["defined_at"] = request.defined_at
    if request.turn:
        message["turn"] = request.turn
    if request.again:
        message["again"] = True
    if request.missed is not None:
        message |= {"run": request.run, "missed": list(request.missed), "missed_reason": request.missed_reason}
    return message


def run_result(result: RunResult) -> dict[str, Any]:
    """Return the end of an attempt as `finish_runs_v1` reads it."""
    entries = {
        "id": result.execution_id,
        "fence": result.fence,
        "status": result.status,
        "completed_at": result.completed_at,
        "started_at": result.started_at,
        "reason": result.reason,
        "result": result.result,
        "error": result.error,
        "error_details": result.error_details,
        "progress": result.progress,
        "retry_at": result.retry_at,
    }
    return {key: value for key, value in entries.items() if value is not None}
