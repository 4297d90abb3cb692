"""The rules of a job, in plain Python: the reference that the SQL is compared with.

Instants are aware datetimes. `NEVER` stands for "none is to come", `JUST_NOW` for an instant
that the database took from its clock, until it is read from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
JUST_NOW = datetime(9998, 1, 1, tzinfo=UTC)
MEETS_SECONDS = 0.02
KEEPS_ROOM_SECONDS = 10
"""How long a run that was given its key keeps it unclaimed."""
FINAL = {"completed", "failed", "cancelled"}

TIMES = {"run_date", "schedule", "ends_at", "max_runs"}

CLIENT_MOVES = {
    ("scheduled", "paused"),
    ("paused", "scheduled"),
    ("scheduled", "cancelled"),
    ("paused", "cancelled"),
    ("running", "cancelled"),
    ("running", "paused"),
    ("completed", "scheduled"),
    ("failed", "scheduled"),
    ("cancelled", "scheduled"),
}
FUNCTIONS = {
    "cancel_job": ({"scheduled", "paused", "running"}, "cancelled"),
    "pause_job": ({"scheduled", "running"}, "paused"),
    "resume_job": ({"paused"}, "scheduled"),
    "retry_job": ({"completed", "failed", "cancelled"}, "scheduled"),
}


class UndecidedError(Exception):
    """The instant lies so near to the present that either answer is right."""


@dataclass
class Run:
    """One row of the ledger."""

    instant: datetime
    cause: str
    attempt: int
    status: str
    run_at: datetime
    id: str | None = None
    listener: str | None = None
    reason: str | None = None
    blocked_since: datetime | None = None
    started_at: datetime | None = None
    is_stopped: bool = False
    is_lapsed: bool = False

    @property
    def key(self) -> tuple[datetime, str, int]:
        """The key that is unique within a job."""
        return (self.instant, self.cause, self.attempt)

    @property
    def place(self) -> tuple[datetime, str]:
        """Its place among the runs of equal priority that wait, or waited, for a key."""
        assert self.blocked_since is not None
        assert self.id is not None
        return (self.blocked_since, self.id)

    def block(self) -> None:
        """Let it wait for its key."""
        self.blocked_since = self.blocked_since or self.run_at
        self.run_at, self.reason = NEVER, "concurrency"

    @property
    def runs_by_schedule(self) -> bool:
        """Whether the job is running because of it."""
        return self.status == "running" and self.cause == "schedule" and not self.is_stopped


@dataclass
class Job:
    """One row of jobs, with its ledger. `due` is None while a recurring job is not planned."""

    id: int
    tenant: str
    row: dict[str, Any]
    status: str
    due: datetime | None
    runs: list[Run] = field(default_factory=list)
    good: int = 0
    bad: int = 0
    by_schedule: int = 0  # of both
    last: str = "completed"  # how the last run of its schedule ended

    @property
    def once(self) -> bool:
        """Whether it has one instant."""
        return self.row["trigger_type"] == "once"

    def waiting(self) -> list[Run]:
        """Give the runs that wait."""
        return [run for run in self.runs if run.status == "queued"]

    def may_start(self, run: Run) -> bool:
        """Whether a waiting run may start in the job's status."""
        overlaps = self.status == "running" and self.row["overlap"] == "allow"
        return run.status == "queued" and (run.cause == "manual" or self.status == "scheduled" or overlaps)

    def wake(self) -> datetime | None:
        """Say when the service must act next."""
        instants = [run.run_at for run in self.runs if self.may_start(run)]
        if self.status in {"scheduled", "running"} and self.due is not None:
            instants.append(self.due)
        first = min(instants, default=NEVER)
        return None if first == NEVER else first

    def has(self, instant: datetime) -> bool:
        """Whether the instant is in the ledger."""
        return any(run.instant == instant and run.cause == "schedule" for run in self.runs)

    def enter(self, instant: datetime, status: str, **fields: Any) -> Run | None:
        """Enter a due instant of the schedule, once."""
        if self.has(instant):
            return None
        run = Run(instant, "schedule", 1, status, **{"run_at": instant, **fields})
        self.runs.append(run)
        return run

    def drop_waiting(self, reason: str, causes: set[str]) -> None:
        """End waiting runs as cancelled."""
        for run in self.waiting():
            if run.cause in causes:
                run.status, run.reason = "cancelled", reason

    def settle_exhausted(self) -> None:
        """End a job that has nothing to come and nothing to wait for."""
        if self.status == "scheduled" and self.due == NEVER and not self.waits_by_schedule():
            self.status = "completed"

    def waits_by_schedule(self) -> bool:
        """Whether a run of its schedule waits."""
        return any(run.cause == "schedule" for run in self.waiting())


