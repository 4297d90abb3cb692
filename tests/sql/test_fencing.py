"""A claim that was given up, taken over or renewed writes nothing; what was answered and lost is answered again."""

from __future__ import annotations

import json
import threading
import uuid
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from answered_rows import runs_of
from life_database import LifeDatabase
from patience import until
from psycopg import sql

from listener.domain.messages import ClaimRequest, RunResult
from listener.supabase import rows

ME, ANOTHER = str(uuid.uuid4()), str(uuid.uuid4())
AHEAD_SECONDS = 1.25
FOREVER = {"lease_seconds": 3600, "ahead_seconds": AHEAD_SECONDS, "key_concurrency": 1}


@pytest.fixture
def life(stack):
    """Connections by role."""
    with LifeDatabase(stack) as database:
        yield database


def insert(life, **row):
    """Insert a one-time job that is due."""
    is_recurring = row.get("trigger_type") == "interval"  # its first instant is not before its insert
    run_date = life.now() + timedelta(seconds=0.5 if is_recurring else 0)
    return life.insert("service", {"schedule": {}, "run_date": run_date, **row})


def claim(life, job, due=None, listener=ME):
    """Claim a job that is due, or its queued run; the one run that is granted."""
    due = due if due is not None else life.read()[0][job]["due_at"]
    (run,) = life.claim(listener, [ClaimRequest(job, due)], AHEAD_SECONDS, 1)
    return run


def claim_waiting(life, job, listener=ME):
    """Claim the run of a job that waits in the ledger."""
    (run,) = life.claim(listener, [ClaimRequest(job, None)], AHEAD_SECONDS, 1)
    return run


def run_result(life, run, status="completed", **fields):
    """Make the end of a run."""
    now = life.now()
    return RunResult(run.execution_id, status, now, run.fence, started_at=now, **fields)


def claim_again(life, job, due, listener=ME):
    """Repeat a claim whose answer was lost; the runs that it answers."""
    claims_sent = [{"id": job, "due": due and due.isoformat(), "again": True}]
    answer = life.service("claim_runs_v1", {"listener": listener, "claims": claims_sent, **FOREVER})
    return [rows.run(row) for row in runs_of(answer)]


def everything(life, run):
    """Give all that a write to the run could have changed."""
    query = """
        select to_jsonb(e) - 'lease_expires_at' as run, to_jsonb(j) as job,
            (select count(*) from job_execution_logs as l where l.execution_id = e.id) as lines
        from job_executions as e inner join scheduled_jobs as j on e.scheduled_job_id = j.id where e.id = %s
    """
    return life._fate.execute(query, [run.execution_id]).fetchone()


def line(life, run, message="hello"):
    """Make a line that a handler logged."""
    at = life.now().isoformat()
    return {"execution_id": run.execution_id, "at": at, "level": "info", "message": message, "fields": {}}


def handed_back_and_claimed_anew(life, run, job):
    """The same listener has it again: only the fence differs."""
    assert life.finish(ME, [run_result(life, run, "queued", retry_at=life.now())], 1)["taken"] == [run.execution_id]
    assert claim_waiting(life, job).execution_id == run.execution_id


def handed_back_and_claimed_by_another(life, run, job):
    """Another listener has it."""
    life.finish(ME, [run_result(life, run, "queued", retry_at=life.now())], 1)
    assert claim_waiting(life, job, ANOTHER).execution_id == run.execution_id


def rescued(life, run, job):
    """Its lease ran out; the next attempt waits."""
    life.expire(ME)
    assert life.service("rescue_runs_v1", {"limit": 10, "key_concurrency": 1})["rescued"] == 1


