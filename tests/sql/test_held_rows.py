"""A row that somebody's transaction keeps locked delays no other row, in any function that a listener calls."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from life_database import LifeDatabase

from listener.domain.messages import ClaimRequest, RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator

ME, GONE = str(uuid.uuid4()), str(uuid.uuid4())
RESCUE = {"limit": 100, "key_concurrency": 1}
OLD = timedelta(days=30)


@pytest.fixture
def life(stack):
    """Connections by role; a wait that does not end by itself fails."""
    with LifeDatabase(stack) as database:
        database._clients["service"].execute("set statement_timeout = '8s'")
        yield database


@pytest.fixture
def held(stack):
    """Let somebody lock what a query selects, within a block."""

    @contextmanager
    def hold(query: str, *values: Any) -> Iterator[None]:
        with psycopg.connect(stack.admin_dsn) as holder:
            assert holder.execute(query, values).rowcount
            yield
            holder.rollback()

    return hold


JOB = "select from public.scheduled_jobs where id = %s for update"
RUN = "select from public.job_executions where id = %s for update"


def fate(life, query: str, *values: Any) -> list[dict[str, Any]]:
    """Do what no trigger sees; the rows of a query."""
    done = life._fate.execute(query, values)
    return done.fetchall() if done.description else []


def running(life, count=3, **row):
    """Insert jobs and claim them; their runs, in the order of the jobs."""
    jobs = [life.insert("service", {"schedule": {}, "run_date": life.now(), **row}) for _ in range(count)]
    due = {job: row["due_at"] for job, row in life.read()[0].items()}
    runs = life.claim(ME, [ClaimRequest(job, due[job]) for job in jobs], 1.25, 1)
    return sorted(runs, key=lambda run: run.job_id)


def note(life, runs):
    """Send a progress and a line of each run; the runs that have to wait."""
    at = life.now().isoformat()
    notes = [{"id": run.execution_id, "fence": run.fence, "progress": 0.5} for run in runs]
    logs = [{"execution_id": run.execution_id, "at": at, "level": "info", "message": "m", "fields": {}} for run in runs]
    return life.service("note_runs_v1", {"listener": ME, "notes": notes, "logs": logs})["busy"]


def lines(life):
    """Count the lines of each run that has any."""
    rows = fate(life, "select execution_id::text as id, count(*) as n from job_execution_logs group by 1")
    return {row["id"]: row["n"] for row in rows}


@pytest.mark.parametrize("held_one", [0, 1, 2])
def test_notes_of_a_held_run_are_left_for_later(life, held, held_one) -> None:
    """The answer names it; nothing of it is stored twice."""
    runs = running(life)
    this, others = runs[held_one], [run for number, run in enumerate(runs) if number != held_one]
    with held(RUN, this.execution_id):
        assert note(life, runs) == [this.execution_id]
        assert lines(life) == {run.execution_id: 1 for run in others}
    assert note(life, [this]) == []
    assert lines(life) == {run.execution_id: 1 for run in runs}


def test_notes_of_a_run_whose_job_is_held_are_stored(life, held) -> None:
    """The job's row has a copy only."""
    runs = running(life)
    with held(JOB, runs[1].job_id):
        assert note(life, runs) == []
    assert lines(life) == {run.execution_id: 1 for run in runs}


def test_plans_of_other_jobs_are_written(life, held) -> None:
    """Also those that say that no instant is left, and one of them was written before."""
    week = {"trigger_type": "interval", "schedule": {"seconds": 604800}}
    jobs = [life.insert("service", week) for _ in range(3)]
    fate(life, "update scheduled_jobs set is_planned = true, due_at = null, next_run_at = null where id = %s", jobs[1])
    fate(life, "update scheduled_jobs set is_planned = false, due_at = null where id <> %s", jobs[1])
    plans = [{"id": row["id"], "revision": row["revision"], "due": None} for row in fate(life, "table scheduled_jobs")]
    with held(JOB, jobs[1]):
        assert life.service("plan_jobs_v1", {"plans": plans})["planned"] == 2
        assert [row["status"] for row in life.read()[0].values()].count("completed") == 2
    life.service("plan_jobs_v1", {"plans": plans})
    assert {row["status"] for row in life.read()[0].values()} == {"completed"}


