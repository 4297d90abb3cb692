"""The rules of one tenant change nothing of what others are notified of, and fill no table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from alerting import Alerting
from patience import until
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Iterator

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
CODE = "select public.alert_delivery_v1(%s) as answer"
KEY = "whsec_" + "c2VjcmV0" * 4
CONDITIONS = ("failed", "failing", "long_running", "late", "missed", "backlog", "no_listener")
BLOCKED = "select exists (select from pg_stat_activity where %s = any(pg_blocking_pids(pid))) as is_blocked"


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


@pytest.fixture
def another(database: psycopg.Connection[dict[str, Any]], migrated_database: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection of an attacker, in a transaction."""
    with psycopg.connect(migrated_database, row_factory=dict_row) as connection:
        yield connection
        connection.rollback()


def test_a_code_never_goes_to_the_address_that_was_there_before(world, another):
    """Not even where the address changes while the message is made: its owner would confirm somebody else's."""
    with world.connection.transaction():
        world.connection.execute(CLAIMS, [ATTACKER])
        world.connection.execute("set local role authenticated")
        channel = world.add("job_alert_channels", kind="email", target="mine@example.com")
    query = "select id::text as id from public.job_alert_deliveries where target = %s"
    delivery = Jsonb({"delivery_id": world.one(query, "mine@example.com")})
    assert world.one(CODE, delivery)["code"], "it is sent, and sent again if that fails"
    another.execute(CLAIMS, [ATTACKER])
    another.execute("set local role authenticated")
    another.execute("update public.job_alert_channels set target = 'victim@example.com' where id = %s", [channel])
    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(world.one, CODE, delivery)
        with psycopg.connect(another.info.dsn, password=another.info.password, autocommit=True) as third:
            look = lambda: third.execute(BLOCKED, [another.info.backend_pid]).fetchone()[0]  # noqa: E731
            until(lambda: sending.done() or look(), "the message waits for the change")
        another.commit()
        answer = sending.result()
    assert (answer["status"], answer.get("code")) == ("skipped", None)
    theirs = Jsonb({"delivery_id": world.one(query, "victim@example.com")})
    assert world.one(CODE, theirs)["target"] == "victim@example.com"


def test_no_alert_is_about_deliveries_of_alerts(world):
    """However they fail, and whatever the rule looks at: each message would be the reason for another one."""
    world.channel()
    for condition in CONDITIONS:
        world.rule(condition, threshold={"failed": None, "failing": 2}.get(condition, 0), cooldown_seconds=0)
    job = world.job("alert_delivery", metadata={"delivery_id": ATTACKER})
    world.as_service(MOVE, [3600, [job]])
    world.connection.execute(
        "insert into job_scheduler.missing_handlers (name, since) values ('alert_delivery', now() - interval '1 hour')"
    )
    for _ in range(3):
        world.end(job, duration=400_000.0, lateness=400_000.0)
        world.end(job, status="skipped", reason="misfire", due=world.one("select now() - interval '1 hour' as at"))
        assert world.evaluate() == {"opened": 0, "resolved": 0, "deliveries": 0}
    for column in ({"handler": "alert_delivery"}, {"scheduled_job_id": job}):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="deliver"):
            world.rule(**column)
    other = world.job()
    world.as_service(MOVE, [3600, [other]])
    world.end(other)
    assert world.evaluate()["opened"] >= 4, "the same rules look at other jobs"


def test_a_receiver_that_never_answers_holds_up_its_own_messages_alone(world):
    """Those to one URL go one after the other; the operator's mail server takes all at once."""
    channels = [world.channel("https://example.com/", kind="webhook", secret=KEY) for _ in range(2)]
    world.channel(created_by=None)
    world.rule()
    world.end(*(world.job(f"h{number}") for number in range(3)))
    assert world.evaluate()["deliveries"] == 9
    query = """
        select j.concurrency_key as key, count(*) as messages from public.scheduled_jobs as j
        where j.handler = 'alert_delivery' group by 1 order by 1
    """
    found = {row["key"]: row["messages"] for row in world.connection.execute(query).fetchall()}
    assert found == {None: 3} | {f"alert-channel:{channel}": 3 for channel in channels}
