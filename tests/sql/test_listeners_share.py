"""The database reports listeners to one another, and answers those that come too late."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
from answered_rows import jobs_of, runs_of

NOBODY_DIES = {"lease_seconds": 600, "ahead_seconds": 1}


def signals_of(database: psycopg.Connection[Any]) -> int:
    """Return how often the listeners were notified because of one another."""
    query = "select count(*) as n from job_scheduler.signals where message ->> 'table' = 'job_listeners'"
    return database.execute(query).fetchone()["n"]


def heartbeat(ask, listener: str, **request: Any) -> dict[str, str]:
    """Send one heartbeat; give the heartbeats of all listeners alive."""
    answer = ask("extend_leases_v1", listener=listener, name="a test", lease_seconds=30, executions=[], **request)
    return answer["listeners"] or {}


def test_joining_and_leaving_notify_and_staying_does_not(database, ask):
    """The others are to learn of it at once, and of nothing else; each heartbeat is another one than before."""
    one, other = str(uuid.uuid4()), str(uuid.uuid4())
    sent = signals_of(database)
    assert heartbeat(ask, one, shares=False).get(one) is None
    assert signals_of(database) == sent
    first = heartbeat(ask, one, shares=True)[one]
    assert signals_of(database) == sent + 1
    assert heartbeat(ask, one, shares=True)[one] != first
    assert {one, other} <= set(heartbeat(ask, other, shares=True))
    assert signals_of(database) == sent + 2
    ask("leave_v1", listener=one)
    assert one not in heartbeat(ask, other, shares=True)
    assert signals_of(database) == sent + 3
    ask("leave_v1", listener=one)
    assert signals_of(database) == sent + 3


def test_a_listener_that_missed_more_than_one_heartbeat_is_dead(database, ask):
    """It sends three heartbeats in a lease: half a lease is one heartbeat and a half."""
    silent, me = str(uuid.uuid4()), str(uuid.uuid4())
    heartbeat(ask, silent, shares=True)
    back = "update public.job_listeners set heartbeat_at = now() - %s * interval '1 second' where id = %s"
    database.execute(back, [14, silent])
    assert silent in heartbeat(ask, me)
    database.execute(back, [16, silent])
    assert silent not in heartbeat(ask, me)


def test_a_listener_after_the_claim_is_answered_by_one_select(database, ask):
    """Not row by row: most claims that fail are of that kind. It learns each job's next instant."""
    insert = (
        "insert into public.scheduled_jobs (handler, trigger_type, schedule, run_date) select 'noop', 'interval', "
        "'{\"seconds\": 60}', now() from generate_series(1, 40) returning id, run_date"
    )
    rows = database.execute(insert).fetchall()
    plans = [{"id": row["id"], "revision": None, "due": row["run_date"].isoformat()} for row in rows]
    for plan in plans:
        plan["revision"] = database.execute(
            "select revision from public.scheduled_jobs where id = %s", [plan["id"]]
        ).fetchone()["revision"]
    ask("plan_jobs_v1", plans=plans)
    claims = [{"id": plan["id"], "due": plan["due"], "next": "2999-01-01T00:00:00Z"} for plan in plans]
    assert len(runs_of(ask("claim_runs_v1", listener=str(uuid.uuid4()), claims=claims, **NOBODY_DIES))) == 40
    # A plan that goes on row by row would fail now.
    database.execute("alter function job_scheduler.claim_one rename to claim_never")
    try:
        late = ask("claim_runs_v1", listener=str(uuid.uuid4()), claims=claims, **NOBODY_DIES)
    finally:
        database.execute("alter function job_scheduler.claim_never rename to claim_one")
    assert runs_of(late) == []
    assert {row["next_run_at"][:4] for row in late["rows"]} == {"2999"}
    assert len(late["rows"]) == 40


def test_rows_and_signals_show_the_tenant_of_a_job(database, ask):
    """A workspace's, else its maker's, else the service's own."""
    workspace, user = str(uuid.uuid4()), str(uuid.uuid4())
    insert = (
        "insert into public.scheduled_jobs (handler, workspace_id, created_by) values ('noop', %s, %s) returning id"
    )
    database.execute("insert into public.job_workspaces (id, name) values (%s, 'ours')", [workspace])
    database.execute("select set_config('job_scheduler.stage', 'service', false)")
    made = [
        (database.execute(insert, [at, by]).fetchone()["id"], (tenant, by))
        for at, by, tenant in [(workspace, user, workspace), (None, user, user), (None, None, None)]
    ]
    rows = jobs_of(ask("jobs_v1", ids=[job for job, _ in made], limit=1000))
    assert [(row["id"], (row["tenant"], row["user"])) for row in rows] == made
    sent = database.execute("select message from job_scheduler.signals order by id desc limit 3").fetchall()
    reported = {row[0]: tuple(row[4:6]) for each in sent for row in each["message"]["rows"]}
    assert reported == dict(made)


def test_a_one_time_job_that_another_has_claimed_is_counted_and_not_shown(database, ask):
    """Listeners try each other's jobs soon after them: rows that say nothing were half of the cost."""
    rows = database.execute(
        """
        insert into public.scheduled_jobs (handler, trigger_type, schedule) values
        ('noop', 'once', '{}'), ('noop', 'interval', '{"seconds": 60}'), ('noop', 'once', '{}')
        returning id, due_at::text as due, trigger_type
        """
    ).fetchall()
    claims = [{**row, "next": None if row["trigger_type"] == "once" else "2999-01-01T00:00:00Z"} for row in rows]
    first = ask("claim_runs_v1", listener=str(uuid.uuid4()), claims=claims[:2], **NOBODY_DIES)
    assert (len(runs_of(first)), first["taken"]) == (2, 0)
    late = ask("claim_runs_v1", listener=str(uuid.uuid4()), claims=claims, **NOBODY_DIES)
    assert [run["id"] for run in runs_of(late)] == [rows[2]["id"]]
    assert [row["id"] for row in late["rows"]] == [rows[1]["id"]]
    assert late["taken"] == 1


def test_a_job_that_others_are_to_claim_first_is_not_waited_for_while_its_row_is_locked(
    database, ask, migrated_database
):
    """Most likely the first of them claims it; its row says that it is still to be tried."""
    row = database.execute(
        "insert into public.scheduled_jobs (handler) values ('noop') returning id, due_at::text as due"
    ).fetchone()
    me = {"listener": str(uuid.uuid4()), **NOBODY_DIES}
    with psycopg.connect(migrated_database) as other:
        other.execute("select from public.scheduled_jobs for update")
        answer = ask("claim_runs_v1", claims=[{**row, "turn": 1}], **me)
        assert (runs_of(answer), [each["id"] for each in answer["rows"]], answer["taken"]) == ([], [row["id"]], 0)
    answer = ask("claim_runs_v1", claims=[{**row, "turn": 1}], **me)
    assert [run["id"] for run in runs_of(answer)] == [row["id"]]
