"""A row that cannot be written, or that somebody holds, keeps no other row from it, in any function of the service."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from life_database import LifeDatabase
from psycopg import sql

from listener.domain.messages import ClaimRequest, RunResult
from listener.supabase.pages import page

ME = str(uuid.uuid4())
BOOM = """
create function public.boom() returns trigger language plpgsql as $$
begin
    if old.{column} = {key} then
        raise exception 'boom';
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    return new;
end
$$;
create trigger zzz_boom before {event} on public.{table} for each row execute function public.boom();
"""


@pytest.fixture
def life(stack):
    """Connections by role; the service does not wait for locks for ever, as on Supabase."""
    with LifeDatabase(stack) as database:
        database._clients["service"].execute("set statement_timeout = '8s'")
        yield database


@contextmanager
def poisoned(stack, event, table, column, key):
    """Let somebody's trigger refuse to change a row."""
    with psycopg.connect(stack.admin_dsn, autocommit=True) as owner:
        names = {"event": sql.SQL(event), "table": sql.Identifier(table), "column": sql.Identifier(column)}
        owner.execute(sql.SQL(BOOM).format(**names, key=sql.Literal(key)))
        try:
            yield
        finally:
            owner.execute("drop function public.boom cascade")


@contextmanager
def held(stack, table, key):
    """Hold a row in somebody's transaction."""
    with psycopg.connect(stack.admin_dsn) as holder:
        holder.execute(sql.SQL("select from {} where id = %s for update").format(sql.Identifier(table)), [key])
        yield
        holder.rollback()


def running(life, count=3, **row):
    """Insert jobs and claim them; their runs."""
    jobs = [life.insert("service", {"schedule": {}, "run_date": life.now(), **row}) for _ in range(count)]
    due = {job: row["due_at"] for job, row in life.read()[0].items()}
    runs = life.claim(ME, [ClaimRequest(job, due[job]) for job in jobs], 1.25, 1)
    return sorted(runs, key=lambda run: run.job_id)


def statuses(life):
    """Give the status of each job, in the order of their ids."""
    return [row["status"] for _, row in sorted(life.read()[0].items())]


def rescue(life):
    """Look for runs of the dead."""
    return life.service("rescue_runs_v1", {"limit": 100, "key_concurrency": 1})


def reasons(life):
    """Give the status and the reason of each run, in the order of the jobs' ids."""
    rows = life.read()[1]
    return [[(run["status"], run["reason"]) for run in rows[job].values()] for job in sorted(rows)]


def poll_again(life):
    """Let the time come at which parked runs are tried again, and rescue."""
    life._fate.execute("update job_scheduler.parked_runs set retry_at = now() - interval '1 second'")
    return rescue(life)


def test_a_run_that_cannot_be_rescued_keeps_no_other_from_it(life, stack) -> None:
    """The answer names it, and why, once; when the cause is gone its job ends as failed, and does not run again."""
    runs = running(life)
    life.expire(ME)
    with poisoned(stack, "update", "scheduled_jobs", "id", runs[1].job_id):
        answer = rescue(life)
        assert (answer["rescued"], [row["id"] for row in answer["rows"]]) == (2, [runs[0].job_id, runs[2].job_id])
        assert answer["failures"] == [{"execution_id": runs[1].execution_id, "error": "boom", "code": "P0001"}]
        assert reasons(life)[1] == [("failed", "unwritable")]
        for _ in range(2):
            again = poll_again(life)
            assert (again["rescued"], again["failures"]) == (0, [])
        assert statuses(life) == ["scheduled", "running", "scheduled"]
    poll_again(life)
    assert statuses(life) == ["scheduled", "failed", "scheduled"]
    assert reasons(life)[1] == [("failed", "unwritable")]


