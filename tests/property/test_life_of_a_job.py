"""The life of jobs in the database, against a model: whatever clients, listeners, crashes and time do to them.

`LIFE_EXAMPLES=3000 pytest tests/property/test_life_of_a_job.py` looks longer.
"""

from __future__ import annotations

import math
import os
import uuid
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from given_stack import needs_superuser
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from job_model import CLIENT_MOVES, FINAL, FUNCTIONS, JUST_NOW, NEVER, UndecidedError, World
from life_database import LifeDatabase

from listener.domain.messages import RunResult
from listener.domain.schedule import first_run
from listener.domain.status import TRANSITIONS, JobStatus
from listener.execution.claim_request import claim_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.domain.job import Job, Run
    from listener.domain.messages import ClaimRequest

AHEAD_SECONDS = 1.25
BUDGET = settings(
    max_examples=int(os.environ.get("LIFE_EXAMPLES", "100")),
    stateful_step_count=40,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
SCHEDULES = {
    "once": {},
    "interval": {"seconds": 1800},
    "daily": {"time": "08:30"},
    "weekly": {"time": "10:00", "days": ["monday", "friday"]},
    "monthly": {"time": "09:00", "days": [1, -1]},
    "cron": {"expression": "17 * * * *"},
}
STATUSES = sorted(map(str, JobStatus))
MOST_JOBS = 6
SECONDS = st.sampled_from([-40, 0, 0, 3, 90])
WHO = st.integers(0, 3)
WHICH = st.integers(0, MOST_JOBS - 1)
ROWS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["once", "once", "interval", "interval", *SCHEDULES]),
        "tenant": st.sampled_from(["service", "service", "alice"]),
        "due_in": SECONDS,
        "is_bounded": st.booleans(),
        "overlap": st.sampled_from(["skip", "queue", "allow", "replace"]),
        "concurrency_key": st.sampled_from([None, None, "printer"]),
        "max_runs": st.sampled_from([None, None, 1, 2]),
        "max_attempts": st.integers(1, 3),
        "misfire": st.sampled_from(["run_once", "run_all", "skip"]),
        "status": st.sampled_from(["scheduled"] * 4 + ["paused"]),
        "priority": st.integers(0, 1),
    }
)
CHANGES = st.fixed_dictionaries(
    {"priority": st.integers(0, 1)},
    optional={"status": st.sampled_from(STATUSES), "due_in": SECONDS, "max_runs": st.sampled_from([None, 1, 2])},
)
OUTCOMES = st.lists(
    st.sampled_from(["completed", "completed", "retry", "retry", "failed", "snooze", "back", "cancelled"]),
    min_size=1,
    max_size=3,
)
LISTENER_ACTS = ["work"] * 6 + ["finish"] * 4 + ["crash", "crash", "rescue", "rescue", "extend"]
CLIENT_ACTS = ["insert", "status", "edit_times", "edit_times", "function", "function", "run_now", "delete", "forge"]
ACTS = [*LISTENER_ACTS, *CLIENT_ACTS, *["time"] * 6]
LEAPS = ["-0.6", "0.1", "0.1", "0.1", "30", "90", 0.02, 0.5, 3, 26]


