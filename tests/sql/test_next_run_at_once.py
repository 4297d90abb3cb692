"""The answer to a write says when the job runs next, where the database can know it: once, or each so many seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from listener.clock import DatabaseClock
from listener.domain.job import Trigger, TriggerType
from listener.domain.schedule import first_run

if TYPE_CHECKING:
    import httpx
    import psycopg

NOW = DatabaseClock().now()
SQL = """
select job_scheduler.first_multiple(jsonb_populate_record(null::public.scheduled_jobs, jsonb_build_object(
    'run_date', %s::timestamptz, 'schedule', jsonb_build_object('seconds', %s::numeric), 'defined_at', %s::timestamptz
))) as due
"""
INSTANTS = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - zones come with it
SECONDS = st.one_of(
    st.integers(1, 315_360_000), st.decimals(1, 100_000, places=6), st.sampled_from([1, 0.5 + 1, 86400, 1.000001])
)


def written(client: httpx.Client, **row: Any) -> dict[str, Any]:
    """Insert a job; the answer."""
    answer = client.post("/scheduled_jobs", json={"handler": "noop", **row})
    assert answer.status_code == 201, answer.text
    return answer.json()[0]


def changed(client: httpx.Client, job: dict[str, Any], **row: Any) -> dict[str, Any]:
    """Change a job; the answer."""
    return client.patch("/scheduled_jobs", params={"id": f"eq.{job['id']}"}, json=row).json()[0]


def expected(job: dict[str, Any]) -> datetime | None:
    """Compute it as a listener does."""
    trigger = Trigger(TriggerType(job["trigger_type"]), datetime.fromisoformat(job["run_date"]), job["schedule"])
    return first_run(trigger, datetime.fromisoformat(job["defined_at"]))


@pytest.mark.parametrize("ago", [-3600, 0, 1, 59.999999, 60, 3600, 86400 * 365])
@pytest.mark.parametrize("seconds", [1, 2.5, 60, 315_000_000])
def test_an_interval_is_answered_with_its_next_instant(alice: httpx.Client, ago: float, seconds: float):
    """When it is inserted, gets another time, is resumed, and runs again."""
    start = (NOW - timedelta(seconds=ago)).isoformat()
    job = written(alice, trigger_type="interval", schedule={"seconds": seconds}, run_date=start)
    assert datetime.fromisoformat(job["next_run_at"]) == expected(job)
    job = changed(alice, job, schedule={"seconds": seconds + 0.25}, timezone="Europe/Berlin")
    assert datetime.fromisoformat(job["next_run_at"]) == expected(job)
    assert changed(alice, job, status="paused")["next_run_at"] is None
    resumed = changed(alice, job, status="scheduled")
    assert resumed["next_run_at"] == job["next_run_at"]
    changed(alice, job, status="cancelled")
    again = changed(alice, job, status="scheduled")
    assert datetime.fromisoformat(again["next_run_at"]) == expected(again)


def test_a_job_that_runs_once_is_answered_with_its_time(alice: httpx.Client):
    """Also when it is moved."""
    job = written(alice, run_date="2030-01-01T00:00:00+00:00")
    assert job["next_run_at"] == job["run_date"]
    moved = changed(alice, job, run_date="2031-01-01T00:00:00+00:00")
    assert moved["next_run_at"] == "2031-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "row",
    [
        {"trigger_type": "daily", "schedule": {"time": "08:00"}},
        {"trigger_type": "cron", "schedule": {"expression": "0 9 * * *"}},
        {"trigger_type": "interval", "schedule": {"seconds": 60}, "status": "paused"},
        {"trigger_type": "interval", "schedule": {"seconds": 1.0000005}},
    ],
    ids=str,
)
def test_other_schedules_are_answered_with_null_until_the_service_has_planned_them(alice: httpx.Client, row):
    """So is a paused job, and an interval finer than the database's clock."""
    assert written(alice, **row)["next_run_at"] is None


def test_an_interval_that_has_ended_is_left_to_the_service(alice: httpx.Client):
    """The service ends such a job."""
    past = {"run_date": (NOW - timedelta(hours=2)).isoformat(), "ends_at": (NOW - timedelta(hours=1)).isoformat()}
    job = written(alice, trigger_type="interval", schedule={"seconds": 60}, **past)
    assert (job["next_run_at"], job["is_planned"]) == (None, False)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run_date=INSTANTS, defined_at=INSTANTS, seconds=SECONDS)
def test_the_database_computes_the_instant_that_a_listener_computes(
    database: psycopg.Connection[Any], run_date: datetime, defined_at: datetime, seconds: Any
):
    """To the microsecond."""
    due = database.execute(SQL, (run_date, seconds, defined_at)).fetchone()["due"]
    assert due == first_run(Trigger(TriggerType.INTERVAL, run_date, {"seconds": float(seconds)}), defined_at)
