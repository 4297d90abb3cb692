"""Every run that ended is counted once in the figures of its hour, whoever counts and whenever it commits."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from patience import until
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Callable

END = """
    insert into public.job_executions (
        scheduled_job_id, scheduled_for, cause, attempt, status, started_at, completed_at, duration_ms, lateness_ms
    )
    values (%s, clock_timestamp(), 'schedule', 1, %s, now(), {}, 20, 5)
    returning id
"""
HORIZON = "select horizon::text::bigint as xid from job_scheduler.activity_cursor"
TOTAL = """
    select
        coalesce(sum(completed), 0)::int as completed, coalesce(sum(failed), 0)::int as failed,
        coalesce(sum(retried), 0)::int as retried, coalesce(sum(skipped), 0)::int as skipped
    from public.job_activity
"""


@pytest.fixture
def counted(database: psycopg.Connection[dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Give what counts all that has ended, and then reads the sums; nothing of earlier tests is left."""

    def count() -> dict[str, Any]:
        present = database.execute("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as xid").fetchone()
        horizon = lambda: roll_up(database) and database.execute(HORIZON).fetchone()  # noqa: E731
        # A transaction of others may be open, autovacuum's for example.
        until(lambda: horizon()["xid"] >= present["xid"], "no older transaction is open")
        return database.execute(TOTAL).fetchone()

    count()
    database.execute("truncate public.job_activity")
    return count


def roll_up(connection: psycopg.Connection[Any], limit: int = 100_000) -> dict[str, Any]:
    """Count; what the function answers."""
    query = "select public.roll_up_activity_v1(jsonb_build_object('limit', %s::bigint)) as answer"
    return connection.execute(query, [limit]).fetchone()["answer"]


def a_job(connection: psycopg.Connection[Any], handler: str = "noop") -> int:
    """Insert a job that is due in years."""
    query = "insert into public.scheduled_jobs (handler, run_date) values (%s, '2999-01-01') returning id"
    return connection.execute(query, [handler]).fetchone()["id"]


def end(connection: psycopg.Connection[Any], job: int, status: str = "completed", at: str = "now()") -> Any:
    """Enter the end of a run."""
    return connection.execute(END.format(at), [job, status]).fetchone()["id"]


def test_runs_are_counted_by_tenant_handler_and_hour(database, counted):
    """A retried attempt is no failure; sums and extremes are kept too."""
    job = a_job(database)
    for status in ("completed", "completed", "skipped", "failed"):
        end(database, job, status)
    run = end(database, job, "failed")
    database.execute(
        "insert into public.job_executions (scheduled_job_id, scheduled_for, cause, attempt)"
        " select scheduled_job_id, scheduled_for, cause, 2 from public.job_executions where id = %s",
        [run],
    )
    assert counted() == {"completed": 2, "failed": 1, "retried": 1, "skipped": 1}
    [row] = database.execute(
        "select *, hour = date_trunc('hour', now(), 'UTC') as now from public.job_activity"
    ).fetchall()
    assert (row["handler"], row["workspace_id"], row["created_by"]) == ("noop", None, None)
    assert (row["duration_ms"], row["longest_ms"], row["lateness_ms"], row["latest_ms"]) == (100, 20, 25, 5)


def test_a_second_count_adds_nothing(database, counted):
    """Nor does a write of another row by the same transaction."""
    end(database, a_job(database))
    assert counted()["completed"] == 1
    assert counted()["completed"] == 1


def test_a_run_that_commits_late_is_counted_once(migrated_database, database, counted):
    """An older transaction is open while younger ones are counted or wait for it: a cursor of times would lose one."""
    job = a_job(database)
    with psycopg.connect(migrated_database, row_factory=dict_row) as slow:
        end(slow, job)
        end(database, job)
        roll_up(database)
        with slow.transaction():  # a subtransaction has a greater id than its parent
            end(slow, job)
        end(database, job)
        roll_up(database)
        assert database.execute(TOTAL).fetchone()["completed"] <= 2, "of what is not committed, nothing"
        slow.commit()
    end(database, job)
    assert counted()["completed"] == 5
    assert counted()["completed"] == 5