@dataclass
class Listener:
    """One process: its id, and what it was granted."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    granted: dict[str, Run] = field(default_factory=dict)


class LifeOfAJob(RuleBasedStateMachine):
    """Every step is done to the database and to the model; after each both say the same."""

    def __init__(self, database: LifeDatabase) -> None:
        super().__init__()
        self.database, self.world = database, World()
        database.clear()
        self.elapsed = timedelta(0)
        self.listeners, self.dead = [Listener(), Listener()], []
        self.seen: dict[int, list[Job]] = defaultdict(list)
        self.before: dict[int, dict[str, Any]] = {}
        self.since = database.now()
        self.touched_by_client: set[int] = set()
        self.steps = 0

    @initialize(key_limit=st.integers(1, 2), rows=st.lists(ROWS, min_size=1, max_size=4))
    def begin(self, key_limit: int, rows: list[dict[str, Any]]) -> None:
        self.world.key_limit = key_limit
        for row in rows:
            self._insert(dict(row))

    # One rule, not one for each act: hypothesis leaves some rules out of each example, and none may be missing.

    @rule(act=st.sampled_from(ACTS), data=st.data())
    def step(self, act: str, data: st.DataObject) -> None:
        if act in LISTENER_ACTS:
            getattr(self, f"_{act}")(data)
        elif act == "time":
            self._let_pass(data.draw(st.sampled_from(LEAPS)))
        elif act == "insert":
            self._insert(data.draw(ROWS))
        else:
            jobs = sorted(self.world.jobs)
            job = self.world.jobs[jobs[data.draw(WHICH) % len(jobs)]]
            getattr(self, f"_{act}")(job, data)

    # Clients.

    def _insert(self, row: dict[str, Any]) -> None:
        if len(self.world.jobs) >= MOST_JOBS:
            return
        kind, tenant, due_in, is_bounded = (row.pop(name) for name in ("kind", "tenant", "due_in", "is_bounded"))
        run_date = self._soon(due_in)
        job = {
            **row,
            "trigger_type": kind,
            "schedule": SCHEDULES[kind],
            "run_date": run_date,
            "ends_at": run_date + timedelta(seconds=4000) if is_bounded and kind != "once" else None,
        }
        job_id = self.database.insert(tenant, job)
        self.world.insert(job_id, tenant, job)

    def _status(self, job: Any, data: st.DataObject) -> None:
        self._edit(job, {"status": data.draw(st.sampled_from(STATUSES))})

    def _edit_times(self, job: Any, data: st.DataObject) -> None:
        changes = data.draw(CHANGES)
        if "due_in" in changes:
            changes |= {"run_date": self._soon(changes.pop("due_in")), "ends_at": None}
        self._edit(job, changes)

    def _edit(self, job: Any, changes: dict[str, Any]) -> None:
        self._ask(job, lambda: self.database.update(job.tenant, job.id, changes), lambda: self.world.edit(job, changes))

    def _function(self, job: Any, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(FUNCTIONS)))
        self._ask(job, lambda: self.database.call(job.tenant, name, job.id), lambda: self.world.call(job, name))

    def _ask(self, job: Any, ask: Callable[[], None], judge: Callable[[], bool]) -> None:
        """Do it to the database; it refuses exactly what the model refuses."""
        self.touched_by_client.add(job.id)
        refused = False
        try:
            ask()
        except psycopg.errors.InvalidParameterValue:
            refused = True
        self.world.at((self.since, self.database.now()))
        assert self._decided(judge) is not refused

    def _run_now(self, job: Any, _: st.DataObject) -> None:
        run_id, instant = self.database.run_now(job.tenant, job.id)
        self.world.run_now(job, run_id, instant)

    def _delete(self, job: Any, _: st.DataObject) -> None:
        if len(self.world.jobs) <= MOST_JOBS // 2:
            return
        self.database.delete(job.tenant, job.id)
        del self.world.jobs[job.id]

    def _forge(self, job: Any, data: st.DataObject) -> None:
        """Write what only the service writes."""
        column = data.draw(st.sampled_from(["next_run_at", "total_runs", "claimed_by", "scheduled_runs", "due_at"]))
        value = {"claimed_by": uuid.uuid4(), "next_run_at": NEVER, "due_at": JUST_NOW}.get(column, 77)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            self.database.update(job.tenant, job.id, {column: value})

    # Listeners.

    def _plan(self) -> None:
        """Give due instants to recurring jobs that have none."""
        for job in self._read():
            if job.unplanned:
                due = first_run(job.trigger, job.defined_at)
                due = due and due - self.elapsed
                self.database.service("plan_jobs_v1", {"plans": [{"id": job.id, "revision": job.revision, "due": due}]})
                self.world.plan(self.world.jobs[job.id], due)

    def _work(self, data: st.DataObject) -> None:
        """Plan what has no due instant, and claim all that is due, or what was due a while ago."""
        who, is_stale = data.draw(WHO), data.draw(st.sampled_from([False, False, True]))
        self._plan()
        jobs = [versions[0] for versions in self.seen.values()] if is_stale else self._read()
        now = self.database.now() + self.elapsed
        jobs = [job for job in jobs if job.next_run_at and (is_stale or job.next_run_at <= now + timedelta(seconds=1))]
        for versions in self.seen.values():
            del versions[:-1]
        claims = [self._real(claim_request(job, now)) for job in jobs]
        self._claim(self.listeners[who % 2], claims)

    def _claim(self, me: Listener, claims: list[ClaimRequest]) -> None:
        lower = self.database.now()
        runs = self.database.claim(me.id, claims, AHEAD_SECONDS, self.world.key_limit)
        window = (lower, self.database.now())
        # Runs that one statement decides together come before the rest, which goes by priority, due instant and id.
        granted = []
        plain = [claim for claim in claims if self._decided(lambda claim=claim: self._is_plain(claim, window))]
        for claim in sorted(claims, key=lambda claim: (claim not in plain, *self._turn(claim))):
            run = self._decided(lambda claim=claim: self.world.claim(me.id, claim, AHEAD_SECONDS, window))
            if run:
                granted.append((claim.job_id, run.key))
        reported = {(run.job_id, (run.scheduled_for, run.cause, run.attempt)) for run in runs}
        assert reported == set(granted), (claims, window)
        me.granted.update((run.execution_id, run) for run in runs)

    def _turn(self, claim: ClaimRequest) -> tuple[int, float, int]:
        job = self.world.jobs.get(claim.job_id)
        due = claim.due.timestamp() if claim.due else math.inf
        return -job.row["priority"] if job else 0, due, claim.job_id

    def _is_plain(self, claim: ClaimRequest, window: tuple[datetime, datetime]) -> bool:
        job = self.world.jobs.get(claim.job_id)
        self.world.at(window)
        return (
            job is not None and job.status == "scheduled" and job.due == claim.due and not job.waiting()
            and job.row["concurrency_key"] is None and claim.missed is None
        )  # fmt: skip

    def _finish(self, data: st.DataObject) -> None:
        """End some runs that a listener holds or believes to hold."""
        who, outcomes, wait = data.draw(WHO), data.draw(OUTCOMES), data.draw(st.sampled_from([0, 20]))
        is_stale = data.draw(st.sampled_from([False, False, False, True]))
        holders = [each for each in [*self.listeners, *self.dead] if each.granted]
        if not holders:
            return
        me = holders[who % len(holders)]
        ids = list(me.granted)
        running = [run.id for run in self._running() if run.id in me.granted]
        chosen = (ids if is_stale or not running else running)[-len(outcomes) :]
        now = self.database.now()
        run_results = [
            self._run_result(me.granted[each], outcome, now + timedelta(microseconds=n), now + timedelta(seconds=wait))
            for n, (each, outcome) in enumerate(zip(chosen, outcomes, strict=False))
        ]
        answer = self.database.finish(me.id, run_results, self.world.key_limit)
        window = (now, self.database.now())
        assert set(answer["taken"]) == set(self._decided(lambda: self.world.finish(me.id, run_results, window)))

    def _run_result(self, run: Run, outcome: str, now: datetime, later: datetime) -> RunResult:
        reported = RunResult(run.execution_id, "completed", now, run.fence, started_at=now)
        match outcome:
            case "retry" if run.attempt < run.retry.max_attempts:
                return replace(reported, status="failed", error="broken", retry_at=later)
            case "failed" | "retry":
                return replace(reported, status="failed", error="broken", reason="timeout")
            case "snooze":
                return replace(reported, status="queued", reason="snoozed", retry_at=later)
            case "back":
                return replace(reported, status="queued", started_at=None, retry_at=now, reason=None)
            case "cancelled":
                return replace(reported, status="cancelled", reason="cancelled")
        return reported

    def _crash(self, data: st.DataObject) -> None:
        """Let a listener go without a word; its leases run out."""
        who = max(range(2), key=lambda each: sum(self._holds(self.listeners[each], run) for run in self._running()))
        dead, self.listeners[who] = self.listeners[who], Listener()
        self.dead.append(dead)
        self.database.expire(dead.id)
        for run in self._running():
            run.is_lapsed |= run.listener == dead.id
        if data.draw(st.booleans()):
            self._rescue(data)

    def _rescue(self, _: st.DataObject) -> None:
        lower = self.database.now()
        answer = self.database.service("rescue_runs_v1", {"limit": 100, "key_concurrency": self.world.key_limit})
        assert answer["rescued"] == sum(run.is_lapsed for run in self._running())
        self._decided(lambda: self.world.rescue((lower, self.database.now())))

    def _extend(self, data: st.DataObject) -> None:
        """Extend what a listener believes to hold: the answer has what it lost."""
        holders = [*self.listeners, *self.dead]
        me = holders[data.draw(WHO) % len(holders)]
        answer = self.database.extend(me.id, [(run.execution_id, run.fence) for run in me.granted.values()])
        held = [run for run in self._running() if self._holds(me, run)]
        assert {execution_id for execution_id, _ in answer["lost"]} == set(me.granted) - {run.id for run in held}
        for run in held:
            run.is_lapsed = False

    # Time.

    def _let_pass(self, leap: float | str) -> None:
        """Let hours pass, or seconds (as a string) after the next instant at which something is due."""
        if isinstance(leap, str):
            self._pass_until_something_is_due(float(leap))
        else:
            self._pass(timedelta(hours=leap))

    def _pass_until_something_is_due(self, seconds: float) -> None:
        now = self.database.now()
        wakes = [wake for job in self.world.jobs.values() if (wake := job.wake()) and wake > now + timedelta(seconds=1)]
        if wakes:
            self._pass(max(min(wakes) - now + timedelta(seconds=seconds), timedelta(seconds=1)))

    def _pass(self, span: timedelta) -> None:
        self.database.shift(span)
        self.world.shift(span)
        self.elapsed += span
        for before in self.before.values():
            if before["due_at"] not in {None, NEVER}:
                before["due_at"] -= span

    # The invariants.

    @invariant()
    def the_database_agrees_with_the_model(self) -> None:
        jobs, ledger = self.database.read()
        now = self.database.now()
        assert set(jobs) == set(self.world.jobs)
        for job_id, row in jobs.items():
            job, runs = self.world.jobs[job_id], ledger[job_id]
            self._adopt(job, row, runs, now)
            _check_ledger(runs)
            for run in job.runs:
                theirs = runs[run.key]
                assert (run.status, run.reason) == (theirs["status"], theirs["reason"])
                if run.status == "queued":
                    assert (run.run_at, run.blocked_since) == (theirs["run_at"], theirs["blocked_since"])
                assert run.status != "running" or run.listener == str(theirs["listener_id"])
            self._check_job(job, row, runs)
        self.before, self.since = jobs, now
        self.touched_by_client.clear()

    def _adopt(self, job: Any, row: dict[str, Any], runs: dict[Any, Any], now: datetime) -> None:
        """Take over ids, and the instants that the database took from its clock."""
        assert {run.key for run in job.runs} == set(runs), (row, runs)
        if job.due is None and row["due_at"] is not None:  # of an interval, which the database computes at once
            (written,) = (self._virtual(each) for each in self.database.rows() if each.id == job.id)
            assert written.trigger.type == "interval"
            assert written.due_at == first_run(written.trigger, written.defined_at)
            job.due = row["due_at"]
        if job.due == JUST_NOW:
            assert self.since <= row["due_at"] <= now
            job.due = row["due_at"]
        for run in job.runs:
            theirs = runs[run.key]
            assert run.id in {None, str(theirs["id"])}
            run.id = str(theirs["id"])
            run.started_at = theirs["started_at"]
            if run.run_at == JUST_NOW:
                assert self.since <= theirs["run_at"] <= now
                run.run_at = theirs["run_at"]

    def _check_job(self, job: Any, row: dict[str, Any], runs: dict[Any, Any]) -> None:
        assert row["status"] == job.status
        assert row["queued_runs"] == len(job.waiting())
        assert row["next_run_at"] == job.wake()
        counted = [row[f"{which}_runs"] for which in ("total", "successful", "failed", "scheduled")]
        assert counted == [job.good + job.bad, job.good, job.bad, job.by_schedule]
        assert (row["claimed_by"] is not None) == any(run.status == "running" for run in job.runs)
        assert (row["status"] == "running") == (
            any(run.runs_by_schedule for run in job.runs) and row["status"] not in {"cancelled", "paused"}
        )
        if job.status in {"scheduled", "running", "paused"}:
            assert row["due_at"] == job.due
        before = self.before.get(job.id)
        if before is None:
            return
        assert _can_follow(before["status"], row["status"]), (before["status"], row["status"])
        left = before["due_at"]
        if left not in {None, NEVER, row["due_at"]} and job.id not in self.touched_by_client:
            assert any(instant == left for instant, cause, _ in runs if cause == "schedule"), "an instant got lost"

    @invariant()
    def a_quota_counts_what_has_not_ended(self) -> None:
        assert self.database.miscounted() == []

    @invariant()
    def a_key_is_never_overdrawn(self) -> None:
        running: dict[Any, int] = defaultdict(int)
        for job in self.world.jobs.values():
            if job.row["concurrency_key"]:
                running[job.tenant] += sum(run.status == "running" for run in job.runs)
        assert all(count <= self.world.key_limit for count in running.values())

    # The parts that the steps use.

    def _soon(self, seconds: float) -> datetime:
        """Give an instant that no other is equal to."""
        self.steps += 1
        return self.database.now() + timedelta(seconds=seconds, microseconds=self.steps)

    def _job(self, which: int) -> Any:
        jobs = sorted(self.world.jobs)
        return self.world.jobs[jobs[which % len(jobs)]]

    def _running(self) -> list[Any]:
        return [run for job in self.world.jobs.values() for run in job.runs if run.status == "running"]

    @staticmethod
    def _holds(listener: Listener, run: Any) -> bool:
        return run.listener == listener.id and run.id in listener.granted

    def _read(self) -> list[Job]:
        """Read all jobs as a listener does, with their instants as they were before time passed in leaps."""
        jobs = [self._virtual(job) for job in self.database.rows()]
        for job in jobs:
            self.seen[job.id].append(job)
        return jobs

    def _virtual(self, job: Job) -> Job:
        def moved(instant: datetime | None) -> datetime | None:
            return instant and instant + self.elapsed

        trigger = job.trigger and replace(
            job.trigger, run_date=moved(job.trigger.run_date), ends_at=moved(job.trigger.ends_at)
        )
        return replace(
            job,
            due_at=moved(job.due_at),
            next_run_at=moved(job.next_run_at),
            defined_at=moved(job.defined_at),
            trigger=trigger,
        )

    def _real(self, claim: ClaimRequest) -> ClaimRequest:
        def moved(instant: datetime | None) -> datetime | None:
            return instant and instant - self.elapsed

        claim = replace(claim, defined_at=None)  # the model keeps no definitions: a claim may be by an older one
        missed = None if claim.missed is None else tuple(moved(each) for each in claim.missed)
        return replace(claim, due=moved(claim.due), next_due=moved(claim.next_due), run=moved(claim.run), missed=missed)

    def _decided(self, judge: Any) -> Any:
        try:
            return judge()
        except UndecidedError:
            assume(condition=False)


def _check_ledger(runs: dict[tuple[datetime, str, int], dict[str, Any]]) -> None:
    """Each instant has attempts 1 to n; all but the last failed; at most the last is open."""
    attempts: dict[Any, dict[int, str]] = defaultdict(dict)
    for (instant, cause, attempt), row in runs.items():
        attempts[instant, cause][attempt] = row["status"]
        assert (row["status"] == "running") == (row["lease_expires_at"] is not None)
        assert (row["status"] in FINAL | {"skipped"}) == (row["completed_at"] is not None)
    for statuses in attempts.values():
        assert sorted(statuses) == list(range(1, len(statuses) + 1))
        assert all(statuses[attempt] == "failed" for attempt in range(1, len(statuses)))


def _can_follow(before: str, after: str) -> bool:
    """Whether one call may lead there: a step of the table, or two by way of running, which a resumed job may reach."""
    steps = {before} | {str(each) for each in TRANSITIONS[JobStatus(before)]}
    if before == JobStatus.PAUSED:
        steps.add(JobStatus.RUNNING)
    if JobStatus.RUNNING in steps:
        steps |= {str(each) for each in TRANSITIONS[JobStatus.RUNNING]}
    return after in steps


def test_whatever_happens_to_jobs_the_database_does_what_the_model_says(stack) -> None:
    """Clients, two listeners, crashes and leaps in time, in any order."""
    needs_superuser(stack)
    with LifeDatabase(stack) as database:
        run_state_machine_as_test(lambda: LifeOfAJob(database), settings=BUDGET)


def test_the_model_moves_jobs_only_where_the_state_machine_leads() -> None:
    """Steps of clients are part of the steps that anyone may take."""
    assert all(JobStatus(after) in TRANSITIONS[JobStatus(before)] for before, after in CLIENT_MOVES)