def test_a_run_whose_own_row_refuses_its_end_fails_its_job_with_the_reason(life, stack) -> None:
    """The ledger follows when the cause is gone; a recurring job does not run over and over meanwhile."""
    every = {"trigger_type": "interval", "schedule": {"seconds": 60}}
    job = life.insert("service", {**every, "run_date": life.now() + timedelta(seconds=1)})
    life.shift(timedelta(seconds=1))
    due = life.read()[0][job]["due_at"]
    (run,) = life.claim(ME, [ClaimRequest(job, due, next_due=due + timedelta(minutes=1))], 1.25, 1)
    reported = {"id": run.execution_id, "fence": run.fence, "error": "42703 no such column"}
    with poisoned(stack, "update", "job_executions", "id", run.execution_id):
        with pytest.raises(psycopg.errors.RaiseException):
            life.finish(ME, [RunResult(run.execution_id, "completed", life.now(), run.fence)], 1)
        life.service("park_runs_v1", {"listener": ME, "runs": [reported], "jobs": []})
        (row,) = life._fate.execute("select status, error, next_run_at, failed_runs from scheduled_jobs").fetchall()
        assert (row["status"], row["next_run_at"], row["failed_runs"]) == ("failed", None, 1)
        assert "42703 no such column" in row["error"]
        life.expire(ME)
        assert rescue(life)["failures"] == []
        assert reasons(life) == [[("running", None)]]
    poll_again(life)
    assert reasons(life) == [[("failed", "unwritable")]]
    assert life._fate.execute("select * from job_scheduler.parked_runs").fetchall() == []


def test_only_the_holder_of_a_run_parks_it(life) -> None:
    """Another listener, or an earlier claim, does nothing."""
    (run,) = running(life, 1)
    for listener, fence in ((str(uuid.uuid4()), run.fence), (ME, run.fence + 1)):
        reported = {"id": run.execution_id, "fence": fence, "error": "boom"}
        life.service("park_runs_v1", {"listener": listener, "runs": [reported], "jobs": []})
    assert (statuses(life), reasons(life)) == (["running"], [[("running", None)]])


def test_what_keeps_every_run_from_being_rescued_is_the_operators(life, stack) -> None:
    """No job is to blame when the runs of several meet the same fault; all are rescued once it is gone."""
    running(life, 2)
    life.expire(ME)
    every = BOOM.replace("old.{column} = {key}", "old.{column} <> {key}")
    names = {"event": sql.SQL("update"), "table": sql.Identifier("job_executions"), "column": sql.Identifier("id")}
    with psycopg.connect(stack.admin_dsn, autocommit=True) as owner:
        owner.execute(sql.SQL(every).format(**names, key=sql.Literal(ME)))
        try:
            with pytest.raises(psycopg.errors.RaiseException):
                rescue(life)
        finally:
            owner.execute("drop function public.boom cascade")
    assert (rescue(life)["rescued"], statuses(life)) == (2, ["scheduled"] * 2)


def test_a_job_that_cannot_be_claimed_says_why(life) -> None:
    """It stays scheduled, and is asked for again; the same reason is written once."""
    job = life.insert("service", {"schedule": {}, "run_date": life.now()})
    for _ in range(2):
        life.service(
            "park_runs_v1", {"listener": ME, "runs": [], "jobs": [{"id": job, "error": "42703 no such column"}]}
        )
    (row,) = life._fate.execute("select status, error from scheduled_jobs").fetchall()
    assert (row["status"], row["error"]) == ("scheduled", "42703 no such column")


@pytest.mark.parametrize("table", ["scheduled_jobs", "job_executions"])
def test_a_row_that_somebody_holds_keeps_no_other_from_being_rescued(life, stack, table) -> None:
    """It is left for the next look; nothing waits for it."""
    runs = running(life)
    life.expire(ME)
    with held(stack, table, runs[1].job_id if table == "scheduled_jobs" else runs[1].execution_id):
        assert rescue(life)["rescued"] == 2
    assert rescue(life)["rescued"] == 1


def test_a_row_that_somebody_holds_lets_the_end_of_a_run_fail_soon_and_by_name(life, stack) -> None:
    """With a code that asks for smaller batches, not after the time limit of all statements; others go through."""
    runs = running(life)
    run_results = [
        RunResult(run.execution_id, "completed", life.now(), run.fence, started_at=life.now()) for run in runs
    ]
    with held(stack, "scheduled_jobs", runs[1].job_id):
        began = life.now()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            life.finish(ME, run_results, 1)
        assert life.now() - began < timedelta(seconds=7)
        assert len(life.finish(ME, [run_results[0], run_results[2]], 1)["taken"]) == 2
    assert len(life.finish(ME, run_results, 1)["taken"]) == 3


