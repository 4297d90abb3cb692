"""The jobs of the demo: the row that a client inserts, and the expected outcome of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

CRON_RUNS = 3
TICKS = 4
RESUMED_TICKS = 2
MISSED_TICKS = ("skipped:paused", "skipped:paused")  # due 4 s and 6 s from the beginning; paused from 1.5 s to 7 s
# `queue`: on a machine that comes to nothing for two seconds, a tick waits for the one before
EVERY_TWO_SECONDS = {"trigger_type": "interval", "schedule": {"seconds": 2}, "overlap": "queue"}
SECOND = timedelta(seconds=1)
YEAR = timedelta(days=365)
MEETING = "meeting"


@dataclass(frozen=True, slots=True)
class Scene:
    """One job.

    `row` is what the client inserts, without its `job_id`, which is `name`; empty when the service makes the job.
    `status` and `runs` are the expected outcome: the job's status, and of each run in the ledger its status, with its
    reason after a colon where it has one.
    """

    name: str
    trigger: str
    row: Mapping[str, Any] = field(default_factory=dict)
    status: str = "completed"
    runs: tuple[str, ...] = ("completed",)

    @property
    def counted_runs(self) -> int:
        """The expected `total_runs`: retries belong to one run, and a cancelled or skipped one does not count."""
        completed = self.runs.count("completed")
        return completed or sum(run.startswith("failed") for run in self.runs)


def scenes(now: datetime) -> list[Scene]:
    """Make the scenes of a demo that begins at `now`."""
    return [*_one_time(now), *_recurring(now), *_by_local_time(now), *_troubled(now), *_directed(now)]


def _greet(name: str, **columns: object) -> dict[str, object]:
    return {"handler": "demo_greet", "metadata": {"name": name}, **columns}


def _one_time(now: datetime) -> list[Scene]:
    soon = now + 3 * SECOND
    return [
        Scene("at once", "once, now", _greet("world")),
        Scene("in three seconds", "once, +3 s", _greet("future", run_date=soon.isoformat())),
    ]


def _recurring(now: datetime) -> list[Scene]:
    interval = {**EVERY_TWO_SECONDS, "run_date": (now + SECOND).isoformat()}
    cron = {"trigger_type": "cron", "schedule": {"expression": "* * * * * */5"}}
    ticks, times = ("completed",) * TICKS, ("completed",) * CRON_RUNS
    return [
        Scene("tick", f"every 2 s, {TICKS} times", _greet("tick", **interval, max_runs=TICKS), runs=ticks),
        Scene("cron", f"* * * * * */5, {CRON_RUNS} times", _greet("cron", **cron, max_runs=CRON_RUNS), runs=times),
    ]


def _by_local_time(now: datetime) -> list[Scene]:
    """Recurring jobs that are due within the demo, and then not for a day or more.

    The zones are without daylight saving time: elsewhere a local time a few seconds ahead may be one that comes twice.
    """
    plan = [("daily", "Asia/Tokyo", 5), ("weekly", "Asia/Kolkata", 8), ("monthly", "America/Phoenix", 11)]
    return [_local(kind, zone, (now + seconds * SECOND).astimezone(ZoneInfo(zone))) for kind, zone, seconds in plan]


def _local(kind: str, zone: str, due: datetime) -> Scene:
    days: dict[str, dict[str, Any]] = {
        "daily": {},
        "weekly": {"days": [f"{due:%A}".lower()]},
        "monthly": {"days": [due.day]},
    }
    schedule = {"time": f"{due:%H:%M:%S}", **days[kind]}
    row = _greet(zone.partition("/")[2], trigger_type=kind, schedule=schedule, timezone=zone)
    return Scene(kind, f"{kind} {due:%H:%M:%S} {zone}", row, status="scheduled")


def _troubled(now: datetime) -> list[Scene]:
    once = {"run_date": (now + 2 * SECOND).isoformat()}
    retried = {"retry_delay_seconds": 1, "retry_backoff": 2, "max_attempts": 4}
    stubborn = {"handler": "demo_stubborn", "metadata": {"succeeds_at": 3}, **once, **retried}
    slow = {"handler": "demo_work", "metadata": {"seconds": 60}, **once}
    return [
        Scene("retried", "once, fails twice", stubborn, runs=("failed", "failed", "completed")),
        Scene(
            "too slow",
            "once, 1 s allowed",
            {**slow, "timeout_seconds": 1, "max_attempts": 1},
            status="failed",
            runs=("failed:timeout",),
        ),
        Scene("cancelled", "once, stopped midway", slow, status="cancelled", runs=("cancelled:cancelled",)),
    ]


def _directed(now: datetime) -> list[Scene]:
    """Jobs that a user changes while they run: see `listener.demo.director`."""
    later = {**EVERY_TWO_SECONDS, "run_date": (now + 4 * SECOND).isoformat()}
    paused = _greet("patience", **later, max_runs=RESUMED_TICKS)
    return [
        Scene("paused", "every 2 s, held for 5.5 s", paused, runs=MISSED_TICKS + ("completed",) * RESUMED_TICKS),
        Scene(
            "rehearsed",
            "once, next year; tested now",
            _greet("next year", run_date=(now + YEAR).isoformat()),
            status="scheduled",
        ),
        Scene(MEETING, "when the meeting ends"),
    ]
