"""How late runs were, and how long it took to be on time again after each kind of fault."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.evidence import Evidence

ON_TIME = timedelta(milliseconds=250)
AFTERMATH = timedelta(seconds=5)
"""A job that is late so soon after a fault counts as late by it."""


@dataclass(frozen=True)
class Incident:
    """A fault that happened; instants of the wall clock."""

    name: str
    began: datetime
    ended: datetime


@dataclass(frozen=True)
class Start:
    """The first handler of a due instant. `due` is not before the job was there to be seen."""

    job: int
    due: datetime
    began: datetime

    @property
    def late(self) -> timedelta:
        """How late it was."""
        return self.began - self.due


@dataclass(frozen=True)
class Recovery:
    """The effect of one kind of fault, the worst of `times`: seconds."""

    name: str
    times: int
    recovery: float | None
    latest: float


def starts(evidence: Evidence) -> list[Start]:
    """Give the starts whose time depended on nothing but the listeners, in the order of their due instants."""
    free = {job["id"]: evidence.histories[job["id"]] for job in evidence.jobs if _is_free(job)}
    scheduled = {str(run["id"]) for run in evidence.runs if run["cause"] == "schedule" and run["attempt"] == 1}
    first: dict[tuple[int, datetime], datetime] = {}
    for record in evidence.records:
        if record.job in free and record.execution_id in scheduled:
            key = record.job, record.scheduled_for
            first[key] = min(record.began, first.get(key, record.began))
    found = [Start(job, max(due, _known(free[job], began)), began) for (job, due), began in first.items()]
    return sorted(found, key=lambda start: start.due)


def _is_free(job: dict[str, Any]) -> bool:
    """Whether no run of a job waits for another run, by its rules."""
    return job["concurrency_key"] is None and (
        job["overlap"] not in {"queue", "skip"} or job["trigger_type"] not in {"interval", "cron"}
    )


def _known(history: list[dict[str, Any]], began: datetime) -> datetime:
    """Return when clients last wrote the job before a start."""
    return max(change["at"] for change in history if not change["by_service"] and change["at"] <= began)


def recoveries(found: Sequence[Start], incidents: Sequence[Incident]) -> list[Recovery]:
    """Give for each kind of fault the slowest recovery and the greatest lateness in its time."""
    kinds: dict[str, list[Incident]] = defaultdict(list)
    for incident in incidents:
        kinds[incident.name].append(incident)
    dues = [start.due for start in found]
    on_time = sorted(start.began for start in found if start.late <= ON_TIME)
    return [
        Recovery(
            name,
            len(each),
            _longest([_recovery(on_time, incident) for incident in each]),
            max(_latest(found, dues, incident) for incident in each),
        )
        for name, each in sorted(kinds.items())
    ]


def _longest(seconds: list[float | None]) -> float | None:
    return None if None in seconds else max(each for each in seconds if each is not None)


def _recovery(on_time: list[datetime], incident: Incident) -> float | None:
    at = bisect_left(on_time, incident.ended)
    return (on_time[at] - incident.ended).total_seconds() if at < len(on_time) else None


def _latest(found: Sequence[Start], dues: list[datetime], incident: Incident) -> float:
    window = found[bisect_left(dues, incident.began) : bisect_left(dues, incident.ended + AFTERMATH)]
    return max((start.late.total_seconds() for start in window), default=0.0)


def percentile(found: Sequence[Start], share: float) -> float:
    """Give a percentile of lateness in seconds."""
    late = sorted(start.late.total_seconds() for start in found)
    return late[min(len(late) - 1, int(len(late) * share))] if late else 0.0
