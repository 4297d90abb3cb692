"""Quotas hold for one row and for many, for those who come at once, and for every way to a larger use."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from listener.local.keys import user_id

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from listener.local.stack import Stack

LATER = {"handler": "noop", "run_date": "2099-01-01T00:00:00Z"}


@pytest.fixture
def team(sql: psycopg.Connection[Any]) -> Callable[..., str]:
    """Return a maker of workspaces whose editor alice is, with these settings."""

    def make(**settings: object) -> str:
        workspace = uuid.uuid4()
        sql.execute(
            "insert into job_workspaces (id, name, settings) values (%s, 'Team', %s)", [workspace, Jsonb(settings)]
        )
        sql.execute("insert into job_workspace_members values (%s, %s, 'editor')", [workspace, user_id("alice")])
        return str(workspace)

    return make


def post(client: httpx.Client, workspace: str | None, number: int = 1, **columns: object) -> httpx.Response:
    """Insert that many jobs in one request."""
    return client.post("/scheduled_jobs", json=[{**LATER, "workspace_id": workspace, **columns}] * number)


def count(sql: psycopg.Connection[Any], workspace: str) -> int:
    """Count the jobs of a workspace."""
    return sql.execute("select count(*) from scheduled_jobs where workspace_id = %s", [workspace]).fetchone()[0]


def every(seconds: float) -> dict[str, object]:
    """The columns of a job that is due so often."""
    return {"trigger_type": "interval", "schedule": {"seconds": seconds}}


def cron(expression: str) -> dict[str, object]:
    """The columns of a job with a cron schedule."""
    return {"trigger_type": "cron", "schedule": {"expression": expression}}


def test_the_refusal_names_the_quota_the_limit_what_is_used_and_what_is_left(alice: httpx.Client, team, sql):
    """In words, and as JSON in its details."""
    workspace = team(max_active_jobs=5)
    assert post(alice, workspace, 3).status_code == 201
    answer = post(alice, workspace, 3)
    assert (answer.status_code, answer.json()["code"]) == (403, "PT403")
    assert answer.json()["message"] == "quota max_active_jobs: 3 more jobs are not allowed; limit 5, used 3, left 2"
    reported = {"quota": "max_active_jobs", "limit": 5, "used": 3, "left": 2}
    assert json.loads(answer.json()["details"]) == reported
    assert count(sql, workspace) == 3
    assert post(alice, workspace, 2).status_code == 201


def test_a_thousand_rows_in_one_statement_are_counted_as_a_thousand(alice: httpx.Client, team, sql):
    """All or none; and exactly as many as there may be are let through."""
    workspace = team(max_active_jobs=1000)
    assert post(alice, workspace, 1001).status_code == 403
    assert count(sql, workspace) == 0
    assert post(alice, workspace, 1000).status_code == 201
    assert post(alice, workspace).status_code == 403


def test_inserts_that_come_at_once_share_one_quota(alice: httpx.Client, team, sql):
    """However they overlap, no more are let through than there may be."""
    workspace = team(max_active_jobs=10)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: post(alice, workspace, 3).status_code, range(16)))
    assert sorted(set(answers)) == [201, 403]
    assert answers.count(201) == 3
    assert count(sql, workspace) == 9


def test_one_tenant_does_not_wait_for_another(alice: httpx.Client, team, sql, embedded_stack: Stack):
    """While an insert of one is not yet committed, another one's goes through, and its own waits."""
    slow, quick = team(max_active_jobs=1), team(max_active_jobs=1)
    claims = json.dumps({"role": "authenticated", "sub": str(user_id("alice"))})
    with psycopg.connect(embedded_stack.database_url) as other, ThreadPoolExecutor(1) as threads:
        other.execute("set local role authenticated")
        other.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        other.execute("insert into scheduled_jobs (handler, workspace_id) values ('noop', %s)", [slow])
        assert post(alice, quick).status_code == 201
        waiting = threads.submit(post, alice, slow)
        waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        while sql.execute(waits).fetchone()[0] == 0:
            assert not waiting.done()
        other.commit()
        assert waiting.result().status_code == 403
    assert (count(sql, slow), count(sql, quick)) == (1, 1)


