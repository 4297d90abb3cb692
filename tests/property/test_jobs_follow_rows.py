"""Jobs of a source, against a model: whatever happens to the rows, jobs at rest say what the rows say.

`SOURCE_EXAMPLES=3000 pytest tests/property/test_jobs_follow_rows.py` looks longer.
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from listener.local.stack import Stack

BUDGET = settings(
    max_examples=int(os.environ.get("SOURCE_EXAMPLES", "60")),
    stateful_step_count=30,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
PREPARE = """
create table public.shifts (
    site text, id bigint, ends_at timestamptz, state text, user_id uuid, note integer, primary key (site, id)
);
select job_scheduler.add_source(
    name => 'shift', source => 'public.shifts', due_at => 'ends_at', handler => 'noop', condition => 'state = ''on''',
    metadata => 'jsonb_build_object(''note'', 100 / note)', owner => 'user_id'
);
"""
DROP = "select job_scheduler.remove_source('shift'); drop table public.shifts"
RESET = """
truncate public.scheduled_jobs cascade; delete from public.shifts; truncate job_scheduler.changed_rows;
delete from job_scheduler.source_errors; update job_scheduler.sources set is_checked = true, checked_until = null
"""
OWNERS = [uuid.UUID(int=0xA11CE), uuid.UUID(int=0xB0B), None]
DUE = [None, *(datetime(2090, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(3))]
KEYS = st.integers(1, 5)
SITES = ["x", "x:1", "%3A"]  # what separates the columns of a key in its text stands in some of them
VALUES = {
    "ends_at": st.sampled_from(DUE),
    "state": st.sampled_from(["on", "on", "off", None]),
    "user_id": st.sampled_from(OWNERS),
    "note": st.sampled_from([1, 2, 0]),  # a division by zero fails to make the job
}
ROWS = st.fixed_dictionaries(VALUES)
CHANGES = st.fixed_dictionaries({}, optional=VALUES)
MOVES = {"cancel": "cancelled", "pause": "paused", "resume": "scheduled"}


class JobsFollowRows(RuleBasedStateMachine):
    """Rows as a project writes them, jobs as users and listeners do, and the synchronisation between."""

    def __init__(self, database: psycopg.Connection[dict[str, Any]], late: psycopg.Connection[dict[str, Any]]) -> None:
        super().__init__()
        self.database, self.late = database, late
        database.execute(RESET)
        self.rows: dict[int, dict[str, Any]] = {}
        self.uncommitted: dict[int, dict[str, Any]] = {}
        self.ran: dict[tuple[int, uuid.UUID | None], datetime] = {}

    @rule(key=KEYS, row=ROWS)
    def write(self, key: int, row: dict[str, Any]) -> None:
        """Insert a row, or replace the one that is there."""
        self._put(self.database, key, row)
        self.rows[key] = row

    @rule(key=KEYS, change=CHANGES)
    def update(self, key: int, change: dict[str, Any]) -> None:
        """Change some columns."""
        if key in self.rows and change:
            names = ", ".join(f"{name} = %s" for name in change)
            self.database.execute(f"update public.shifts set {names} where id = %s", [*change.values(), key])  # noqa: S608
            self.rows[key] = {**self.rows[key], **change}

    @precondition(lambda self: self.uncommitted.keys().isdisjoint(self.rows))  # else it waits for the long transaction
    @rule(change=CHANGES)
    def update_all(self, change: dict[str, Any]) -> None:
        """Change them all in one statement."""
        for key in [*self.rows] if change else []:
            self.rows[key] = {**self.rows[key], **change}
        if change:
            names = ", ".join(f"{name} = %s" for name in change)
            self.database.execute(f"update public.shifts set {names}", [*change.values()])  # noqa: S608 - ours

    @rule(key=KEYS, other=KEYS)
    def rename(self, key: int, other: int) -> None:
        """Give a row another key."""
        if key in self.rows and other not in self.rows:
            self.database.execute(
                "update public.shifts set site = %s, id = %s where id = %s", [_site(other), other, key]
            )
            self.rows[other] = self.rows.pop(key)

    @rule(key=KEYS)
    def delete(self, key: int) -> None:
        """Delete a row."""
        self.database.execute("delete from public.shifts where id = %s", [key])
        self.rows.pop(key, None)

    @precondition(lambda self: not self.uncommitted)
    @rule()
    def truncate(self) -> None:
        """Delete all rows without naming them."""
        self.database.execute("truncate public.shifts")
        self.rows.clear()

    @rule(key=KEYS)
    def write_and_roll_back(self, key: int) -> None:
        """A transaction that is rolled back has no consequence."""
        with self.database.transaction(force_rollback=True):
            self.database.execute("delete from public.shifts where id = %s", [key])

    @precondition(lambda self: not self.uncommitted)
    @rule(row=ROWS)
    def write_in_a_long_transaction(self, row: dict[str, Any]) -> None:
        """It commits after others that began later."""
        self._put(self.late, 9, row)
        self.uncommitted[9] = row

    @precondition(lambda self: self.uncommitted)
    @rule()
    def commit(self) -> None:
        """The long transaction ends."""
        self.late.commit()
        self.rows.update(self.uncommitted)
        self.uncommitted.clear()

    @rule(limit=st.sampled_from([1, 2, 50]))
    def synchronise(self, limit: int) -> None:
        """A poll of a listener."""
        self._sync(changed=True, limit=limit)

    @rule(limit=st.sampled_from([1, 50]))
    def start(self, limit: int) -> None:
        """A page of the check at a listener's start."""
        self._sync(limit=limit)

    @rule(key=KEYS, move=st.sampled_from(sorted(MOVES)))
    def move(self, key: int, move: str) -> None:
        """A user cancels, pauses or resumes the job."""
        before = {"resume": ("paused",), "pause": ("scheduled",)}.get(move, ("scheduled", "paused", "running"))
        self.database.execute(
            "update public.scheduled_jobs set status = %s where job_id = %s and status = any(%s)",
            [MOVES[move], _job_id(key), [*before]],
        )

    @rule(key=KEYS)
    def begin_run(self, key: int) -> None:
        """A listener claims the job."""
        self._as_service(
            "update public.scheduled_jobs set status = 'running', due_at = null"
            " where job_id = %s and status = 'scheduled'",
            key,
        )

    @rule(key=KEYS, end=st.sampled_from(["completed", "failed", "scheduled"]))
    def end_run(self, key: int, end: str) -> None:
        """It ends, or is to be tried again; where the job moved meanwhile, it is scheduled."""
        ended = self._as_service(
            "update public.scheduled_jobs set status = case when due_at is null then %s else 'scheduled' end"
            " where job_id = %s and status = 'running' returning created_by, status, run_date",
            end,
            key,
        )
        for job in ended:
            if job["status"] != "scheduled":
                self.ran[key, job["created_by"]] = job["run_date"]

    def teardown(self) -> None:
        """Let all come to rest, and compare."""
        if self.uncommitted:
            self.commit()
        for key in [*range(1, 6), 9]:
            self.end_run(key, "completed")
        self._rest(changed=True)
        self._rest()
        self._check()

    def _rest(self, **request: object) -> None:
        answer: dict[str, Any] = {"after": None, "more": True}
        for _ in range(50):
            if not answer["more"] and answer["after"] is None:
                return
            answer = self._sync(limit=3, after=answer["after"], **request)
        raise AssertionError(answer)

    def _check(self) -> None:
        jobs = self.database.execute(
            "select job_id, status, run_date, created_by, metadata from public.scheduled_jobs where source = 'shift'"
        ).fetchall()
        by_row = {(_key(job["job_id"].removeprefix("shift:")), job["created_by"]): job for job in jobs}
        assert len(by_row) == len(jobs), "one job for each row of each owner"
        failing = {key for key, row in self.rows.items() if _is_wanted(row) and not row["note"]}
        errors = self.database.execute("select key from job_scheduler.source_errors").fetchall()
        assert {_key(error["key"]) for error in errors} == failing
        wanted = {(key, row["user_id"]) for key, row in self.rows.items() if _is_wanted(row)} - {
            (key, self.rows[key]["user_id"]) for key in failing
        }
        for place, job in by_row.items():
            if place not in wanted:
                assert job["status"] in {"cancelled", "completed", "failed"}, (place, job)
                continue
            row = self.rows[place[0]]
            assert job["run_date"] == row["ends_at"], (place, job)
            if job["status"] in {"completed", "failed"}:
                assert self.ran[place] == row["ends_at"], (place, job)
            else:
                assert job["status"] in {"scheduled", "paused"}, (place, job)
                assert job["metadata"] == {"note": 100 // row["note"]}, (place, job)
        assert wanted <= by_row.keys()

    def _put(self, connection: psycopg.Connection[dict[str, Any]], key: int, row: dict[str, Any]) -> None:
        connection.execute(
            "insert into public.shifts (site, id, ends_at, state, user_id, note) values (%s, %s, %s, %s, %s, %s)"
            " on conflict (site, id) do update set (ends_at, state, user_id, note)"
            " = (excluded.ends_at, excluded.state, excluded.user_id, excluded.note)",
            [_site(key), key, row["ends_at"], row["state"], row["user_id"], row["note"]],
        )

    def _sync(self, **request: object) -> dict[str, Any]:
        query = "select public.sync_sources_v1(%s) as answer"
        row = self.database.execute(query, [json.dumps({"only": "shift", **request})]).fetchone()
        assert row is not None
        return row["answer"]

    def _as_service(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        with self.database.transaction():
            self.database.execute("set local job_scheduler.stage = 'service'")
            *rest, key = arguments
            done = self.database.execute(statement, [*rest, _job_id(key)])
            return done.fetchall() if done.description else []


def _site(key: int) -> str:
    return SITES[key % len(SITES)]


def _job_id(key: int) -> str:
    return f"shift:{quote(_site(key), safe='')}:{key}"


def _key(text: str) -> int:
    site, key = map(unquote, text.split(":"))
    assert site == _site(int(key))
    return int(key)


def _is_wanted(row: dict[str, Any]) -> bool:
    return row["state"] == "on" and row["ends_at"] is not None


def test_whatever_happens_to_the_rows_jobs_at_rest_say_what_they_say(stack: Stack) -> None:
    """Rows are written, renamed, deleted, truncated; jobs run, fail, are cancelled, paused; polls come between."""
    with (
        psycopg.connect(stack.database_url, autocommit=True, row_factory=dict_row) as database,
        psycopg.connect(stack.database_url, row_factory=dict_row) as late,
    ):
        database.execute(PREPARE)
        try:
            run_state_machine_as_test(lambda: JobsFollowRows(database, late), settings=BUDGET)
        finally:
            late.rollback()
            database.execute(DROP)