LOSSES = [handed_back_and_claimed_anew, handed_back_and_claimed_by_another, rescued]


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize(
    "reported",
    [
        {"status": "completed", "result": {"from": "a stale claim"}},
        {"status": "failed", "error": "stale"},
        {"status": "failed", "error": "stale", "retry": True},
        {"status": "cancelled", "reason": "stale"},
        {"status": "queued", "reason": "stale", "retry": True},
    ],
)
def test_a_stale_claim_cannot_end_a_run(life, lose, reported) -> None:
    """The run may be held by anybody now, but for this very claim; nothing at all changes, and no line is kept."""
    job = insert(life)
    stale = claim(life, job)
    lose(life, stale, job)
    before = everything(life, stale)
    again = {"retry_at": life.now()} if reported.get("retry") else {}
    fields = {name: value for name, value in reported.items() if name not in {"retry", "status"}}
    result = run_result(life, stale, reported["status"], **fields, **again)
    request = {"id": stale.execution_id, "fence": stale.fence, "status": result.status}
    request |= {"completed_at": result.completed_at.isoformat(), "error": result.error, "result": result.result}
    request |= {"retry_at": again["retry_at"].isoformat()} if again else {}
    answer = life.service("finish_runs_v1", {"listener": ME, "results": [request], "logs": [line(life, stale)]})
    assert (answer["taken"], answer["rows"]) == ([], [])
    assert everything(life, stale) == before


@pytest.mark.parametrize("lose", LOSSES)
def test_a_stale_claim_cannot_report_on_a_run(life, lose) -> None:
    """Neither its progress nor lines."""
    job = insert(life)
    stale = claim(life, job)
    lose(life, stale, job)
    before = everything(life, stale)
    notes = [{"id": stale.execution_id, "fence": stale.fence, "progress": 0.7}]
    life.service("note_runs_v1", {"listener": ME, "notes": notes, "logs": [line(life, stale)]})
    assert everything(life, stale) == before


@pytest.mark.parametrize("lose", LOSSES)
def test_a_stale_claim_cannot_be_extended(life, lose) -> None:
    """It is answered as lost, and the lease of whoever has it now stays as it is."""
    job = insert(life)
    stale = claim(life, job)
    lose(life, stale, job)
    query = "select lease_expires_at from job_executions where id = %s"
    before = life._fate.execute(query, [stale.execution_id]).fetchone()
    answer = life.extend(ME, [(stale.execution_id, stale.fence)])
    assert (answer["lost"], answer["unsure"]) == ([[stale.execution_id, stale.fence]], [])
    assert life._fate.execute(query, [stale.execution_id]).fetchone() == before


def test_a_claim_that_holds_may_do_all_of_it(life) -> None:
    """Or the tests above would pass on functions that do nothing."""
    job = insert(life)
    first = claim(life, job)
    life.finish(ME, [run_result(life, first, "queued", retry_at=life.now())], 1)
    run = claim_waiting(life, job)
    assert run.fence > first.fence
    notes = [{"id": run.execution_id, "fence": run.fence, "progress": 0.7}]
    life.service("note_runs_v1", {"listener": ME, "notes": notes, "logs": [line(life, run)]})
    noted = everything(life, run)
    assert (noted["run"]["progress"], noted["lines"]) == (0.7, 1)
    assert life.extend(ME, [(run.execution_id, run.fence)])["lost"] == []
    result = {"id": run.execution_id, "fence": run.fence, "status": "completed", "completed_at": life.now().isoformat()}
    request = {"listener": ME, "results": [result], "logs": [line(life, run, "bye")]}
    assert life.service("finish_runs_v1", request)["taken"] == [run.execution_id]
    ended = everything(life, run)
    assert (ended["run"]["status"], ended["job"]["status"], ended["lines"]) == ("completed", "completed", 2)


@pytest.mark.parametrize(
    ("status", "waits"), [("completed", False), ("failed", False), ("failed", True), ("queued", True)]
)
def test_an_end_whose_answer_was_lost_is_answered_again(life, status, waits) -> None:
    """With the job to arm, if a run waits; and it is counted, and its lines are kept, once."""
    job = insert(life)
    run = claim(life, job)
    reported = run_result(life, run, status, **({"retry_at": life.now() + timedelta(seconds=9)} if waits else {}))
    request = {"listener": ME, "results": [_result(reported)], "logs": [line(life, run), line(life, run, "bye")]}
    first = life.service("finish_runs_v1", request)
    before = everything(life, run)
    again = life.service("finish_runs_v1", request)
    assert again["taken"] == first["taken"] == [run.execution_id]
    assert [(row["id"], row["next_run_at"]) for row in again["rows"] if row["next_run_at"]] == [
        (row["id"], row["next_run_at"]) for row in first["rows"]
    ]
    assert len(first["rows"]) == waits
    assert everything(life, run) == before
    assert before["lines"] == 2