def test_what_has_ended_frees_the_quota_and_what_is_scheduled_again_takes_it(alice: httpx.Client, team, sql):
    """By retry_job or by a status written to many rows at once; a paused job keeps its place."""
    workspace = team(max_active_jobs=2)
    first, second = (row["id"] for row in post(alice, workspace, 2).json())
    assert alice.post("/rpc/pause_job", json={"job": first}).is_success
    assert post(alice, workspace).status_code == 403
    assert alice.post("/rpc/resume_job", json={"job": first}).is_success
    assert alice.post("/rpc/cancel_job", json={"job": first}).is_success
    assert alice.post("/rpc/cancel_job", json={"job": second}).is_success
    assert post(alice, workspace, 1).status_code == 201
    ended = {"workspace_id": f"eq.{workspace}", "status": "eq.cancelled"}
    answer = alice.patch("/scheduled_jobs", params=ended, json={"status": "scheduled"})
    assert answer.json()["message"] == "quota max_active_jobs: 2 more jobs are not allowed; limit 2, used 1, left 1"
    assert alice.post("/rpc/retry_job", json={"job": first}).is_success
    answer = alice.post("/rpc/retry_job", json={"job": second})
    assert (answer.status_code, answer.json()["code"]) == (403, "PT403")
    query = "select status from scheduled_jobs where id = %s"
    assert sql.execute(query, [second]).fetchone() == ("cancelled",)


@pytest.mark.parametrize(
    ("columns", "seconds"),
    [
        (every(59), 59),
        (cron("* * * * * */30"), 30),
        (cron("*/5 * * * * 0,59"), 59),
        (cron("0 * * * * 58,59"), 1),
    ],
)
def test_a_schedule_that_is_due_too_often_is_refused(alice: httpx.Client, team, sql, columns, seconds):
    """As far as its fields say; also when a job that is there is given it."""
    workspace = team(min_interval_seconds=60)
    answer = post(alice, workspace, **columns)
    assert (answer.status_code, answer.json()["code"]) == (403, "PT403")
    assert answer.json()["message"].startswith("quota min_interval_seconds: scheduled_jobs.schedule ")
    assert answer.json()["message"].endswith(f" is due every {seconds} s at times; limit 60")
    job = post(alice, workspace).json()[0]
    changed = alice.patch("/scheduled_jobs", params={"id": f"eq.{job['id']}"}, json=columns)
    assert changed.status_code == 403
    assert sql.execute("select trigger_type from scheduled_jobs where id = %s", [job["id"]]).fetchone() == ("once",)


@pytest.mark.parametrize(
    "columns",
    [every(60), cron("* * * * *"), cron("*/5 * * * * 30"), cron("@hourly"), cron("0 0 * * *"), {}],
)
def test_a_schedule_that_is_due_as_often_as_it_may_be_is_let_through(alice: httpx.Client, team, columns):
    """The bound itself is allowed."""
    assert post(alice, team(min_interval_seconds=60), **columns).status_code == 201


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("* * * * *", 60),
        ("*/7 * * * *", 240),
        ("0,59 9 * * *", 3540),
        ("0,59 9,10 * * *", 60),
        ("0 9 * * *", 86400),
        ("0,30 0,23 * * *", 1800),
        ("59 23 * * mon", None),
        ("0 0 1 * *", None),
        ("0 */2 1 1 *", 7200),
        ("* * * * * *", 1),
        ("5 5 * * * 7", 86400),
        ("0 22-2/3 * * *", 10800),
        ("55-5/6 * * * *", 360),
        ("@hourly", 3600),
        (" @Daily", 86400),
        ("@yearly", 86400),
    ],
)
def test_the_least_interval_of_an_expression_is_what_its_times_of_day_say(sql, expression: str, seconds: int | None):
    """Null where only a calendar could decide."""
    assert sql.execute("select job_scheduler.cron_interval(%s)", [expression]).fetchone() == (seconds,)


def test_a_payload_that_is_too_large_is_refused(alice: httpx.Client, team):
    """At the insert and later."""
    workspace = team(max_payload_bytes=40)
    answer = post(alice, workspace, metadata={"text": "x" * 40})
    reported = "quota max_payload_bytes: scheduled_jobs.metadata of 52 bytes is not allowed; limit 40, used 52, left 0"
    assert (answer.status_code, answer.json()["message"]) == (403, reported)
    job = post(alice, workspace, metadata={"text": "x" * 20}).json()[0]
    where = {"id": f"eq.{job['id']}"}
    assert alice.patch("/scheduled_jobs", params=where, json={"metadata": {"text": "x" * 40}}).status_code == 403
    assert alice.patch("/scheduled_jobs", params=where, json={"name": "a name"}).status_code == 200


def test_the_service_key_is_held_to_the_quotas_of_a_workspace_that_says_so(service: httpx.Client, team, sql):
    """Of no other: it may insert as it likes."""
    small = {"max_active_jobs": 1, "min_interval_seconds": 60, "max_payload_bytes": 2}
    free, bound = team(**small), team(limit_service=True, **small)
    assert post(service, free, 3, **every(1), metadata={"a": 1}).status_code == 201
    assert post(service, bound, 2).status_code == 403
    assert post(service, bound, **every(1)).status_code == 403
    assert post(service, bound, metadata={"a": 1}).status_code == 403
    assert (count(sql, free), count(sql, bound)) == (3, 0)