def test_the_first_page_shows_a_run_before_it_is_counted_and_as_often_afterwards(database, counted):
    """A run that ends while the figures stand still is added to them; a workspace sees its own."""
    team = str(uuid.uuid4())
    query = "insert into public.scheduled_jobs (handler, run_date, workspace_id) values ('noop', '2999-01-01', %s)"
    job = database.execute(f"{query} returning id", [team]).fetchone()["id"]
    insert = END.replace("scheduled_job_id,", "workspace_id, scheduled_job_id,").replace("(%s,", f"('{team}', %s,")
    for status in ("completed", "completed", "failed", "cancelled", "skipped"):
        database.execute(insert.format("now()"), [job, status])
    end(database, a_job(database))

    def shown() -> list[int]:
        query = "select public.dashboard_overview(%s) -> 'outcomes' as outcomes"
        hours = database.execute(query, [team]).fetchone()["outcomes"]
        return [sum(hour[status] for hour in hours) for status in ("completed", "failed", "cancelled", "skipped")]

    assert shown() == [2, 1, 1, 1]
    counted()
    assert shown() == [2, 1, 1, 1]
    database.execute(insert.format("now()"), [job, "completed"])
    assert shown() == [3, 1, 1, 1]


@pytest.mark.parametrize(
    "at", ["now() - interval '3 days'", "now() - interval '61 seconds'", "now() + interval '1 minute'"]
)
def test_an_end_that_is_written_long_after_it_happened_is_counted_in_its_hour(database, counted, at: str):
    """A listener keeps results while the database is away; a clock may be ahead."""
    end(database, a_job(database), at=at)
    assert counted()["completed"] == 1
    assert counted()["completed"] == 1
    query = f"select hour = date_trunc('hour', {at}, 'UTC') as right from public.job_activity"  # noqa: S608 - ours
    assert database.execute(query).fetchone() == {"right": True}
    assert database.execute("select count(*) as n from job_scheduler.late_ends").fetchone() == {"n": 0}


def test_listeners_that_count_at_once_count_each_run_once(migrated_database, database, counted):
    """One of them counts, the others return at once, and no run of those that end meanwhile is lost."""
    job = a_job(database)
    ended, stop = [0], threading.Event()

    def work(_: int) -> None:
        with psycopg.connect(migrated_database, autocommit=True, row_factory=dict_row) as connection:
            while not stop.is_set():
                roll_up(connection, 7)

    with ThreadPoolExecutor(3) as pool:
        list_of = [pool.submit(work, number) for number in range(3)]
        for _ in range(200):
            end(database, job)
            ended[0] += 1
        stop.set()
        for each in list_of:
            each.result()
    assert counted()["completed"] == ended[0]


def test_much_is_counted_in_parts(database, counted):
    """As many transactions as one request can bear; the answer says that more are left."""
    job = a_job(database)
    for _ in range(5):
        end(database, job)
    answers = [roll_up(database, 2)]
    while answers[-1]["more"]:
        answers.append(roll_up(database, 2))
    assert len(answers) >= 3
    assert counted()["completed"] == 5


def test_a_restored_database_goes_on_from_where_its_counter_is(database, counted):
    """In another cluster transactions begin at a lower id; what is there was counted, and what ends then will be."""
    job = a_job(database)
    end(database, job)
    before = counted()["completed"]
    database.execute("update job_scheduler.activity_cursor set horizon = '900000000000', next_xid = '900000000001'")
    roll_up(database)
    assert counted()["completed"] == before
    end(database, job)
    assert counted()["completed"] == before + 1


def test_figures_are_kept_for_ninety_days(database, counted):
    """And no longer."""
    for days in (89, 91):
        database.execute(
            "insert into public.job_activity (tenant_id, hour, handler)"
            " values (gen_random_uuid(), now() - make_interval(days => %s), 'noop')",
            [days],
        )
    counted()
    [row] = database.execute("select hour > now() - interval '90 days' as young from public.job_activity").fetchall()
    assert row == {"young": True}