def test_what_was_written_before_does_not_keep_the_rest_of_a_batch_from_being_written(life) -> None:
    """A batch may be repeated in other parts."""
    done, new = (claim(life, insert(life)) for _ in range(2))
    run_results = [run_result(life, done), run_result(life, new)]
    life.finish(ME, run_results[:1], 1)
    assert set(life.finish(ME, run_results, 1)["taken"]) == {done.execution_id, new.execution_id}


def test_lines_of_a_note_whose_answer_was_lost_are_kept_once(life) -> None:
    """Two lines that only look alike within one note are both kept."""
    run = claim(life, insert(life))
    notes = [{"id": run.execution_id, "fence": run.fence, "progress": None}]
    request = {
        "listener": ME,
        "notes": notes,
        "logs": [line(life, run), line(life, run, "same"), line(life, run, "same")],
    }
    request["logs"][2]["at"] = request["logs"][1]["at"]
    for _ in range(2):
        life.service("note_runs_v1", request)
    assert everything(life, run)["lines"] == 3


def _result(reported: RunResult) -> dict[str, object]:
    fields = {"retry_at": reported.retry_at.isoformat()} if reported.retry_at else {}
    at = reported.completed_at.isoformat()
    return {
        "id": reported.execution_id,
        "fence": reported.fence,
        "status": reported.status,
        "completed_at": at,
        **fields,
    }


@pytest.mark.parametrize("listener", [ME, ANOTHER], ids=["the same", "another"])
def test_a_claim_whose_answer_was_lost_is_granted_again_to_whom_it_was_granted(life, listener) -> None:
    """The same run, with the same fence, as if granted now; to nobody else, and not to who does not ask for it."""
    job = insert(life)
    due = life.read()[0][job]["due_at"]
    run = claim(life, job)
    life._fate.execute("update job_executions set lease_expires_at = now() + interval '1 second'")
    assert life.claim(listener, [ClaimRequest(job, due)], AHEAD_SECONDS, 1) == []
    again = claim_again(life, job, due, listener)
    assert [(each.execution_id, each.fence) for each in again] == ([(run.execution_id, 1)] if listener == ME else [])
    query = "select lease_expires_at > now() + interval '1 minute' as is_long from job_executions"
    assert life._fate.execute(query).fetchone() == {"is_long": listener == ME}


@pytest.mark.parametrize(
    "row", [{}, {"trigger_type": "interval", "schedule": {"seconds": 3600}}, {"concurrency_key": "a"}]
)
def test_every_kind_of_claim_may_be_repeated(life, row) -> None:
    """One-time, recurring, with a key, and of a run that waited; a second repetition answers the same."""
    job = insert(life, **row)
    due = life.read()[0][job]["due_at"]
    run = claim(life, job, due)
    for _ in range(2):
        assert [each.execution_id for each in claim_again(life, job, due)] == [run.execution_id]
    life.finish(ME, [run_result(life, run, "failed", retry_at=life.now())], 1)
    retry = claim_waiting(life, job)
    assert (retry.attempt, [each.execution_id for each in claim_again(life, job, None)]) == (2, [retry.execution_id])


def test_a_repeated_claim_that_nobody_carried_out_before_is_a_claim(life) -> None:
    """The request was lost, not its answer."""
    job = insert(life)
    (run,) = claim_again(life, job, life.read()[0][job]["due_at"])
    assert run.job_id == job