@pytest.mark.parametrize(
    ("quota", "value", "columns"),
    [
        ("max_active_jobs", 1, {}),
        ("min_interval_seconds", 60, every(5)),
        ("max_payload_bytes", 10, {"metadata": {"text": "more than ten"}}),
    ],
)
def test_the_installations_quotas_hold_for_private_rows(client_for, sql, quota: str, value: int, columns):
    """And for workspaces whose settings say nothing; an operator changes them."""
    client = client_for(f"user-of-{quota}")
    name = f"quota_{quota}"
    before = sql.execute("select value from job_scheduler.limits where name = %s", [name]).fetchone()[0]
    sql.execute("update job_scheduler.limits set value = %s where name = %s", [value, name])
    try:
        answer = post(client, None, 2, **columns)
    finally:
        sql.execute("update job_scheduler.limits set value = %s where name = %s", [before, name])
    assert answer.status_code == 403
    assert answer.json()["message"].startswith(f"quota {quota}: ")
    assert post(client, None, 2, **columns).status_code == 201


def test_manual_runs_may_wait_up_to_a_number(alice: httpx.Client, service: httpx.Client, team):
    """One after the other or thousands at once; those of another job, and of the service, are not counted."""
    workspace = team(max_queued_runs=3)
    one, other = (post(alice, workspace).json()[0]["id"] for _ in range(2))
    for _ in range(2):
        assert alice.post("/rpc/run_job_now", json={"job": one}).is_success
    many = alice.post("/job_executions", json=[{"scheduled_job_id": one}] * 2_000)
    reported = f"quota max_queued_runs: 2000 more of job {one} must not wait; limit 3, used 2, left 1"
    assert (many.status_code, many.json()["code"], many.json()["message"]) == (403, "PT403", reported)
    assert alice.post("/rpc/run_job_now", json={"job": one, "test_mode": True}).is_success
    again = alice.post("/rpc/run_job_now", json={"job": one})
    assert "1 more" in again.json()["message"]
    assert json.loads(again.json()["details"]) == {"quota": "max_queued_runs", "limit": 3, "used": 3, "left": 0}
    assert alice.post("/rpc/run_job_now", json={"job": other}).is_success
    assert service.post("/rpc/run_job_now", json={"job": one}).is_success


def test_a_stranger_learns_nothing_of_a_workspaces_quotas(bob: httpx.Client, team):
    """Row level security answers first."""
    answer = post(bob, team(max_active_jobs=0))
    assert answer.status_code == 403
    assert "row-level security" in answer.json()["message"]


@pytest.mark.parametrize(
    ("columns", "quota", "message_part"),
    [
        (
            {"timeout_seconds": 604800},
            "max_timeout_seconds",
            "timeout_seconds: 604800 is not allowed; expected at most 60",
        ),
        ({"run_date": "1970-01-01T00:00:00Z"}, "max_past_seconds", "expected an instant at most 3600 s ago"),
    ],
)
def test_how_long_a_run_takes_and_how_old_an_instant_is_have_bounds(  # noqa: PLR0913, PLR0917 - what it varies
    alice, service, team, columns, quota, message_part
):
    """At inserts and edits; for the service key only where it is held to the quotas."""
    bounds = {"max_timeout_seconds": 60, "max_past_seconds": 3600}
    workspace, strict = team(**bounds), team(limit_service=True, **bounds)
    answer = post(alice, workspace, **columns)
    assert (answer.status_code, answer.json()["code"]) == (403, "PT403")
    assert f"quota {quota}: scheduled_jobs." in answer.json()["message"]
    assert message_part in answer.json()["message"]
    (made,) = post(alice, workspace).json()
    assert alice.patch(f"/scheduled_jobs?id=eq.{made['id']}", json=columns).json()["code"] == "PT403"
    assert post(service, strict, **columns).json()["code"] == "PT403"
    assert service.patch(f"/scheduled_jobs?id=eq.{made['id']}", json=columns).status_code == 200
    renamed = alice.patch(f"/scheduled_jobs?id=eq.{made['id']}", json={"name": "still to be changed", "priority": 3})
    assert renamed.status_code == 200


def test_the_installations_bounds_hold_for_private_jobs(alice, service):
    """An hour, and a day; what recurs may be anchored in any past."""
    assert post(alice, None, timeout_seconds=3601).json()["code"] == "PT403"
    assert post(alice, None, run_date="2020-01-01T00:00:00Z").json()["code"] == "PT403"
    (old,) = post(service, None, run_date="2020-01-01T00:00:00Z", timeout_seconds=604800).json()
    assert old["timeout_seconds"] == 604800
    (made,) = post(alice, None, run_date="2020-01-01T00:00:00Z", timeout_seconds=3600, **every(60)).json()
    for status in ("cancelled", "scheduled", "paused"):
        assert alice.patch(f"/scheduled_jobs?id=eq.{made['id']}", json={"status": status}).status_code == 200
    assert alice.delete(f"/scheduled_jobs?id=eq.{made['id']}").status_code == 200