@pytest.mark.parametrize("query", [JOB, RUN], ids=["its job", "its run"])
def test_a_parked_run_that_is_held_keeps_no_run_from_its_rescue(life, held, query) -> None:
    """It is ended when it is free."""
    parked, *lost = running(life)
    fate(
        life,
        "insert into job_scheduler.parked_runs (execution_id, error, retry_at) values (%s, '', now() - interval '1 s')",
        parked.execution_id,
    )
    life.expire(ME)
    with held(query, parked.job_id if query == JOB else parked.execution_id):
        answer = life.service("rescue_runs_v1", RESCUE)
        assert (answer["rescued"], answer["failures"]) == (2, [])
        assert life.read()[0][parked.job_id]["status"] == "running"
    life.service("rescue_runs_v1", RESCUE)
    assert life.read()[0][parked.job_id]["status"] == "failed"
    assert {life.read()[0][run.job_id]["status"] for run in lost} == {"scheduled"}


@pytest.mark.parametrize("query", [JOB, RUN], ids=["its job", "its run"])
def test_runs_beside_a_held_one_are_parked(life, held, query) -> None:
    """That one is left to the rescuer."""
    runs = running(life)
    refused = [{"id": run.execution_id, "fence": run.fence, "error": "boom"} for run in runs]
    with held(query, runs[1].job_id if query == JOB else runs[1].execution_id):
        life.service("park_runs_v1", {"listener": ME, "runs": refused, "jobs": []})
    statuses = [row["status"] for _, row in sorted(life.read()[0].items())]
    assert statuses == ["failed", "running", "failed"]


def test_jobs_beside_a_held_one_are_explained(life, held) -> None:
    """Each job that is held would cost the wait for its row."""
    jobs = [life.insert("service", {"schedule": {}, "run_date": life.now()}) for _ in range(6)]
    explained = [{"id": job, "error": "boom"} for job in jobs]
    with held("select from public.scheduled_jobs where id < %s for update", jobs[5]):
        life.service("park_runs_v1", {"listener": ME, "runs": [], "jobs": explained})
    errors = [row["error"] for row in fate(life, "select error from scheduled_jobs order by id")]
    assert errors == [None] * 5 + ["boom"]


@pytest.mark.parametrize("listener", [ME, GONE], ids=["its own", "that of one that is gone"])
def test_leases_are_extended_while_a_heartbeat_is_held(life, held, listener) -> None:
    """A locked row of a listener stops no runs."""
    (run,) = running(life, 1)
    life.extend(ME, [])
    fate(
        life,
        "insert into job_listeners (id, name, heartbeat_at) values (%s, 'gone', now() - interval '1000 days 1 year')",
        GONE,
    )
    fate(life, "update job_executions set lease_expires_at = now()")
    request = {"listener": ME, "name": "me", "lease_seconds": 60, "executions": [[run.execution_id, run.fence]]}
    with held("select from public.job_listeners where id = %s for update", listener):
        answer = life.service("extend_leases_v1", request)
    assert (answer["lost"], answer["unsure"], list(answer["listeners"])) == ([], [], [ME])
    assert fate(life, "select 1 from job_executions where lease_expires_at > now() + interval '30 s'")


def test_a_listener_is_announced_once(life) -> None:
    """With its first heartbeat."""

    def announced():
        return fate(life, "select 1 from job_scheduler.signals where message ->> 'table' = 'job_listeners'")

    before = len(announced())
    life.extend(ME, [])
    life.extend(ME, [])
    assert len(announced()) == before + 1


OLD_ROWS = {
    "a job": JOB,
    "a run": "select from public.job_executions where scheduled_job_id = %s for update",
    "a line": """
        select from public.job_execution_logs as l
        where l.execution_id = (select e.id from public.job_executions as e where e.scheduled_job_id = %s) for update
    """,
}


