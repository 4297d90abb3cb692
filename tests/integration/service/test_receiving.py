"""Changes are never lost, whichever channel reports them and whenever they are committed."""

from __future__ import annotations

import psycopg
import pytest
from patience import allowed

STALE = {"channels": "", "stale_poll_seconds": 0.3, "relist_seconds": 600}
FILL = "insert into public.scheduled_jobs (handler, name, run_date) select 'noop', %s, %s from generate_series(1, 1500)"
ENDED = "select count(*) as n from public.scheduled_jobs where name = %s and status = 'completed'"

BEYOND = "select clock_timestamp() < due_at - interval '5 s' as is_beyond from public.scheduled_jobs where id = %s"
PATIENT = 60
"""Seconds for whatever must come; what is not received comes ten minutes later, or never."""


EACH_CHANNEL = [("postgrest", name) for name in ("broadcast", "postgres_changes", "")]


@pytest.mark.parametrize(
    ("way", "channel"),
    [*EACH_CHANNEL, ("direct", "notify")],
    ids=lambda name: name or "polling",
    indirect=["way"],
)
def test_each_way_of_hearing_is_enough(project, listeners, channel) -> None:
    """New jobs, edits, cancellations and runs on demand are received by either channel alone, or by polling."""
    never = {"poll_seconds": 600, "relist_seconds": 600}
    listeners.start(**never, channels=channel, stale_poll_seconds=600 if channel else 0.2, lease_seconds=3600)
    assert project.wait(project.insert(), within=PATIENT)["status"] == "completed"
    moved = project.insert(run_date=project.soon(3600))
    project.update(moved, run_date=project.soon(0))
    assert project.wait(moved, within=PATIENT)["status"] == "completed"
    recurring = project.insert(trigger_type="interval", schedule={"seconds": 1}, max_runs=1)
    assert project.wait(recurring, within=PATIENT)["status"] == "completed"
    stopped = project.insert("rest", metadata={"seconds": 200})
    project.wait(stopped, "running", within=PATIENT)
    project.update(stopped, status="cancelled")
    assert project.wait_for_runs(stopped, 1, within=PATIENT)[0]["reason"] == "cancelled"
    project.call("run_job_now", job=moved)
    project.wait_for_runs(moved, 2, within=PATIENT)


def test_a_transaction_of_many_rows_is_seen_to_its_last_row(project, listeners, eventually) -> None:
    """1,500 rows that one transaction inserts, and that another one moves, in more than one page of a poll."""
    listeners.start(**STALE)
    project.sql.execute(FILL, ["new", project.soon(0)])
    eventually(lambda: project.rows(ENDED, "new")[0]["n"] == 1500, "all new rows ran", PATIENT)
    project.sql.execute(FILL, ["moved", project.soon(3600)])
    project.sql.execute("update public.scheduled_jobs set run_date = now() where name = 'moved'")
    eventually(lambda: project.rows(ENDED, "moved")[0]["n"] == 1500, "all moved rows ran", PATIENT)


def test_a_transaction_that_commits_late_is_not_overlooked(project, listeners, embedded_stack) -> None:
    """Its rows are older than others that were seen, by id, by time and by transaction, and yet run at once."""
    listeners.start(**STALE)
    with psycopg.connect(embedded_stack.admin_dsn) as slow:
        (late,) = slow.execute("insert into public.scheduled_jobs (handler) values ('noop') returning id").fetchone()
        for _ in range(4):
            assert project.wait(project.insert(), within=PATIENT)["status"] == "completed"
            project.sql.execute("select pg_sleep(0.3)")
        assert project.rows("select id from public.scheduled_jobs where id = %s", late) == []
        slow.commit()
        assert project.wait(late, within=PATIENT)["status"] == "completed"


def test_a_transaction_that_began_earlier_may_write_a_row_last(project, listeners, embedded_stack) -> None:
    """Its changes count, although another transaction that began later has written the row before."""
    listeners.start(**STALE)
    job = project.insert(run_date=project.soon(3600))
    with psycopg.connect(embedded_stack.admin_dsn) as slow:
        slow.execute("insert into public.scheduled_jobs (handler) values ('noop')")
        project.update(job, run_date=project.soon(60))
        project.sql.execute("select pg_sleep(0.8)")
        slow.execute("update public.scheduled_jobs set run_date = now() where id = %s", [job])
    assert project.wait(job, within=PATIENT)["status"] == "completed"


def test_a_job_beyond_the_horizon_is_loaded_in_time(project, listeners) -> None:
    """It is not kept in memory before, and runs on time by a later sweep."""
    listener = listeners.start(**STALE, horizon_seconds=5)
    job = project.insert(run_date=project.soon(9))
    project.sql.execute("select pg_sleep(0.8)")
    armed = listener.describe()["jobs_armed"]
    (later,) = project.rows(BEYOND, job)
    assert armed == 0 or not later["is_beyond"]
    project.wait(job, within=PATIENT)
    (run,) = project.ledger(job)
    assert 0 <= run["lateness_ms"] < allowed(500, 5000)