def test_a_repeated_claim_waits_for_the_first_one_to_be_carried_out(life, stack) -> None:
    """Or it would be refused for a moment, and the grant of the first would be seen by nobody."""
    job = insert(life)
    due = life.read()[0][job]["due_at"]
    with psycopg.connect(stack.admin_dsn) as slow:
        slow.execute("set role service_role")
        request = life_request([{"id": job, "due": due.isoformat()}])
        slow.execute("select claim_runs_v1(%s)", [request])
        answers: list[list[object]] = []
        claiming = threading.Thread(target=lambda: answers.append(claim_again(life, job, due)))
        claiming.start()
        until(lambda: _is_waiting(stack), "the repeated claim waits")
        slow.commit()
        claiming.join(10)
    assert [len(runs) for runs in answers] == [1]


def life_request(claims):
    """Make the argument of a claim."""
    return json.dumps({"listener": ME, "claims": claims, **FOREVER})


def _is_waiting(stack) -> bool:
    query = (
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%claim_runs_v1%')"
    )
    with psycopg.connect(stack.admin_dsn, autocommit=True) as connection:
        return connection.execute(query).fetchone()[0]


@contextmanager
def locked(stack, table, key):
    """Hold a row in a transaction of somebody's."""
    with psycopg.connect(stack.admin_dsn) as holder:
        query = sql.SQL("select 1 from {} where id = %s for update").format(sql.Identifier(table))
        holder.execute(query, [key])
        yield
        holder.rollback()


@pytest.mark.parametrize("table", ["scheduled_jobs", "job_executions"])
def test_a_row_that_somebody_holds_costs_no_other_run_its_lease(life, stack, table) -> None:
    """The others are extended at once; that one is if its job alone is held, and else neither extended nor lost."""
    runs = [claim(life, insert(life)) for _ in range(3)]
    life._fate.execute("update job_executions set lease_expires_at = now()")
    life._clients["service"].execute("set statement_timeout = '3s'")
    key = runs[1].job_id if table == "scheduled_jobs" else runs[1].execution_id
    with locked(stack, table, key):
        answer = life.extend(ME, [(run.execution_id, run.fence) for run in runs])
    unsure = [] if table == "scheduled_jobs" else [[runs[1].execution_id, 1]]
    assert (answer["lost"], answer["unsure"]) == ([], unsure)
    query = "select count(*) as n from job_executions where lease_expires_at > now() + interval '1 minute'"
    assert life._fate.execute(query).fetchone() == {"n": 3 - len(unsure)}


def test_replace_keeps_a_fence_of_its_own(life) -> None:
    """A run that a claim with overlap replace has ended cannot be ended again by its former holder."""
    job = insert(life, trigger_type="interval", schedule={"seconds": 3600}, overlap="replace")
    life.shift(timedelta(seconds=1))
    due = life.read()[0][job]["due_at"]
    (old,) = life.claim(ME, [ClaimRequest(job, due, next_due=due + timedelta(milliseconds=1))], AHEAD_SECONDS, 1)
    later = due + timedelta(milliseconds=1)
    (new,) = life.claim(ME, [ClaimRequest(job, later, next_due=due + timedelta(hours=1))], AHEAD_SECONDS, 1)
    assert life.finish(ME, [run_result(life, old)], 1)["taken"] == []
    assert life.finish(ME, [replace(run_result(life, new), fence=7)], 1)["taken"] == []
    assert life.finish(ME, [run_result(life, new)], 1)["taken"] == [new.execution_id]


def test_a_run_that_could_not_be_marked_when_its_job_was_cancelled_is_marked_by_its_extension(life, stack):
    """Its row was locked at that moment; a job that is scheduled again later is not to take its end for its own."""
    job = insert(life)
    run = claim(life, job)
    with psycopg.connect(stack.database_url) as writer:
        writer.execute("select from public.job_executions where id = %s for update", [run.execution_id])
        life.update("service", job, {"status": "cancelled"})
    assert everything(life, run)["run"]["stopped_at"] is None
    life.extend(ME, [(run.execution_id, run.fence)])
    assert everything(life, run)["run"]["stopped_at"] is not None
