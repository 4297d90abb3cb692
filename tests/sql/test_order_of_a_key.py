"""Runs take turns where more want a concurrency key than it allows at a time."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from answered_rows import runs_of
from psycopg import sql

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

SECOND = timedelta(seconds=1)


@dataclass
class Listener:
    """The requests of a listener, one at a time; `started` has the jobs whose runs it was granted."""

    database: psycopg.Connection[dict[str, Any]]
    key_limit: int = 1
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    running: list[dict[str, Any]] = field(default_factory=list)
    started: list[int] = field(default_factory=list)

    def call(self, function: str, **request: Any) -> Any:
        wanted = json.dumps({"listener": self.id, "key_concurrency": self.key_limit, **request}, default=str)
        return self.database.execute(f"select public.{function}(%s) as answer", [wanted]).fetchone()["answer"]

    def claim(self, *jobs: int, **claim: Any) -> int:
        """Claim what these jobs have to run; how much was granted."""
        claims = [{"id": job, "due": None, **claim} for job in jobs]
        runs = runs_of(self.call("claim_runs_v1", lease_seconds=30, ahead_seconds=1, claims=claims))
        self.running += runs
        self.started += [run["id"] for run in runs]
        return len(runs)

    def end_one(self, **run_result: Any) -> list[int]:
        """End the run that was granted first; the jobs that come back, last the one that was given the key."""
        run = self.running.pop(0)
        reported = {
            "id": run["execution_id"],
            "fence": run["fence"],
            "status": "completed",
            "completed_at": run["run_at"],
        }
        return [row["id"] for row in self.call("finish_runs_v1", results=[reported | run_result], logs=[])["rows"]]

    def insert(self, **row: Any) -> int:
        """A job with the key, due at once if it is a one-time job; its id."""
        row = {"handler": "noop", "concurrency_key": "printer", **row}
        query = sql.SQL("insert into public.scheduled_jobs ({}) values ({}) returning id").format(
            sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(map(sql.Placeholder, row))
        )
        return self.database.execute(query, row).fetchone()["id"]

    def come(self, **row: Any) -> int:
        """A one-time job that is due, and asks at once; its id."""
        job = self.insert(**row)
        due = self.row(job)["due_at"]
        self.claim(job, due=due)
        return job

    def now(self) -> datetime:
        return self.database.execute("select clock_timestamp() as now").fetchone()["now"]

    def row(self, job: int) -> dict[str, Any]:
        return self.database.execute("select * from public.scheduled_jobs where id = %s", [job]).fetchone()

    def waiting(self) -> list[int]:
        """Jobs that wait for the key: a run of theirs for each mention."""
        query = "select scheduled_job_id as id from public.job_executions where status = 'queued' order by id"
        return sorted(row["id"] for row in self.database.execute(query).fetchall())

    def pass_seconds(self, seconds: float) -> None:
        """Let what was given its key have been given it so much earlier."""
        self.database.execute(
            "update public.job_executions set run_at = run_at - make_interval(secs => %s) where status = 'queued'",
            [seconds],
        )


@pytest.fixture
def listener(database: psycopg.Connection[dict[str, Any]]) -> Listener:
    """A listener that lets one run of a key go on at a time."""
    return Listener(database)


@pytest.fixture
def holder(listener: Listener) -> int:
    """A job that has the key."""
    job = listener.come()
    assert listener.started == [job]
    return job


class Crowd:
    """Recurring jobs that share a key, each due every second, whether or not their runs have ended."""

    def __init__(self, listener: Listener, jobs: int, began: datetime) -> None:
        self.listener, self.jobs = listener, []
        for n in range(jobs):
            due = began + n * SECOND / 10
            self.jobs.append(listener.insert(trigger_type="interval", schedule='{"seconds": 1}', run_date=due))
            with listener.database.transaction():  # due in the past, as if it had been defined then
                listener.database.execute("select set_config('job_scheduler.stage', 'service', true)")
                listener.database.execute(
                    "update public.scheduled_jobs set due_at = run_date, next_run_at = run_date where id = %s",
                    [self.jobs[-1]],
                )

    def come(self) -> None:
        """Ask for the next instant of each."""
        for job in self.jobs:
            due = self.listener.row(job)["due_at"]
            self.listener.claim(job, due=due, next=due + SECOND)


@pytest.mark.parametrize("key_limit", [1, 2])
def test_a_job_waits_for_its_key_behind_those_that_wait_already_and_for_nobody_else(
    listener: Listener, key_limit: int
) -> None:
    """Three jobs come due more often than the key serves; after each end those that come anew ask first."""
    listener.key_limit = key_limit
    began = listener.now() - 40 * SECOND
    crowd = Crowd(listener, 3, began)
    for _ in range(4):
        crowd.come()
    before, started = len(listener.waiting()), len(listener.started)
    late = listener.come(run_date=began + 3.5 * SECOND)
    for _ in range(before + 1):
        given = listener.end_one()
        crowd.come()
        listener.claim(*reversed(given))
        assert len(listener.running) == key_limit
    assert listener.started[started:].index(late) == before


def test_whoever_is_given_a_key_keeps_it_from_those_who_come_later(listener: Listener, holder: int) -> None:
    """Also from those of a higher priority: they wait, and are first at the next end."""
    waits = listener.come()
    assert listener.end_one()[-1:] == [waits]
    comes, urgent = listener.come(), listener.come(priority=5)
    assert listener.claim(comes, urgent) == 0
    assert listener.claim(waits) == 1
    assert listener.end_one()[-1:] == [urgent]
    listener.claim(urgent)
    assert listener.started == [holder, waits, urgent]


def test_no_key_is_given_to_more_than_it_has_slots_for(listener: Listener, holder: int) -> None:
    """A run that was given the key and is not claimed yet counts, also for the rescue of lost runs."""
    first, second = listener.come(), listener.come()
    assert listener.end_one()[-1:] == [first]
    assert [row["id"] for row in listener.call("rescue_runs_v1", limit=100)["rows"]] == []
    listener.claim(second, first)
    assert listener.started == [holder, first]


def test_of_two_that_were_given_a_key_that_has_a_slot_for_one_the_first_one_gets_it(
    listener: Listener, holder: int
) -> None:
    """The limit was lowered meanwhile: neither keeps the key from both, whichever asks first."""
    listener.key_limit = 2
    other = listener.come()
    first, second = listener.come(), listener.come()
    listener.end_one()
    listener.end_one()
    listener.key_limit = 1
    assert listener.claim(second) == 0
    assert listener.claim(first) == 1
    assert listener.end_one()[-1:] == [second]
    assert listener.claim(second) == 1
    assert listener.started == [holder, other, first, second]


@pytest.mark.parametrize("gone", ["busy", "paused", "cancelled"])
def test_nobody_keeps_a_key_that_they_do_not_claim(listener: Listener, holder: int, gone: str) -> None:
    """The listener that could claim the run may be busy for long, and a run of a paused job cannot be claimed."""
    waits = listener.come()
    assert listener.end_one()[-1:] == [waits]
    if gone == "busy":
        listener.pass_seconds(11)
    else:
        listener.database.execute("update public.scheduled_jobs set status = %s where id = %s", [gone, waits])
    comes = listener.come()
    assert listener.started == [holder, comes]


def test_a_run_that_did_not_claim_its_key_in_time_still_goes_before_those_who_come_later(
    listener: Listener, holder: int
) -> None:
    """It is given the key again as soon as it has asked for it."""
    waits = listener.come()
    listener.end_one()
    listener.pass_seconds(11)
    comes, last = listener.come(), listener.come()
    assert listener.claim(waits) == 0
    assert listener.end_one()[-1:] == [waits]
    assert listener.claim(last, waits) == 1
    assert listener.started == [holder, comes, waits]


def test_a_job_claims_the_run_that_was_given_the_key_before_its_others(listener: Listener, holder: int) -> None:
    """A retry of it that has been due for longer did not wait for the key."""
    waits = listener.come()
    listener.end_one()
    run = listener.database.execute("select public.run_job_now(%s) as id", [waits]).fetchone()["id"]
    listener.database.execute(
        "update public.job_executions set run_at = run_at - interval '1 minute' where id = %s", [run]
    )
    assert listener.claim(waits) == 1
    assert (listener.started, listener.running[-1]["cause"]) == ([holder, waits], "schedule")


def test_what_comes_back_again_and_again_waits_behind_those_who_came_before_it_did(
    listener: Listener, holder: int
) -> None:
    """Two runs that are put off each time have the earliest due instants, and yet no earlier places."""
    snoozes, waits = listener.come(), listener.come()
    for _ in range(2):
        at = listener.now()
        given = listener.end_one(status="queued", retry_at=at, reason="snoozed")
        listener.claim(*{holder, snoozes, *given})
    assert listener.started == [holder, snoozes, waits]


def test_the_key_of_a_job_that_was_deleted_is_given_on_though_many_wait_for_another_key(
    listener: Listener, holder: int
) -> None:
    """A look for lost runs goes through all keys, not through the runs that have waited longest."""
    held = listener.come(concurrency_key="scanner")
    listener.database.execute(
        "insert into public.job_executions (scheduled_job_id, scheduled_for, cause, status, run_at, blocked_since) "
        "select %s, now() - make_interval(secs => n), 'schedule', 'queued', null, now() "
        "from generate_series(1, 100) as n",
        [listener.insert(trigger_type="interval", schedule='{"seconds": 60}')],
    )
    waits = listener.come(concurrency_key="scanner")
    listener.database.execute("delete from public.scheduled_jobs where id = %s", [held])
    assert [row["id"] for row in listener.call("rescue_runs_v1", limit=100)["rows"]] == [waits]