class World:
    """All jobs, and the rules."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.key_limit = 1

    # Steps of clients.

    def insert(self, job_id: int, tenant: str, row: dict[str, Any]) -> None:
        """A new job."""
        due = row["run_date"] if row["trigger_type"] == "once" else None
        self.jobs[job_id] = Job(job_id, tenant, row, row.pop("status"), due)

    def edit(self, job: Job, changes: dict[str, Any]) -> bool:
        """Write columns; false, and nothing changes, where the new status may not follow the old one."""
        old, new = job.status, changes.get("status", job.status)
        if old != new and (old, new) not in CLIENT_MOVES:
            return False
        if changes.get("status") == old == "cancelled":
            self._stop_asked_for(job)
        columns = {name: value for name, value in changes.items() if name != "status"}
        retimed = any(job.row[name] != value for name, value in columns.items() if name in TIMES)
        job.row.update(columns)
        job.status = new
        if new == "cancelled" != old:
            job.due = NEVER
            job.drop_waiting("cancelled", {"schedule", "manual"})
            for run in job.runs:
                run.is_stopped |= run.status == "running"
        elif retimed:
            job.drop_waiting("edited", {"schedule"})
            job.due = job.row["run_date"] if job.once else None
        if (old, new) == ("paused", "scheduled"):
            self._resume(job)
        if old in FINAL and new == "scheduled":
            job.due = None
            if job.once:
                job.due = JUST_NOW if self._is_past(job.row["run_date"]) else job.row["run_date"]
        return True

    @staticmethod
    def _resume(job: Job) -> None:
        """Show the run that still goes on; end a job whose last run has ended."""
        if any(run.runs_by_schedule for run in job.runs):
            job.status = "running"
        elif job.due == NEVER and not job.waits_by_schedule():
            job.status = job.last

    def call(self, job: Job, function: str) -> bool:
        """Call a client's function; false where it refuses."""
        sources, target = FUNCTIONS[function]
        if function == "cancel_job" and job.status in FINAL and self._stop_asked_for(job):
            return True
        if job.status == target:
            return True
        return job.status in sources and self.edit(job, {"status": target})

    @staticmethod
    def _stop_asked_for(job: Job) -> bool:
        """Stop what runs or waits of a job that has ended; whether there was any."""
        goes_on = [run for run in job.runs if run.status in {"queued", "running"}]
        job.drop_waiting("cancelled", {"schedule", "manual"})
        for run in goes_on:
            run.is_stopped |= run.status == "running"
        return bool(goes_on)

    def run_now(self, job: Job, run_id: str, instant: datetime) -> None:
        """A manual run."""
        job.runs.append(Run(instant, "manual", 1, "queued", instant, run_id))

    # Steps of listeners.

    def plan(self, job: Job, due: datetime | None) -> None:
        """Take the first due instant."""
        if job.due is None and job.status in {"scheduled", "running"}:
            job.due = due or NEVER
            if due is None:
                job.settle_exhausted()

    def claim(self, me: str, claim_request: Any, ahead: float, now: tuple[datetime, datetime]) -> Run | None:
        """Claim what a job has to run; the run that was granted."""
        job = self.jobs.get(claim_request.job_id)
        if job is None:
            return None
        self._now = now
        soon = timedelta(seconds=ahead)
        is_due = self._is_due(job, claim_request.due, soon)
        following = NEVER if job.once or claim_request.exhausted else claim_request.next_due
        if_run = NEVER if self._is_last(job) else following
        instant = claim_request.due if claim_request.missed is None else claim_request.run
        if is_due and claim_request.missed is not None:
            for missed in claim_request.missed:
                job.enter(missed, "skipped", reason=claim_request.missed_reason)
            if instant is None:
                is_due, job.due = False, following
                if job.once and job.status == "scheduled" and not job.waits_by_schedule():
                    job.status = "cancelled"
        granted = self._grant(job, is_due=is_due, instant=instant, following=following, if_run=if_run, soon=soon)
        if granted:
            granted.status, granted.listener, granted.reason = "running", me, None
            granted.blocked_since = None
            granted.is_lapsed = False
            granted.started_at = max(granted.run_at, now[0])
            if granted.cause == "schedule":
                job.status = "running"
        job.settle_exhausted()
        return granted

    def _grant(self, job, *, is_due, instant, following, if_run, soon) -> Run | None:  # noqa: PLR0913 - the rules of one claim
        ready = [run for run in job.runs if job.may_start(run) and self._before(run.run_at, soon)]
        if ready:
            first = self._first(job, ready)
            if self._free_slots(job, first) > 0:
                return first
            first.block()
            return None
        if not is_due:
            return None
        has_slot = self._free_slots(job) > 0
        overlap = job.row["overlap"]
        if job.status == "running" and overlap in {"skip", "queue"}:
            meets = any(run.runs_by_schedule and run.started_at <= instant for run in job.runs)
            skips = overlap == "skip" and meets
            job.enter(instant, "skipped" if skips else "queued", reason="overlap")
            job.due = following if skips else if_run
            return None
        if job.status == "running" and overlap == "replace":
            for run in job.runs:
                if run.runs_by_schedule and run.instant != instant:
                    run.status, run.reason = "cancelled", "overlap"
                    has_slot = True
                    job.by_schedule += 1
        entered = job.enter(instant, "queued")
        if entered is None and job.once and job.status == "scheduled":
            job.due = JUST_NOW
        else:
            job.due = if_run
        if entered and not has_slot:
            entered.block()
            return None
        return entered

    def _first(self, job: Job, ready: list[Run]) -> Run:
        given = [run for run in ready if job.row["concurrency_key"] and self._holds_slot(job, run)]
        if given:
            return min(given, key=lambda run: run.place)
        return min(ready, key=lambda run: (run.run_at, run.instant))

    def finish(self, me: str, run_results: list[Any], now: tuple[datetime, datetime]) -> list[str]:
        """End attempts; the ids of those that were taken."""
        self._now = now
        by_id = {run.id: (job, run) for job in self.jobs.values() for run in job.runs}
        touched: dict[int, list[tuple[Run, Any, bool]]] = {}
        for run_result in run_results:
            job, run = by_id.get(run_result.execution_id, (None, None))
            if run is None or run.status != "running" or run.listener != me:
                continue
            again = self._end(job, run, run_result)
            touched.setdefault(job.id, []).append((run, run_result, again))
        for job_id, ended in touched.items():
            self._move_on(self.jobs[job_id], ended)
        self._release({self._lock(self.jobs[job_id]) for job_id in touched})
        return [run.id for ended in touched.values() for run, _, _ in ended]

    def _end(self, job: Job, run: Run, run_result: Any) -> bool:
        """Write the end of an attempt; whether the instant is tried again."""
        run.status, run.reason = run_result.status, run_result.reason
        if run_result.status == "queued" and run.is_stopped:
            run.status = run.reason = "cancelled"
        again = run_result.retry_at is not None and not run.is_stopped
        if run.status == "queued":
            run.run_at, run.started_at = run_result.retry_at, None
        elif run.status == "failed" and again:
            job.runs.append(Run(run.instant, run.cause, run.attempt + 1, "queued", run_result.retry_at))
        good, bad = run.status == "completed", run.status == "failed" and not again
        job.good, job.bad = job.good + good, job.bad + bad
        job.by_schedule += (good or bad) and run.cause == "schedule"
        return again

    def _move_on(self, job: Job, ended: list[tuple[Run, Any, bool]]) -> None:
        """Give the job the status that its ledger says."""
        own = [(run, run_result) for run, run_result, _ in ended if run.cause == "schedule" and not run.is_stopped]
        if own:
            job.last = max(own, key=lambda pair: pair[1].completed_at)[0].status
        if job.status != "running" or not own or any(run.runs_by_schedule for run in job.runs):
            return
        if job.waits_by_schedule() or job.due != NEVER:
            job.status = "scheduled"
        else:
            job.status = job.last

    def rescue(self, now: tuple[datetime, datetime]) -> None:
        """End the runs whose lease ran out, and release every key."""
        self._now = now
        for job in self.jobs.values():
            ended = [run for run in job.runs if run.status == "running" and run.is_lapsed]
            for run in ended:
                again = run.attempt < job.row["max_attempts"] and not run.is_stopped
                run.status, run.reason = "cancelled" if run.is_stopped else "failed", "lease_lost"
                if again:
                    job.runs.append(Run(run.instant, run.cause, run.attempt + 1, "queued", JUST_NOW))
                failed = not again and not run.is_stopped
                job.bad += failed
                job.by_schedule += failed and run.cause == "schedule"
            if ended:
                self._move_on(job, [(run, _AT_ONCE, False) for run in ended])
        self._release({self._lock(job) for job in self.jobs.values()})

    def _release(self, locks: set[tuple[str, str | None]]) -> None:
        for lock in locks:
            if lock[1] is None:
                continue
            jobs = [job for job in self.jobs.values() if self._lock(job) == lock]
            blocked = [(job, run) for job in jobs for run in job.runs if job.may_start(run) and run.run_at == NEVER]
            blocked.sort(key=_order)
            for _, run in blocked[: max(0, self._free_slots(jobs[0]))]:
                run.run_at = JUST_NOW if self._is_past(run.instant) else run.instant

    # Parts that both use.

    @staticmethod
    def _lock(job: Job) -> tuple[str, str | None]:
        return (job.tenant, job.row["concurrency_key"])

    def _free_slots(self, job: Job, caller: Run | None = None) -> int:
        if job.row["concurrency_key"] is None:
            return 1
        sharing = [other for other in self.jobs.values() if self._lock(other) == self._lock(job)]
        running = sum(run.status == "running" for other in sharing for run in other.runs)
        given = [(other, run) for other in sharing for run in other.runs if self._holds_slot(other, run)]
        if caller and caller.blocked_since:
            given = [pair for pair in given if _order(pair) < _order((job, caller))]
        return self.key_limit - running - len(given)

    def _holds_slot(self, job: Job, run: Run) -> bool:
        return (
            job.may_start(run)
            and run.blocked_since is not None
            and run.run_at != NEVER
            and not self._before(run.run_at, timedelta(seconds=-KEEPS_ROOM_SECONDS))
        )

    @staticmethod
    def _is_last(job: Job) -> bool:
        limit = job.row["max_runs"]
        open_runs = {run.instant for run in job.runs if run.cause == "schedule" and run.status in {"queued", "running"}}
        return limit is not None and job.by_schedule + len(open_runs) + 1 >= limit

    def _is_due(self, job: Job, due: datetime | None, soon: timedelta) -> bool:
        if due is None or job.due != due:
            return False
        if job.status == "scheduled" or (job.status == "running" and job.row["overlap"] == "allow"):
            return self._before(due, soon)
        return job.status == "running" and self._before(due, timedelta(seconds=MEETS_SECONDS))

    def _before(self, instant: datetime, ahead: timedelta) -> bool:
        earliest, latest = (now + ahead for now in self._now)
        if (instant <= earliest) != (instant <= latest):
            raise UndecidedError
        return instant <= earliest

    _now: tuple[datetime, datetime]

    def at(self, now: tuple[datetime, datetime]) -> None:
        """Say between which instants the present lies."""
        self._now = now

    def _is_past(self, instant: datetime) -> bool:
        return self._before(instant, timedelta(0))

    def shift(self, span: timedelta) -> None:
        """Let time pass: what was to come in `span` is now."""
        for job in self.jobs.values():
            job.due = _shifted(job.due, span)
            for name in ("run_date", "ends_at"):
                job.row[name] = _shifted(job.row[name], span)
            for run in job.runs:
                for name in ("instant", "run_at", "blocked_since", "started_at"):
                    setattr(run, name, _shifted(getattr(run, name), span))


@dataclass(frozen=True)
class _Rescued:
    completed_at: int = 0


_AT_ONCE = _Rescued()


def _order(pair: tuple[Job, Run]) -> tuple[int, tuple[datetime, str]]:
    """Sort key of the runs that wait, or waited, for a key."""
    return (-pair[0].row["priority"], pair[1].place)


def _shifted(instant: datetime | None, span: timedelta) -> datetime | None:
    return instant if instant is None or instant == NEVER else instant - span
