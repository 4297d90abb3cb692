"""A project that sets its roles otherwise has its jobs run all the same, through PostgREST and by a listener."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import httpx
import pytest
from patience import until
from psycopg import sql

from listener.domain.job import Trigger, TriggerType
from listener.domain.schedule import first_run

ROLES = ("service_role", "authenticated")
KATHMANDU = timedelta(hours=5, minutes=45)
SETTINGS = {
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "search_path": "nowhere",
    "default_transaction_isolation": "repeatable read",
    "statement_timeout": "8s",
}
RUNS = {
    "once": {},
    "interval": {"seconds": 1},
    "cron": {"expression": "* * * * * *"},
}
WAITS = {
    "daily": {"time": "08:30"},
    "weekly": {"time": "10:00", "days": ["monday", "friday"]},
    "monthly": {"time": "09:00", "days": [1, -1]},
}
RAN = "select id from public.scheduled_jobs where id = %s and total_runs > 0 and failed_runs = 0"
PLANNED = "select due_at from public.scheduled_jobs where id = %s and is_planned"


@pytest.fixture
def set_roles(project):
    """Set the roles, and let PostgREST apply that; all is as before after the test."""

    def change(query, offset):
        for role in ROLES:
            for name, value in SETTINGS.items():
                given = sql.SQL(value) if name == "DateStyle" else sql.Literal(value)
                project.sql.execute(sql.SQL(query).format(sql.Identifier(role), sql.Identifier(name), given))
        project.sql.execute("notify pgrst, 'reload config'")
        seen = lambda: project.client.table("scheduled_jobs").select("created_at").eq("id", probe).execute().data  # noqa: E731
        until(lambda: datetime.fromisoformat(seen()[0]["created_at"]).utcoffset() == offset, "PostgREST has it")

    probe = project.insert(status="paused")
    try:
        change("alter role {} set {} = {}", KATHMANDU)
        yield
    finally:
        change("alter role {} reset {} --{}", timedelta(0))


def test_jobs_of_each_trigger_live_as_usual(project, listeners, embedded_stack, set_roles) -> None:
    """They run, or wait for the instants that they should."""
    headers = {
        "apikey": embedded_stack.anon_key,
        "Authorization": f"Bearer {embedded_stack.user_token('alice')}",
        "Prefer": "return=representation",
    }
    rows = [
        {"handler": "noop", "trigger_type": trigger, "schedule": schedule, "timezone": "America/New_York"}
        for trigger, schedule in (RUNS | WAITS).items()
    ]
    listeners.start()
    with httpx.Client(base_url=f"{embedded_stack.url}/rest/v1", headers=headers, timeout=20) as alice:
        inserted = alice.post("/scheduled_jobs", json=rows)
        assert inserted.status_code == 201, inserted.text
        jobs = {row["trigger_type"]: row for row in inserted.json()}
    for trigger in RUNS:
        until(partial(project.rows, RAN, jobs[trigger]["id"]), f"{trigger} runs")
    for trigger, schedule in WAITS.items():
        job = jobs[trigger]
        (row,) = until(partial(project.rows, PLANNED, job["id"]), f"{trigger} is planned")
        begin = datetime.fromisoformat(job["run_date"])
        assert begin.utcoffset() == KATHMANDU
        assert row["due_at"] == first_run(Trigger(TriggerType(trigger), begin, schedule, job["timezone"]), begin)
