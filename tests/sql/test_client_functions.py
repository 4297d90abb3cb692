"""The functions that clients call: what they change, whom they refuse, and what they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    import httpx

    from listener.local.stack import Stack

FUNCTIONS = ["cancel_job", "pause_job", "resume_job", "retry_job", "run_job_now", "job_stats"]
STATUSES = ["scheduled", "running", "completed", "failed", "cancelled", "paused"]
MOVES = {
    "cancel_job": ({"scheduled", "paused", "running"}, "cancelled"),
    "pause_job": ({"scheduled", "running"}, "paused"),
    "resume_job": ({"paused"}, "scheduled"),
    "retry_job": ({"completed", "failed", "cancelled"}, "scheduled"),
}
PATH = {
    "scheduled": [],
    "paused": ["paused"],
    "running": ["running"],
    "completed": ["running", "completed"],
    "failed": ["running", "failed"],
    "cancelled": ["cancelled"],
}


@pytest.fixture
def job_in(embedded_stack: Stack, alice: httpx.Client):
    """Return a maker of a job of alice in a status, brought there as the service does."""

    def make(status: str, **row: object) -> dict[str, Any]:
        job = alice.post("/scheduled_jobs", json={"handler": "noop", **row}).json()[0]
        with psycopg.connect(embedded_stack.database_url) as connection:
            connection.execute("select set_config('job_scheduler.stage', 'service', true)")
            for step in PATH[status]:
                connection.execute("update scheduled_jobs set status = %s where id = %s", [step, job["id"]])
        return job

    return make


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("function", MOVES)
def test_a_function_moves_a_job_from_where_it_may_and_refuses_elsewhere(
    alice: httpx.Client, job_in, function: str, status: str
):
    """The answer is the job as it is now; where it is there already, nothing happens; else 400 names both statuses."""
    job = job_in(status)
    sources, target = MOVES[function]
    answer = alice.post(f"/rpc/{function}", json={"job": job["id"]})
    if status in sources or status == target:
        assert answer.status_code == 200, answer.text
        assert (answer.json()["id"], answer.json()["status"]) == (job["id"], target)
    else:
        assert answer.status_code == 400
        assert answer.json()["message"].startswith("scheduled_jobs.status: ")
        assert f'"{status}"' in answer.json()["message"]
        assert alice.get("/scheduled_jobs", params={"id": f"eq.{job['id']}"}).json()[0]["status"] == status


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("who", ["bob", "alice"])
def test_a_job_that_is_not_yours_is_not_found(client_for, job_in, function: str, who: str):
    """The same words whether it belongs to somebody else or never existed: a number reveals nothing."""
    job = job_in("paused")["id"] if who == "bob" else 999_999_999
    answer = client_for(who).post(f"/rpc/{function}", json={"job": job})
    assert answer.status_code == 404
    assert answer.json()["message"].startswith(f"no job {job} that you may ")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_without_a_token_is_refused(anon: httpx.Client, job_in, function: str):
    """The public key alone may call nothing."""
    assert anon.post(f"/rpc/{function}", json={"job": job_in("scheduled")["id"]}).status_code in {401, 403, 404}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_job_that_is_null_is_not_found(alice: httpx.Client, function: str):
    """Not a crash, not every job."""
    assert alice.post(f"/rpc/{function}", json={"job": None}).status_code == 404


def test_the_service_key_may_call_them_for_any_job(service: httpx.Client, job_in):
    """As it may write every row."""
    job = job_in("scheduled")["id"]
    assert service.post("/rpc/pause_job", json={"job": job}).json()["status"] == "paused"
    assert service.post("/rpc/run_job_now", json={"job": job}).status_code == 200
    assert service.post("/rpc/job_stats", json={"job": job}).status_code == 200


@pytest.mark.parametrize("status", STATUSES)
def test_run_job_now_queues_a_run_whatever_the_status(alice: httpx.Client, job_in, status: str):
    """The ledger gets a queued manual run of the owner; the job wakes for it and keeps its status."""
    job = job_in(status, run_date="2030-01-01T00:00:00Z")
    run = alice.post("/rpc/run_job_now", json={"job": job["id"], "test_mode": True}).json()
    entry = alice.get("/job_executions", params={"id": f"eq.{run}"}).json()[0]
    assert (entry["scheduled_job_id"], entry["created_by"]) == (job["id"], job["created_by"])
    assert (entry["status"], entry["cause"], entry["attempt"], entry["test_mode"]) == ("queued", "manual", 1, True)
    assert entry["started_at"] is entry["completed_at"] is entry["listener_id"] is None
    now = alice.get("/scheduled_jobs", params={"id": f"eq.{job['id']}"}).json()[0]
    assert now["status"] == status
    assert now["next_run_at"] == entry["scheduled_for"]
    assert now["revision"] >= job["revision"]


def test_two_runs_asked_for_are_two_rows(alice: httpx.Client, job_in):
    """Each has an instant of its own."""
    job = job_in("scheduled")["id"]
    runs = {alice.post("/rpc/run_job_now", json={"job": job}).json() for _ in range(3)}
    assert len(runs) == 3


def test_job_stats_of_a_new_job_are_noughts_and_nulls(alice: httpx.Client, job_in):
    """A rate of nothing is null, neither 0 nor an error."""
    job = job_in("scheduled")
    alice.post("/rpc/pause_job", json={"job": job["id"]})
    assert alice.post("/rpc/job_stats", json={"job": job["id"]}).json() == {
        "total_runs": 0,
        "successful_runs": 0,
        "failed_runs": 0,
        "success_rate": None,
        "avg_duration_ms": None,
        "p95_duration_ms": None,
        "last_run_at": None,
        "next_run_at": None,
    }


def test_job_stats_count_the_runs_of_the_ledger(embedded_stack: Stack, alice: httpx.Client, job_in):
    """The percentile is over runs that completed or failed; a skipped one has no duration."""
    job = job_in("scheduled")
    with psycopg.connect(embedded_stack.database_url) as connection:
        connection.execute("select set_config('job_scheduler.stage', 'service', true)")
        connection.execute(
            """
            insert into job_executions (scheduled_job_id, created_by, scheduled_for, cause, status, duration_ms)
            select %s, %s, now() - n * interval '1 minute', 'schedule',
                case when n = 101 then 'skipped' when n > 75 then 'failed' else 'completed' end, n
            from generate_series(1, 101) as n
            """,
            [job["id"], job["created_by"]],
        )
        connection.execute(
            "update scheduled_jobs set total_runs = 100, successful_runs = 75, failed_runs = 25 where id = %s",
            [job["id"]],
        )
    stats = alice.post("/rpc/job_stats", json={"job": job["id"]}).json()
    assert (stats["total_runs"], stats["success_rate"]) == (100, 0.75)
    assert stats["avg_duration_ms"] == pytest.approx(50.5)
    assert stats["p95_duration_ms"] == pytest.approx(95.05)


def test_job_stats_read_the_newest_10_000_runs_of_a_job(embedded_stack: Stack, alice: httpx.Client, job_in):
    """However long its ledger is: here the run before them took an hour."""
    job = job_in("scheduled")
    with psycopg.connect(embedded_stack.database_url) as connection:
        connection.execute("select set_config('job_scheduler.stage', 'service', true)")
        connection.execute(
            """
            insert into job_executions (scheduled_job_id, created_by, scheduled_for, cause, status, duration_ms)
            select %s, %s, now() - n * interval '1 second', 'schedule', 'completed',
                case when n > 10000 then 9999 else 5 end
            from generate_series(1, 10001) as n
            """,
            [job["id"], job["created_by"]],
        )
    assert alice.post("/rpc/job_stats", json={"job": job["id"]}).json()["avg_duration_ms"] == 5