@pytest.mark.parametrize("query", OLD_ROWS.values(), ids=OLD_ROWS)
def test_old_rows_beside_held_ones_are_deleted(life, held, query) -> None:
    """Rows that go with a job may be locked, too."""
    runs = running(life)
    note(life, runs)
    fate(
        life,
        "update scheduled_jobs set status = 'completed', created_at = now() - %s, updated_at = now() - %s",
        OLD,
        OLD,
    )
    fate(life, "update job_executions set status = 'completed', completed_at = now()")
    with held(query, runs[1].job_id):
        assert life.service("clean_ledger_v1", {"retention_days": 7, "limit": 100})["deleted"] == 2
        assert list(life.read()[0]) == [runs[1].job_id]
    assert life.service("clean_ledger_v1", {"retention_days": 7, "limit": 100})["deleted"] == 1
    assert life.read()[0] == {}


def test_a_key_is_given_to_the_next_run_whose_rows_are_free(life, held) -> None:
    """The one before it gets it later."""
    first, *waiting = [
        life.insert("service", {"schedule": {}, "run_date": life.now(), "concurrency_key": "k"}) for _ in range(3)
    ]
    due = {job: row["due_at"] for job, row in life.read()[0].items()}
    (run,) = life.claim(ME, [ClaimRequest(job, due[job]) for job in (first, *waiting)], 1.25, 1)
    blocked = fate(
        life, "select id::text, scheduled_job_id as job from job_executions where status = 'queued' order by id"
    )
    assert len(blocked) == 2
    order = "select e.id from job_executions as e where e.run_at is null order by e.blocked_since, e.id limit 1"
    next_in_turn = fate(life, order)[0]["id"]
    life.expire(ME)
    with held(RUN, next_in_turn):
        life.service("rescue_runs_v1", {"limit": 100, "key_concurrency": 1})
    assert run.job_id == first
    given = fate(life, "select id from job_executions where status = 'queued' and run_at is not null and attempt = 1")
    assert next_in_turn not in {row["id"] for row in given}


WAIT_FOR_DELETION = """
    create function wait_for_deletion() returns trigger language plpgsql as $$
    begin
        while not exists (select from pg_stat_activity where pg_backend_pid() = any(pg_blocking_pids(pid))) loop
            perform pg_sleep(0.01), pg_stat_clear_snapshot();
        end loop;
        return null;
    end
    $$;
    create trigger wait_for_deletion after update on job_executions
    for each statement execute function wait_for_deletion();
"""


def test_who_deletes_a_job_does_not_fail_by_the_end_of_its_run(life, stack) -> None:
    """A deletion locks the job and then its run, an end the run and then its job: it is the end that gives way."""
    ending = "select pid from pg_stat_activity where wait_event = 'PgSleep' and strpos(query, 'finish_runs_v1') > 0"
    (run,) = running(life, 1)
    result = RunResult(run.execution_id, "completed", life.now(), run.fence, life.now())
    fate(life, WAIT_FOR_DELETION)
    try:
        with ThreadPoolExecutor(1) as thread:
            end = thread.submit(life.finish, ME, [result], 1)
            while not fate(life, ending):
                assert not end.done()
            with psycopg.connect(stack.admin_dsn) as client:
                client.execute("delete from scheduled_jobs where id = %s", [run.job_id])
            with pytest.raises(psycopg.errors.LockNotAvailable):
                end.result()
    finally:
        fate(life, "drop function wait_for_deletion cascade")
    assert life.finish(ME, [result], 1)["taken"] == []


def test_the_jobs_of_sources_do_not_wait_for_an_open_migration(life, held) -> None:
    """The call gives up soon, and is repeated."""
    lock = "select pg_advisory_xact_lock(hashtextextended('job_scheduler.sync_sources', 0))"
    with held(lock), pytest.raises(psycopg.errors.LockNotAvailable):
        life.service("sync_sources_v1", {"changed": True, "after": None})


def test_the_catalogue_does_not_wait_for_a_held_row(life, held) -> None:
    """The call gives up soon, and is repeated."""
    fate(life, "insert into job_handlers (name, description, payload_schema) values ('held', '', '{}')")
    try:
        with (
            held("select from public.job_handlers where name = 'held' for update"),
            pytest.raises(psycopg.errors.LockNotAvailable),
        ):
            life.service("publish_handlers_v1", {"listener": ME, "handlers": [{"name": "held"}]})
    finally:
        fate(life, "delete from job_handlers where name = 'held'")
