"""A job with `test_mode` rehearses: every run of its schedule says so, however it is claimed."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from answered_rows import runs_of

if TYPE_CHECKING:
    import httpx
    import psycopg

ME = {"listener": str(uuid.uuid4()), "lease_seconds": 30, "ahead_seconds": 1}


def insert(database: psycopg.Connection[Any], **columns: object) -> dict[str, Any]:
    """Insert a job that rehearses."""
    names = ", ".join(columns)
    query = f"insert into public.scheduled_jobs (handler, test_mode{', ' * bool(names)}{names})"
    query += f" values ('rehearsals', true{', %s' * len(columns)}) returning *"
    return database.execute(query, list(columns.values())).fetchone()


def claim(database: psycopg.Connection[Any], job: dict[str, Any], **more: object) -> list[dict[str, Any]]:
    """Claim its present due instant; the runs that are granted."""
    query = "select due_at from public.scheduled_jobs where id = %s"
    due = database.execute(query, [job["id"]]).fetchone()["due_at"]
    request = {**ME, "claims": [{"id": job["id"], "due": due, "next": None, **more}]}
    query = "select public.claim_runs_v1(%s) as answer"
    return runs_of(database.execute(query, [json.dumps(request, default=str)]).fetchone()["answer"])


def ledger(database: psycopg.Connection[Any], job: dict[str, Any]) -> list[tuple[str, bool]]:
    """Status and mode of its executions, in the order of their instants."""
    query = "select * from public.job_executions where scheduled_job_id = %s order by scheduled_for, attempt"
    return [(row["status"], row["test_mode"]) for row in database.execute(query, [job["id"]])]


@pytest.mark.parametrize("columns", [{}, {"concurrency_key": "rehearsal hall"}], ids=["free", "keyed"])
def test_a_due_instant_rehearses(database, columns) -> None:
    """Claimed with all others, and one by one."""
    job = insert(database, **columns)
    (run,) = claim(database, job)
    assert run["test_mode"] is True
    assert ledger(database, job) == [("running", True)]
    database.execute("delete from public.scheduled_jobs where id = %s", [job["id"]])


def test_a_batch_keeps_each_jobs_own_mode(database) -> None:
    """Two jobs of one claim."""
    rehearsed, real = insert(database), insert(database)
    database.execute("update public.scheduled_jobs set test_mode = false where id = %s", [real["id"]])
    claims = [{"id": job["id"], "due": job["due_at"].isoformat()} for job in (real, rehearsed)]
    query = "select public.claim_runs_v1(%s) as answer"
    answer = database.execute(query, [json.dumps({**ME, "claims": claims})]).fetchone()["answer"]
    assert {run["id"]: run["test_mode"] for run in runs_of(answer)} == {rehearsed["id"]: True, real["id"]: False}


@pytest.mark.parametrize(("overlap", "status"), [("queue", "queued"), ("skip", "skipped")])
def test_an_instant_that_meets_a_running_job_rehearses(database, overlap, status) -> None:
    """Whether it waits or is skipped."""
    job = insert(database, trigger_type="interval", schedule='{"seconds": 60}', overlap=overlap)
    assert claim(database, job, next=job["due_at"])
    with database.transaction():
        database.execute("select set_config('job_scheduler.stage', 'service', true)")
        query = "update public.scheduled_jobs set due_at = clock_timestamp() where id = %s"
        database.execute(query, [job["id"]])
    assert claim(database, job) == []
    assert ledger(database, job) == [("running", True), (status, True)]


def test_missed_instants_rehearse(database) -> None:
    """The skipped ones, and the run for them all."""
    job = insert(database, misfire="run_all")
    missed = job["due_at"].replace(year=2001)
    (run,) = claim(database, job, run=job["due_at"], missed=[missed], missed_reason="misfire")
    assert run["test_mode"] is True
    assert ledger(database, job) == [("skipped", True), ("running", True)]


def test_a_second_attempt_rehearses_though_the_job_went_live(database) -> None:
    """An instant keeps its mode; the job's next one has the new mode."""
    job = insert(database)
    (run,) = claim(database, job)
    database.execute("update public.scheduled_jobs set test_mode = false where id = %s", [job["id"]])
    at = job["due_at"]
    failed = {"id": run["execution_id"], "fence": run["fence"], "status": "failed", "started_at": at}
    retried = {**failed, "completed_at": at, "retry_at": at}
    request = json.dumps({"listener": ME["listener"], "results": [retried], "logs": []}, default=str)
    database.execute("select public.finish_runs_v1(%s)", [request])
    assert ledger(database, job) == [("failed", True), ("queued", True)]


@pytest.mark.parametrize(("asked", "rehearses"), [(True, True), (False, False), (None, True)])
def test_a_manual_run_says_itself_whether_it_rehearses(alice: httpx.Client, asked, rehearses) -> None:
    """Null asks for what the schedule does; the column is the client's to write."""
    row = {"handler": "noop", "test_mode": True, "run_date": "2099-01-01T00:00:00Z"}
    (job,) = alice.post("/scheduled_jobs", json=row).json()
    run = alice.post("/rpc/run_job_now", json={"job": job["id"], "test_mode": asked}).json()
    (entry,) = alice.get("/job_executions", params={"id": f"eq.{run}"}).json()
    assert entry["test_mode"] is rehearses
    (live,) = alice.patch(f"/scheduled_jobs?id=eq.{job['id']}", json={"test_mode": False}).json()
    assert (live["test_mode"], live["revision"] > job["revision"]) == (False, True)
    (act,) = alice.get(f"/job_audit?scheduled_job_id=eq.{job['id']}&action=eq.update").json()
    assert act["changes"] == {"test_mode": [True, False]}