def test_jobs_that_somebody_holds_keep_no_other_from_being_claimed_or_planned(life, stack) -> None:
    """They are refused for now."""
    once = [life.insert("service", {"schedule": {}, "run_date": life.now()}) for _ in range(3)]
    every = {"trigger_type": "daily", "schedule": {"time": "08:00"}, "run_date": life.now()}
    often = [life.insert("service", every) for _ in range(3)]
    due = {job: row["due_at"] for job, row in life.read()[0].items()}
    with held(stack, "scheduled_jobs", once[1]), held(stack, "scheduled_jobs", often[1]):
        runs = life.claim(ME, [ClaimRequest(job, due[job]) for job in once], 1.25, 1)
        plans = [{"id": job.id, "revision": job.revision, "due": life.now()} for job in life.rows() if job.unplanned]
        planned = life.service("plan_jobs_v1", {"plans": plans})["planned"]
    assert (len(runs), planned) == (2, 2)


@pytest.mark.parametrize("table", ["job_executions", "scheduled_jobs"])
def test_a_row_that_cannot_be_forgotten_keeps_no_other_from_it(life, stack, table) -> None:
    """Or the ledger would grow without end; a batch that deletes nothing ends the look."""
    runs = running(life)
    life.finish(ME, [RunResult(run.execution_id, "completed", life.now(), run.fence) for run in runs], 1)
    life._fate.execute("update job_executions set completed_at = now() - interval '9 days'")
    life._fate.execute(
        "update scheduled_jobs set (created_at, updated_at) = (now() - interval '9 days', now() - interval '9 days')"
    )
    key = runs[1].execution_id if table == "job_executions" else runs[1].job_id
    asked = {"retention_days": 7, "limit": 100}
    with poisoned(stack, "delete", table, "id", key):
        life.service("clean_ledger_v1", asked)
        assert life.service("clean_ledger_v1", asked)["deleted"] == 0
        assert list(life.read()[0]) == [runs[1].job_id]
    life.service("clean_ledger_v1", asked)
    assert life.read()[0] == {}


def polled(life, cursor):
    """Poll from a cursor."""
    return page(life.service("poll_jobs_v1", {"cursor": cursor, "until": "2100-01-01", "after": None, "limit": 100}))


def test_a_poll_reports_what_stopped_runs_since_its_cursor(life) -> None:
    """A cancellation that the row shows no more, and a deletion; and what was before the cursor it reports no more."""
    runs = running(life)
    cursor = polled(life, 0).cursor
    life.call("service", "cancel_job", runs[0].job_id)
    life.call("service", "retry_job", runs[0].job_id)
    life.delete("service", runs[1].job_id)
    page = polled(life, cursor)
    assert {(hint.table, hint.ids, hint.gone) for hint in page.hints} == {
        ("cancelled_runs", (runs[0].execution_id,), ()),
        ("scheduled_jobs", (), (runs[1].job_id,)),
    }
    assert polled(life, page.cursor).hints == ()


def test_a_poll_reports_a_run_that_was_replaced(life) -> None:
    """Its job shows only the new one."""
    row = {"trigger_type": "interval", "schedule": {"seconds": 3600}, "overlap": "replace"}
    job = life.insert("service", {**row, "run_date": life.now() + timedelta(seconds=1)})
    life.shift(timedelta(seconds=1))
    due = life.read()[0][job]["due_at"]
    later = due + timedelta(milliseconds=1)
    (old,) = life.claim(ME, [ClaimRequest(job, due, next_due=later)], 1.25, 1)
    cursor = polled(life, 0).cursor
    life.claim(ME, [ClaimRequest(job, later, next_due=due + timedelta(hours=1))], 1.25, 1)
    assert [(hint.table, hint.ids) for hint in polled(life, cursor).hints] == [("stopped_runs", (old.execution_id,))]
