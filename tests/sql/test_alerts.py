"""Rules find each occurrence once, and an alert and its recovery are sent once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from alerting import DUE, END, EVALUATE, FIELDS, Alerting
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    import uuid

MANY = 3_000
EVALUATORS, ROUNDS = 3, 40


@pytest.fixture
def world(database: psycopg.Connection[dict[str, Any]]) -> Alerting:
    """Give a database without alerts, in which everything that ended is evaluated."""
    return Alerting(database)


@pytest.fixture
def channel(world: Alerting) -> uuid.UUID:
    """Give a channel of the service."""
    return world.channel()


def test_many_failures_are_one_alert_one_mail_and_one_recovery(world, channel):
    """The number does not matter, nor how many evaluations find them."""
    rule, jobs = world.rule(), [world.job() for _ in range(2)]
    world.connection.execute(
        "insert into public.scheduled_jobs (handler, trigger_type, schedule, run_date)"
        " select 'noop', 'daily', '{\"time\": \"08:00\"}', '2999-01-01' from generate_series(1, %s)",
        [MANY],
    )
    all_jobs = [row["id"] for row in world.connection.execute("select id from public.scheduled_jobs").fetchall()]
    (first,) = world.end(jobs[0])
    assert world.evaluate() == {"opened": 1, "resolved": 0, "deliveries": 1}
    world.end(*all_jobs)
    world.evaluate()
    (alert,) = world.alerts()
    assert (alert["rule_id"], alert["subject"], alert["status"]) == (rule, "handler:noop", "firing")
    assert (alert["occurrences"], alert["first_execution_id"]) == (1 + len(all_jobs), first)
    assert alert["message"] == f"{1 + len(all_jobs)} runs failed"
    world.end(*all_jobs[1:], status="completed")
    assert world.evaluate()["resolved"] == 0, "one job fails still"
    world.end(all_jobs[0], status="completed")
    assert world.evaluate() == {"opened": 0, "resolved": 1, "deliveries": 1}
    assert world.evaluate() == {"opened": 0, "resolved": 0, "deliveries": 0}
    assert (world.kinds(), [alert["status"] for alert in world.alerts()]) == (["firing", "recovery"], ["resolved"])


def test_an_attempt_that_is_retried_and_a_rehearsal_are_no_failures(world, channel):
    """Nor is a run of another tenant, nor a delivery of alerts itself, which would never end."""
    world.rule()
    job = world.job()
    world.end(job, due="2026-01-05Z")
    world.end(job, due="2026-01-05Z", attempt=2, status="completed")
    world.end(job, test=True)
    world.end(world.job("alert_delivery"))
    world.end(world.job(created_by="a0000000-0000-4000-8000-000000000001"))
    assert world.evaluate()["opened"] == 0
    world.end(job)
    assert world.evaluate()["opened"] == 1


def test_an_end_that_is_written_late_is_found(world, channel):
    """As after an hour without the database; nothing of it is left to be looked at."""
    world.rule(created_by=None)
    world.pass_time(7200)
    world.end(world.job(), at="now")
    world.evaluate()
    world.end(world.job("late"), at=world.one("select now() - interval '1 hour' as at"))
    world.evaluate()
    assert {alert["subject"] for alert in world.alerts()} == {"handler:noop", "handler:late"}
    assert world.one("select count(*) from job_scheduler.late_ends_for_alerts") == 0


def test_a_transaction_that_stays_open_delays_no_alert_of_others(world, channel):
    """And what it writes is found when it commits, once."""
    world.rule()
    job, own = world.job(), world.job("own")
    url = world.connection.info.dsn + f" password={world.connection.info.password}"

    def evaluate() -> int:
        world.connection.execute(DUE)
        opened: int = world.one(EVALUATE, Jsonb({"limit": 200_000}))["opened"]
        return opened

    world.evaluate()
    with psycopg.connect(url, row_factory=dict_row) as open_one:
        open_one.execute("select pg_current_xact_id()")
        open_one.execute(END, {**FIELDS, "jobs": [own], "status": "failed"})
        world.end(job)
        assert [evaluate(), evaluate(), evaluate()] == [1, 0, 0]
        open_one.commit()
    assert [evaluate(), evaluate()] == [1, 0]
    found = {alert["subject"]: alert["occurrences"] for alert in world.alerts()}
    assert found == {"handler:noop": 1, "handler:own": 1}


def test_what_ended_before_the_rule_was_there_is_not_its_business(world, channel):
    """Also where nobody evaluated for long, because there was no rule."""
    job = world.job()
    world.end(job)
    world.rule()
    assert world.evaluate()["opened"] == 0


def test_failing_counts_failures_in_a_row(world, channel):
    """A completion in between begins anew; a skipped instant does not count."""
    world.rule("failing", threshold=3)
    job = world.job()
    world.end(job)
    world.end(job)
    world.end(job, status="completed")
    world.end(job)
    world.end(job, status="skipped")
    world.end(job)
    assert world.evaluate()["opened"] == 0
    world.end(job)
    assert world.evaluate()["opened"] == 1
    (alert,) = world.alerts()
    assert (alert["message"], alert["occurrences"]) == ("a job failed 3 times in a row", 1)
    world.end(job, status="completed")
    assert world.evaluate()["resolved"] == 1


def test_a_rule_of_a_job_or_a_handler_looks_at_no_other(world, channel):
    """Each has its subject."""
    job, other, third = world.job(), world.job(), world.job("other")
    world.rule(scheduled_job_id=job)
    world.rule(handler="other")
    world.end(other)
    assert world.evaluate()["opened"] == 0
    world.end(job, third)
    world.evaluate()
    assert {alert["subject"] for alert in world.alerts()} == {f"job:{job}", "handler:other"}


def test_a_late_and_a_long_run_are_found(world, channel):
    """By what the ledger says; the next run that is not, ends it."""
    world.rule("late", threshold=10)
    world.rule("long_running", threshold=20)
    job = world.job()
    world.end(job, status="completed", lateness=5_000.0, duration=5_000.0)
    assert world.evaluate()["opened"] == 0
    world.end(job, status="completed", lateness=15_000.0)
    world.end(job, status="failed", duration=25_000.0)
    world.evaluate()
    found = {alert["condition"]: (alert["message"], alert["occurrences"]) for alert in world.alerts()}
    assert found == {"late": ("a run began 15.0 s late", 1), "long_running": ("a run has taken 25 s", 1)}
    world.end(job, status="completed")
    world.evaluate()
    assert [alert["status"] for alert in world.alerts()] == ["resolved", "resolved"]


def test_a_run_is_long_while_it_runs(world, channel):
    """It is one occurrence, however often it is seen, and also when it has ended."""
    world.rule("long_running", threshold=20)
    (run,) = world.end(world.job(), status="running", at="infinity")
    running = "update public.job_executions set completed_at = null, lease_expires_at = now() + interval '1 hour'"
    world.connection.execute(f"{running}, started_at = now() - interval '25 seconds'")
    world.evaluate()
    world.evaluate()
    (alert,) = world.alerts()
    assert (alert["status"], alert["occurrences"], alert["last_execution_id"]) == ("firing", 1, run)
    world.connection.execute(
        "update public.job_executions set status = 'completed', lease_expires_at = null, completed_at = now(),"
        " duration_ms = 26000"
    )
    world.evaluate()
    world.evaluate()
    (alert,) = world.alerts()
    assert (alert["status"], alert["occurrences"]) == ("resolved", 1)


def test_an_instant_without_a_run_is_missed(world, channel):
    """Until it is over; what was dropped because nobody ran it was missed too."""
    world.rule("missed", threshold=30)
    job = world.job()
    move = "update public.scheduled_jobs set next_run_at = now() - make_interval(secs => %s) where id = %s"
    world.as_service(move, [10, job])
    assert world.evaluate()["opened"] == 0
    world.as_service(move, [40, job])
    assert world.evaluate()["opened"] == 1
    assert world.evaluate()["resolved"] == 0
    world.as_service(move, [-40, job])
    assert world.evaluate()["resolved"] == 1
    world.end(
        world.job("dropped"),
        status="skipped",
        reason="misfire",
        due=world.one("select now() - interval '1 hour' as at"),
    )
    world.evaluate()
    assert [alert["subject"] for alert in world.alerts() if alert["status"] == "firing"] == ["handler:dropped"]


def test_a_backlog_is_reported_with_its_size(world, channel):
    """And resolved when fewer wait."""
    world.rule("backlog", threshold=2)
    for _ in range(3):
        world.add("scheduled_jobs", handler="noop")
    assert world.evaluate()["opened"] == 1
    (alert,) = world.alerts()
    assert (alert["subject"], alert["message"], alert["occurrences"]) == ("all", "3 due jobs wait", 3)
    world.connection.execute("update public.scheduled_jobs set status = 'cancelled'")
    assert world.evaluate()["resolved"] == 1


def test_a_handler_that_no_listener_has_is_reported(world, channel):
    """The listeners note it; so is a time in which none evaluated."""
    world.rule("no_listener", threshold=60)
    world.add("scheduled_jobs", handler="rare", run_date=world.one("select now() - interval '1 minute' as at"))
    missing = "insert into job_scheduler.missing_handlers (name, since) values ('rare', now() - interval '2 minutes')"
    world.connection.execute(missing)
    assert world.evaluate()["opened"] == 1
    world.connection.execute("truncate job_scheduler.missing_handlers")
    assert world.evaluate()["resolved"] == 1
    world.pass_time(600)
    world.connection.execute("update job_scheduler.alert_cursor set evaluated_at = now() - interval '5 minutes'")
    late, next_one = world.evaluate(), world.evaluate()  # the first may consist of several
    assert [alert["subject"] for alert in world.alerts()] == ["handler:rare", "all"]
    assert (late["opened"], late["resolved"] + next_one["resolved"]) == (1, 1)


def test_within_the_cool_down_nothing_is_reported_again(world, channel):
    """A job that fails again is notified of when it is over, if it fails still; one that recovers meanwhile never."""
    world.rule(cooldown_seconds=600)
    job = world.job()
    for status in ("failed", "completed", "failed", "completed", "failed"):
        world.end(job, status=status)
        world.evaluate()
    (alert,) = world.alerts()
    assert (alert["status"], alert["occurrences"], world.kinds()) == ("firing", 3, ["firing", "recovery"])
    world.pass_time(601)
    world.evaluate()
    assert world.kinds() == ["firing", "recovery", "firing"]


def test_another_job_that_fails_long_after_the_first_is_reported(world, channel):
    """The first notification did not name it; of the same job nothing is sent again."""
    world.rule(cooldown_seconds=600)
    first, second = world.job(), world.job()
    world.end(first)
    world.evaluate()
    world.pass_time(601)
    world.end(first)
    world.evaluate()
    assert world.kinds() == ["firing"]
    world.end(second)
    world.evaluate()
    assert world.kinds() == ["firing", "repeat"]


def test_a_firing_alert_is_repeated_until_somebody_acknowledges_it(world, channel):
    """Then its recovery is all that is sent."""
    world.rule(repeat_seconds=60)
    job = world.job()
    world.end(job)
    world.evaluate()
    world.evaluate()
    assert world.kinds() == ["firing"]
    world.pass_time(61)
    world.evaluate()
    assert world.kinds() == ["firing", "repeat"]
    world.one("select (public.acknowledge_alert(id)).id from public.job_alerts")
    world.pass_time(61)
    world.evaluate()
    assert world.kinds() == ["firing", "repeat"]
    world.end(job, status="completed")
    world.evaluate()
    assert world.kinds() == ["firing", "repeat", "recovery"]


def test_a_muted_rule_reports_later_what_fires_still(world, channel):
    """Nothing is sent of an alert that is over by then."""
    rule, job = world.rule(), world.job()
    world.one("select (public.mute_alert_rule(%s, 60)).id", rule)
    world.end(job)
    world.evaluate()
    world.end(job, status="completed")
    world.evaluate()
    world.end(job)
    world.evaluate()
    assert (world.kinds(), len(world.alerts())) == ([], 2)
    world.one("select (public.mute_alert_rule(%s, 0)).id", rule)
    world.evaluate()
    assert world.kinds() == ["firing"]


def test_no_recovery_is_reported_where_the_rule_says_so_or_is_disabled(world, channel):
    """The alert is resolved all the same."""
    quiet, disabled = world.rule(notify_recovery=False), world.rule()
    job = world.job()
    world.end(job)
    world.evaluate()
    world.connection.execute("update public.job_alert_rules set enabled = false where id = %s", [disabled])
    world.end(job, status="completed")
    world.evaluate()
    assert world.kinds() == ["firing", "firing"]
    assert {(alert["rule_id"], alert["status"]) for alert in world.alerts()} == {
        (quiet, "resolved"),
        (disabled, "resolved"),
    }


def test_jobs_that_failed_for_good_count_until_others_complete(world, channel):
    """One-time jobs do not come back: the alert of their handler ends once others complete after a while."""
    world.rule(cooldown_seconds=60)
    once = {"trigger_type": "once", "schedule": {}}
    job = world.job(**once)
    world.end(job)
    with world.connection.transaction():
        world.connection.execute("select set_config('job_scheduler.stage', 'service', true)")
        world.connection.execute("update public.scheduled_jobs set status = 'running' where id = %s", [job])
        world.connection.execute(
            "update public.scheduled_jobs set status = 'failed', next_run_at = null where id = %s", [job]
        )
    world.evaluate()
    world.pass_time(61)
    assert world.evaluate()["resolved"] == 0
    world.end(world.job("other", **once), status="completed")
    assert world.evaluate()["resolved"] == 0
    world.end(world.job(**once), status="completed")
    assert world.evaluate()["resolved"] == 1
    assert world.one("select count(*) from job_scheduler.troubled_jobs") == 0


def test_of_several_evaluators_one_evaluates(world, channel):
    """All of them together open each alert once, and send it once."""
    world.rule()
    url = world.connection.info.dsn + f" password={world.connection.info.password}"
    world.end(*[world.job(f"h{number}") for number in range(20)])

    def evaluate(_: int) -> int:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as own:
            own.execute(DUE)
            answer: int = own.execute(EVALUATE, [Jsonb({"limit": 1000})]).fetchone()["answer"]["opened"]
            return answer

    with ThreadPoolExecutor(4) as pool:
        opened = sum(pool.map(evaluate, range(12)))
    world.evaluate()
    assert (opened, len(world.kinds()), len(world.alerts())) == (20, 20, 20)


def test_an_evaluation_within_ten_seconds_of_another_does_nothing(world, channel):
    """It says how long to wait."""
    world.rule()
    world.evaluate()
    world.end(world.job())
    answer = world.one(EVALUATE, Jsonb({"limit": 1000}))
    assert (answer["opened"], 0 < answer["wait_seconds"] <= 10) == (0, True)


def test_few_transactions_at_a_time_find_the_same(world, channel):
    """As when an evaluation took too long."""
    world.rule()
    for _ in range(5):
        world.end(world.job())
    world.evaluate(limit=2)
    (alert,) = world.alerts()
    assert (alert["occurrences"], world.kinds()) == (5, ["firing"])


def test_why_nothing_was_sent_is_kept(world):
    """No channel, one that is disabled, an address that is not confirmed, a quota."""
    rule = world.rule()
    job = world.job()
    reasons = "select error from public.job_alert_deliveries where status = 'skipped' order by error"
    world.end(job)
    world.evaluate()
    assert [row["error"] for row in world.connection.execute(reasons)] == ["the rule has no channel"]
    world.connection.execute("truncate public.job_alert_deliveries")
    disabled, unconfirmed, good = (
        world.channel(enabled=False),
        world.channel("b@example.com"),
        world.channel("c@example.com"),
    )
    world.connection.execute("update public.job_alert_channels set confirmed_at = null where id = %s", [unconfirmed])
    world.rule(channel_ids=[good])
    world.connection.execute("delete from public.job_alert_rules where id = %s", [rule])
    world.rule(channel_ids=[disabled, unconfirmed, good], scheduled_job_id=job)
    world.end(job)
    world.evaluate()
    assert [row["error"] for row in world.connection.execute(reasons)] == [
        "the address is not confirmed",
        "the channel is disabled",
    ]
    assert world.kinds() == ["firing", "firing"]


def test_a_tenants_messages_in_an_hour_are_bounded(world):
    """Those beyond the quota are not sent, and say so."""
    owner = "a0000000-0000-4000-8000-000000000001"
    world.channel(created_by=owner)
    world.rule(created_by=owner)
    limit = "update job_scheduler.limits set value = %s where name = 'quota_max_alert_deliveries_per_hour'"
    world.connection.execute(limit, [3])
    try:
        world.end(*[world.job(f"h{number}", created_by=owner) for number in range(5)])
        world.evaluate()
    finally:
        world.connection.execute(limit, [200])
    statuses = world.connection.execute("select status, error from public.job_alert_deliveries").fetchall()
    assert sorted(row["status"] for row in statuses) == ["queued"] * 3 + ["skipped"] * 2
    assert {row["error"] for row in statuses} == {None, "quota max_alert_deliveries_per_hour: limit 3"}


def test_a_delivery_is_a_job_of_the_service(world, channel):
    """Its end is the delivery's end; a job that could not be made is made later."""
    owner = "a0000000-0000-4000-8000-000000000001"
    world.channel(created_by=owner)
    world.rule(created_by=owner)
    world.end(world.job(created_by=owner))
    world.evaluate()
    query = "select * from public.scheduled_jobs where id = any(array(select scheduled_job_id from public.{}))"
    (row,) = world.connection.execute(query.format("job_alert_deliveries")).fetchall()
    assert (row["handler"], row["created_by"], row["workspace_id"]) == ("alert_delivery", None, None)
    world.connection.execute("update public.job_alert_deliveries set scheduled_job_id = null")
    world.connection.execute("delete from public.scheduled_jobs where id = %s", [row["id"]])
    world.evaluate()
    assert world.one("select count(*) from public.job_alert_deliveries where scheduled_job_id is not null") == 1
    world.connection.execute("update public.scheduled_jobs set status = 'cancelled' where handler = 'alert_delivery'")
    world.evaluate()
    assert world.one("select status from public.job_alert_deliveries") == "failed"