def test_an_old_job_is_run_again_and_edited_but_not_moved_into_the_past(alice, sql):
    """Its run_date was allowed when it was written."""
    sql.execute("set job_scheduler.stage = 'service'")
    (job,) = sql.execute(
        "insert into scheduled_jobs (handler, created_by, run_date, status, due_at) "
        "values ('noop', %s, '2020-01-01', 'scheduled', '9999-01-01Z') returning id",
        [user_id("alice")],
    ).fetchone()
    sql.execute("update scheduled_jobs set status = 'running', next_run_at = null where id = %s", [job])
    sql.execute("update scheduled_jobs set status = 'completed', due_at = '9999-01-01Z' where id = %s", [job])
    assert alice.post("/rpc/retry_job", json={"job": job}).status_code == 200
    assert alice.patch(f"/scheduled_jobs?id=eq.{job}", json={"metadata": {"a": 1}}).status_code == 200
    moved = alice.patch(f"/scheduled_jobs?id=eq.{job}", json={"run_date": "2020-01-02T00:00:00Z"})
    assert "scheduled_jobs.run_date" in moved.json()["message"]


def test_a_user_with_many_workspaces_has_one_users_quota(user_of, team_of, sql):
    """Those with a bound of their own count by themselves."""
    mallory = user_of("mallory")
    sql.execute("update job_scheduler.limits set value = 20 where name = 'quota_max_active_jobs'")
    try:
        plain, own = [team_of("mallory") for _ in range(4)], team_of("mallory", max_active_jobs=30)
        assert post(mallory, own, 30).status_code == 201
        assert [post(mallory, each, 6).status_code for each in plain] == [201, 201, 201, 403]
        refused = post(mallory, None, 3)
        assert "of this user in all workspaces together; limit 20, used 18" in refused.json()["message"]
        assert post(mallory, plain[3], 2).status_code == 201
        assert post(mallory, own, 1).json()["message"].startswith("quota max_active_jobs: 1 more job")
    finally:
        sql.execute("update job_scheduler.limits set value = 10000 where name = 'quota_max_active_jobs'")


@pytest.fixture
def user_of(client_for):
    """Give clients of users."""
    return client_for


@pytest.fixture
def team_of(sql):
    """Return a maker of workspaces whose editor a user is."""

    def make(name: str, **settings: object) -> str:
        workspace = uuid.uuid4()
        sql.execute(
            "insert into job_workspaces (id, name, settings) values (%s, 'Team', %s)", [workspace, Jsonb(settings)]
        )
        sql.execute("insert into job_workspace_members values (%s, %s, 'editor')", [workspace, user_id(name)])
        return str(workspace)

    return make


def test_the_bytes_of_active_jobs_are_counted_compressed_or_not(alice, team, sql):
    """Of inserts and edits; what has ended counts no more."""
    workspace = team(max_stored_bytes=200_000)
    assert post(alice, workspace, metadata={"text": "x" * 90_000}).status_code == 201
    (second,) = post(alice, workspace, metadata={"numbers": list(range(9_000))}).json()
    assert (
        post(alice, workspace, metadata={"text": "y" * 90_000}).json()["message"].startswith("quota max_stored_bytes")
    )
    assert post(alice, workspace, metadata={"text": "y"}).status_code == 201
    grown = alice.patch(f"/scheduled_jobs?id=eq.{second['id']}", json={"metadata": {"text": "x" * 150_000}})
    assert grown.json()["code"] == "PT403"
    assert alice.patch(f"/scheduled_jobs?id=eq.{second['id']}", json={"status": "cancelled"}).status_code == 200
    assert post(alice, workspace, metadata={"text": "y" * 90_000}).status_code == 201


def test_manual_runs_of_a_minute_are_counted_over_all_jobs_of_a_tenant(alice, team, sql):
    """Whether they wait or have run."""
    workspace = team(max_manual_runs_per_minute=5)
    jobs = [row["id"] for row in post(alice, workspace, 2).json()]
    run = lambda job: alice.post("/rpc/run_job_now", json={"job": job})  # noqa: E731 - asked often
    assert [run(jobs[n % 2]).status_code for n in range(5)] == [200] * 5
    sql.execute("update job_executions set status = 'completed' where scheduled_job_id = any(%s)", [jobs])
    refused = run(jobs[0])
    assert (refused.status_code, "quota max_manual_runs_per_minute" in refused.json()["message"]) == (403, True)
    back = (
        "update job_executions set scheduled_for = scheduled_for - interval '1 minute' where scheduled_job_id = any(%s)"
    )
    sql.execute(back, [jobs])
    assert run(jobs[0]).status_code == 200
