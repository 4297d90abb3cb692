"""The rules of one tenant change nothing of what others are notified of, and fill no table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from alerting import Alerting
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    import psycopg

ATTACKER = "a0000000-0000-4000-8000-00000000000a"
LIMIT = "update job_scheduler.limits set value = %s where name = 'quota_max_alert_deliveries_per_hour'"
RUNS = """
insert into public.job_executions
    (scheduled_job_id, created_by, scheduled_for, cause, attempt, status, started_at, completed_at)
select %s, %s, now() - make_interval(secs => n), 'schedule', 1, 'completed', now(), now() - make_interval(secs => n)
from generate_series(1, 20000) as n
"""
CLAIMS = (
    "select set_config('request.jwt.claims', json_build_object('sub', %s::text, 'role', 'authenticated')::text, true)"
)
READ = "select seq_tup_read + idx_tup_fetch as tuples from pg_stat_xact_user_tables where relname = 'job_executions'"
MOVE = "update public.scheduled_jobs set next_run_at = now() - make_interval(secs => %s) where id = any(%s)"


@pytest.fixture
def world(database: psycopg.Connection[dict[str, Any]]) -> Alerting:
    """Give a database without alerts, in which everything that ended is evaluated."""
    return Alerting(database)


def of_service(world: Alerting) -> list[tuple[str, str, int]]:
    """Give condition, status and occurrences of the alerts that are not the attacker's."""
    return [(a["condition"], a["status"], a["occurrences"]) for a in world.alerts() if a["created_by"] is None]


def test_a_threshold_that_no_double_holds_is_rounded(world):
    """Else one row would end the evaluation of everybody's rules."""
    world.rule("late", threshold="1e-400", created_by=ATTACKER)
    assert world.one("select threshold::text as t from public.job_alert_rules") == "0"
    world.rule()
    world.end(world.job())
    assert world.evaluate()["opened"] == 1


def test_a_low_threshold_of_another_hides_no_late_and_no_long_run(world):
    """A run in time that ends in the same evaluation does not overwrite it, nor count, nor keep the alert open."""
    for condition in ("late", "long_running"):
        world.rule(condition, threshold=0, created_by=ATTACKER)
        world.rule(condition, threshold=30)
    job = world.job()
    world.end(job, status="completed", lateness=40_000.0, duration=40_000.0)
    world.end(job, status="completed", lateness=100.0, duration=100.0)
    world.evaluate()
    assert sorted(of_service(world)) == [("late", "firing", 1), ("long_running", "firing", 1)]
    world.end(job, status="completed", lateness=100.0, duration=100.0)
    world.evaluate()
    assert sorted(of_service(world)) == [("late", "resolved", 1), ("long_running", "resolved", 1)]


def test_jobs_that_another_lets_wait_hide_no_missed_instant(world):
    """However many they are, and however long they have waited."""
    world.rule("missed", threshold=0, created_by=ATTACKER)
    world.rule("missed", threshold=30)
    world.connection.execute(
        "insert into public.scheduled_jobs (handler, trigger_type, schedule, run_date, created_by)"
        " select 'noop', 'daily', '{\"time\": \"08:00\"}', '2999-01-01', %s from generate_series(1, 10001)",
        [ATTACKER],
    )
    rows = world.connection.execute("select id from public.scheduled_jobs").fetchall()
    world.as_service(MOVE, [3600, [row["id"] for row in rows]])
    world.as_service(MOVE, [60, [world.job()]])
    world.evaluate()
    assert of_service(world) == [("missed", "firing", 1)]
    world.evaluate()
    looked_at = world.one("select max(f.jobs) as jobs from job_scheduler.findings('0') as f")
    assert looked_at <= 2, "rules times jobs that wait still would be many"


def test_what_is_beyond_the_quota_fills_no_table(world):
    """As many messages as the quota allows are entered as skipped in an hour, and no more."""
    for number in range(6):
        world.channel(f"a{number}@example.com", created_by=ATTACKER)
    world.rule(created_by=ATTACKER)
    world.connection.execute(LIMIT, [2])
    try:
        for number in range(2):
            world.end(world.job(f"h{number}", created_by=ATTACKER))
            world.evaluate()
    finally:
        world.connection.execute(LIMIT, [200])
    rows = world.connection.execute("select status, error from public.job_alert_deliveries").fetchall()
    assert sorted(row["status"] for row in rows) == ["queued"] * 2 + ["skipped"] * 2


@pytest.mark.parametrize("condition", ["failed", "failing", "late"])
def test_a_preview_reads_no_run_of_another(world, condition):
    """It costs what the caller's own ledger has, however much that of all others has."""
    others = "b0000000-0000-4000-8000-00000000000b"
    own, foreign = world.job(created_by=ATTACKER), world.job(created_by=others)
    world.as_service(RUNS, [foreign, others])
    world.connection.execute("analyze public.job_executions")
    world.end(own)
    rule = Jsonb({"condition": condition, "threshold": 2 if condition == "failing" else 1})
    with world.connection.transaction():
        world.connection.execute(CLAIMS, [ATTACKER])
        world.connection.execute("set local role authenticated")
        found = world.one("select public.preview_alert_rule(%s, 90) ->> 'occurrences' as found", rule)
        read = world.one(READ)
    assert (found, read < 1000) == ("1" if condition == "failed" else "0", True), read