def test_a_rule_goes_with_its_job(world, channel):
    """And with it its alerts."""
    job = world.job()
    world.rule(scheduled_job_id=job)
    world.end(job)
    world.evaluate()
    world.connection.execute("delete from public.scheduled_jobs where id = %s", [job])
    world.evaluate()
    assert (world.one("select count(*) from public.job_alert_rules"), world.alerts()) == (0, [])


def test_what_is_old_is_deleted(world, channel):
    """Alerts that were resolved, and deliveries, after ninety days."""
    world.rule()
    job = world.job()
    world.end(job)
    world.evaluate()
    world.end(job, status="completed")
    world.evaluate()
    world.pass_time(91 * 86400)
    world.one("select public.clean_ledger_v1(%s)", Jsonb({"retention_days": 7, "limit": 100}))
    assert (world.alerts(), world.kinds()) == ([], [])


def test_evaluations_that_begin_together_count_each_failure_once(world, channel):
    """What commits while an evaluation goes on is the next one's, though its statements see it."""
    world.rule()
    job = world.job()
    url = world.connection.info.dsn + f" password={world.connection.info.password}"

    def evaluate() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(ROUNDS):
                connection.execute(DUE)
                connection.execute(EVALUATE, [Jsonb({"limit": 200_000})])

    with ThreadPoolExecutor(EVALUATORS) as threads:
        evaluators = [threads.submit(evaluate) for _ in range(EVALUATORS)]
        failures = 0
        while not all(each.done() for each in evaluators):
            failures += len(world.end(job))
        assert [each.result() for each in evaluators] == [None] * EVALUATORS
    world.evaluate()
    assert [alert["occurrences"] for alert in world.alerts()] == [failures]
