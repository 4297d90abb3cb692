"""Plans are replaced by those of a newer zone database only, and only where nothing else has changed them."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from answered_rows import jobs_of

Database = psycopg.Connection[dict[str, Any]]
OLD, NEW, NEWEST = "2025b", "2026a", "2026b"
A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
DAILY = """
    insert into public.scheduled_jobs (handler, trigger_type, schedule, timezone)
    values ('noop', %s, %s, %s) returning id, revision
"""
ROW = "select *, due_at::text as due from public.scheduled_jobs where id = %s"


@pytest.fixture
def zones(database: Database) -> Database:
    """The database, where no listener has been."""
    database.execute("truncate job_scheduler.zone_databases, job_scheduler.planned_by, public.job_listeners")
    return database


def call(database: Database, function: str, **request: Any) -> dict[str, Any]:
    """Call a function as a listener does."""
    query = f"select public.{function}(%s::jsonb) as answer"
    return database.execute(query, [json.dumps(request, default=str)]).fetchone()["answer"]


def note(database: Database, listener: str, version: str, replanned: str | None = None) -> tuple[str, bool]:
    """Note the version of a listener; the oldest that plans may be by, and whether an older listener is alive."""
    answer = call(database, "zone_database_v1", listener=listener, version=version, replanned=replanned)
    return answer["planned_by"], answer["older"]


def planned(database: Database, trigger: str = "daily", timezone: str = "Europe/Berlin") -> dict[str, Any]:
    """Insert a job that is planned for tomorrow; its row."""
    schedule = {"daily": '{"time": "08:00"}', "interval": '{"seconds": 60}', "once": "{}"}[trigger]
    job = database.execute(DAILY, [trigger, schedule, timezone]).fetchone()
    if trigger == "daily":
        (due,) = database.execute("select now() + interval '1 day' as due").fetchone().values()
        call(database, "plan_jobs_v1", plans=[{**job, "due": due.isoformat()}])
    return database.execute(ROW, [job["id"]]).fetchone()


def replan(database: Database, job: dict[str, Any], **changes: Any) -> int:
    """Let the instant of a job be an hour later; of how many jobs it is."""
    plan = {"id": job["id"], "revision": job["revision"], "was": job["due"], "due": job["due_at"] + timedelta(hours=1)}
    return call(database, "replan_jobs_v1", plans=[{**plan, **changes}])["replanned"]


def test_a_newer_database_takes_over_when_all_is_planned_anew(zones: Database) -> None:
    """The first one has nothing to do."""
    assert note(zones, A, OLD) == (OLD, False)
    zones.execute("delete from job_scheduler.zone_databases")  # its listener went
    assert note(zones, B, NEW) == (OLD, False)
    assert note(zones, B, NEW) == (OLD, False)
    assert note(zones, B, NEW, replanned=OLD) == (NEW, False)
    assert note(zones, C, NEW) == (NEW, False)


def test_while_an_older_listener_is_alive_its_plans_count(zones: Database) -> None:
    """It is for a minute after its start, and while it sends heartbeats."""
    note(zones, A, OLD)
    assert note(zones, B, NEW, replanned=OLD) == (OLD, True)
    zones.execute("update job_scheduler.zone_databases set noted_at = now() - interval '2 minutes'")
    zones.execute("insert into public.job_listeners (id, name) values (%s, 'a')", [A])
    assert note(zones, B, NEW, replanned=OLD) == (OLD, True)
    call(zones, "leave_v1", listener=A)
    assert note(zones, B, NEW, replanned=OLD) == (NEW, False)


def test_an_older_listener_that_starts_later_is_followed_by_a_new_plan(zones: Database) -> None:
    """It plans by its database from then on, and does not undo what there is."""
    note(zones, B, NEW)
    assert note(zones, A, OLD) == (OLD, False)
    assert note(zones, B, NEW) == (OLD, True)
    assert note(zones, A, OLD, replanned=NEW) == (OLD, False)
    assert note(zones, C, NEWEST) == (OLD, True)


def test_what_was_found_by_another_may_have_changed_since(zones: Database) -> None:
    """A still older listener came and went meanwhile."""
    note(zones, A, OLD)
    zones.execute("delete from job_scheduler.zone_databases")
    assert note(zones, C, NEWEST, replanned=NEW) == (OLD, False)


def test_an_instant_is_replaced_and_the_next_poll_shows_it(zones: Database) -> None:
    """With a signal, as for other changes of jobs."""
    job = planned(zones)
    seen = call(zones, "poll_jobs_v1", cursor=1, until="2100-01-01", limit=10)["snapshot"]
    signals = zones.execute("select count(*) as count from job_scheduler.signals").fetchone()["count"]
    assert replan(zones, job) == 1
    row = zones.execute(ROW, [job["id"]]).fetchone()
    assert row["due_at"] == row["next_run_at"] == job["due_at"] + timedelta(hours=1)
    polled = jobs_of(call(zones, "poll_jobs_v1", snapshot=seen, until="2100-01-01", limit=10))
    assert [each["id"] for each in polled] == [job["id"]]
    assert zones.execute("select count(*) as count from job_scheduler.signals").fetchone()["count"] == signals + 1


def test_a_queued_run_keeps_its_time(zones: Database) -> None:
    """A manual run is earlier."""
    job = planned(zones)
    zones.execute("select public.run_job_now(%s)", [job["id"]])
    job = zones.execute(ROW, [job["id"]]).fetchone()
    assert replan(zones, job) == 1
    row = zones.execute(ROW, [job["id"]]).fetchone()
    assert row["next_run_at"] == job["next_run_at"] < row["due_at"]


@pytest.mark.parametrize(
    "change", [{"revision": 1}, {"was": "2030-01-01T00:00:00Z"}, {"id": 0}], ids=["edited", "ran", "gone"]
)
def test_a_job_that_changed_meanwhile_keeps_what_it_has(zones: Database, change: dict[str, Any]) -> None:
    """Its new instant is by another plan."""
    job = planned(zones)
    assert replan(zones, job, **change) == 0
    assert zones.execute(ROW, [job["id"]]).fetchone() == job


def test_only_what_the_rules_of_a_zone_planned_is_read_page_by_page(zones: Database) -> None:
    """Neither UTC, nor an interval, nor a job that runs once, nor one that is paused or not planned."""
    wanted = [planned(zones)["id"] for _ in range(3)]
    planned(zones, "interval")
    planned(zones, "once")
    planned(zones, timezone="UTC")
    zones.execute("update public.scheduled_jobs set status = 'paused' where id = %s", [planned(zones)["id"]])
    zones.execute(DAILY, ["daily", '{"time": "08:00"}', "Europe/Berlin"])
    found, after = [], None
    while True:
        answer = call(zones, "planned_jobs_v1", after=after, limit=2)
        found += [row["id"] for row in answer["rows"]]
        after = answer["after"]
        if after is None:
            break
    assert found == wanted
