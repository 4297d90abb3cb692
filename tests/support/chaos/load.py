"""The clients of a chaos run: jobs of every kind, and the changes that clients make while they go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from random import Random

ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
KEYS = 20
TRIGGERS = {"once": 60, "interval": 13, "cron": 12, "daily": 5, "weekly": 5, "monthly": 5}
"""Of a hundred jobs."""
ACTIONS = {"run_now": 3, "cancel": 3, "pause": 3, "retime": 3, "rename": 2, "rerun": 1}
"""How many of a hundred jobs a client touches again."""
LATEST_SHARE = 0.95
"""The part of a run in which new jobs come; the rest is for the last of them."""
LEAST_LEFT_SECONDS = 3.0
LEAST_LIFE_SECONDS, MOST_LIFE_SECONDS = 15.0, 60.0


@dataclass(frozen=True)
class Act:
    """Something that a client does to a job: a change of columns, or a manual run; `at` is seconds after the start."""

    at: float
    job_id: str
    kind: str
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NewJob:
    """A job to insert, `at` seconds after the start."""

    at: float
    row: dict[str, Any]


@dataclass(frozen=True)
class Load:
    """Jobs and acts, both in the order of their time."""

    jobs: list[NewJob]
    acts: list[Act]


def make_load(chance: Random, count: int, start: datetime, seconds: float) -> Load:
    """Draw `count` jobs that come, run and end within `seconds` of `start`."""
    maker = _Maker(chance, start, seconds)
    jobs = sorted((maker.job(n) for n in range(count)), key=lambda job: job.at)
    acts = [act for job in jobs for act in maker.acts(job)]
    return Load(jobs, sorted(acts, key=lambda act: act.at))


class _Maker:
    def __init__(self, chance: Random, start: datetime, seconds: float) -> None:
        self._chance, self._start, self._seconds = chance, start, seconds

    def job(self, n: int) -> NewJob:
        chance = self._chance
        at = chance.uniform(0, self._seconds * LATEST_SHARE)
        kind = _drawn(chance, TRIGGERS)
        row = {
            "job_id": f"chaos-{n}",
            "name": kind,
            "handler": "chaos_in_thread" if chance.random() < 0.05 else "chaos",
            "metadata": {"seconds": self._duration()},
            "trigger_type": kind,
            "priority": chance.choice((0, 0, 0, 5, -5)),
            "overlap": chance.choice(("skip", "skip", "queue", "allow", "replace")),
            "misfire": chance.choice(("run_once", "run_once", "run_all", "skip")),
            "misfire_grace_seconds": chance.choice((2, 10, 60)),
            "max_attempts": 8,
            "retry_delay_seconds": 0.5,
            "retry_backoff": 1.2,
            "timeout_seconds": 60,
            "concurrency_key": f"key-{chance.randrange(KEYS)}" if chance.random() < 0.03 else None,
            "run_date": None,
            "schedule": {},
            "timezone": "UTC",
            "ends_at": None,
        }
        self._troubled(row)
        row |= self._timing(kind, self._start + timedelta(seconds=at))
        return NewJob(at, row)

    def acts(self, job: NewJob) -> list[Act]:
        if self._chance.random() * 100 >= sum(ACTIONS.values()):
            return []
        kind, job_id = _drawn(self._chance, ACTIONS), job.row["job_id"]
        at = job.at + self._chance.uniform(1, 12)
        if kind == "run_now":
            return [Act(at, job_id, kind)]
        if kind == "pause":
            later = at + self._chance.uniform(0.5, 6)
            return [Act(when, job_id, "change", {"status": to}) for when, to in ((at, "paused"), (later, "scheduled"))]
        if kind == "rerun":
            at = min(job.at + 20, self._seconds)
        return [Act(at, job_id, "change", self._change(kind, job, at))]

    def _change(self, kind: str, job: NewJob, at: float) -> dict[str, Any]:
        if kind == "retime":
            return self._timing(job.row["trigger_type"], self._start + timedelta(seconds=at))
        if kind == "rename":
            return {"name": "renamed", "metadata": {"seconds": 0.01}}
        return {"status": {"cancel": "cancelled", "rerun": "scheduled"}[kind]}

    def _duration(self) -> float:
        draw = self._chance.random()
        if draw < 0.5:
            return 0.0
        return round(self._chance.uniform(0.01, 0.3) if draw < 0.93 else self._chance.uniform(1, 3), 3)

    def _troubled(self, row: dict[str, Any]) -> None:
        draw = self._chance.random()
        if draw < 0.06:
            row["metadata"]["good_from_attempt"] = 2
        elif draw < 0.08:
            row["metadata"]["good_from_attempt"] = 99
            row["max_attempts"] = 2

    def _timing(self, kind: str, now: datetime) -> dict[str, Any]:
        if kind == "once":
            wait = 0.0 if self._chance.random() < 0.4 else self._chance.uniform(0.2, 25)
            return {"run_date": (now + timedelta(seconds=wait)).isoformat()}
        life = self._life(now)
        if kind in {"interval", "cron"}:
            step = self._chance.choice((1, 2, 3, 5, 7, 10, 15))
            schedule = {"seconds": step} if kind == "interval" else {"expression": f"* * * * * */{step}"}
            return {"run_date": now.isoformat(), "schedule": schedule, "ends_at": (now + life).isoformat()}
        return self._calendar(kind, now, life)

    def _calendar(self, kind: str, now: datetime, life: timedelta) -> dict[str, Any]:
        """A daily, weekly or monthly job whose one instant lies within its life."""
        zone = self._chance.choice(ZONES)
        due = (now + life * self._chance.uniform(0.1, 0.9)).replace(microsecond=0)
        local = due.astimezone(ZoneInfo(zone))
        schedule: dict[str, Any] = {"time": local.strftime("%H:%M:%S")}
        if kind == "weekly":
            schedule["days"] = sorted({WEEKDAYS[local.weekday()], self._chance.choice(WEEKDAYS)})
        elif kind == "monthly":
            schedule["days"] = sorted({local.day, -1})
        timing = {"run_date": now.isoformat(), "schedule": schedule, "timezone": zone}
        return {**timing, "ends_at": (now + life + timedelta(seconds=5)).isoformat()}

    def _life(self, now: datetime) -> timedelta:
        left = max(LEAST_LEFT_SECONDS, self._seconds - (now - self._start).total_seconds())
        return timedelta(seconds=min(left, self._chance.uniform(LEAST_LIFE_SECONDS, MOST_LIFE_SECONDS)))


def _drawn(chance: Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]
