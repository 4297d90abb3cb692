"""Settings of a project's database or roles change nothing: not the migrations, not the life of a job."""

from __future__ import annotations

import json
import re
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from answered_rows import jobs_of, runs_of
from migration import made_database, schema_text
from outline import outline_of
from psycopg import sql
from psycopg.rows import dict_row

from listener.domain.schedule import first_run
from listener.execution.claim_request import claim_request
from listener.migrate.files import migrations_folder
from listener.migrate.migrator import apply_migrations
from listener.supabase import requests, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listener.local.stack import Stack

SETTINGS = {
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "standard_conforming_strings": "off",
    "escape_string_warning": "off",
    "transform_null_equals": "on",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "xmloption": "document",
    "array_nulls": "off",
    "search_path": "nowhere",
    "row_security": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "statement_timeout": "20s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "20s",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_indexscan": "off",
    "client_min_messages": "error",
}
"""Those that a role may set for itself; none has its usual value."""
SCHEDULES = {
    "once": {},
    "interval": {"seconds": 90},
    "daily": {"time": "08:30"},
    "weekly": {"time": "10:00", "days": ["monday", "friday"]},
    "monthly": {"time": "09:00", "days": [1, -1]},
    "cron": {"expression": "*/5 22-2 * * 1-5"},
}
ME = str(uuid.uuid4())
ISSUED = ("TimeZone", "DateStyle", "IntervalStyle", "standard_conforming_strings", "statement_timeout")
Database = psycopg.Connection[dict[str, Any]]
UNTIL = "2100-01-01T00:00:00Z"
JOBS = """
    select
        status, trigger_type, run_date, schedule, due_at, next_run_at, total_runs, successful_runs, result, progress,
        error, last_run_at, last_run_duration_ms, defined_at <= now() as is_defined
    from public.scheduled_jobs order by id
"""
LEDGER = """
    select scheduled_for, cause, attempt, status, reason, progress, result, error, duration_ms
    from public.job_executions order by scheduled_job_id
"""
LOGS = "select at, level, message, fields from public.job_execution_logs"
RUN_DATE = datetime(2098, 1, 2, 3, 4, 5, 678900, UTC)


@pytest.fixture(scope="module")
def set_database(embedded_stack: Stack) -> Iterator[str]:
    """A database with these settings, migrated under them."""
    with made_database(embedded_stack) as url:
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        with psycopg.connect(embedded_stack.admin_dsn, autocommit=True) as admin:
            for setting, value in SETTINGS.items():
                change = sql.SQL("alter database {} set {} = {}")
                given = sql.SQL(value) if setting == "DateStyle" else sql.Literal(value)
                admin.execute(change.format(sql.Identifier(name), sql.Identifier(setting), given))
        apply_migrations(url, migrations_folder())
        yield url


@contextmanager
def connected(url: str, **settings: str) -> Iterator[Database]:
    """Connect to the database, empty, with these settings."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("truncate public.scheduled_jobs restart identity cascade")
        for name, value in settings.items():
            connection.execute("select set_config(%s, %s, false)", [name, value])
        yield connection


def call(database: Database, function: str, **request: Any) -> dict[str, Any]:
    """Call a function as a listener does."""
    query = f"select public.{function}(%s::jsonb) as answer"
    content = json.dumps({"listener": ME, **request}, default=datetime.isoformat)
    return database.execute(query, [content]).fetchone()["answer"]


def insert(database: Database) -> None:
    """Insert a job of each trigger."""
    query = """
        insert into public.scheduled_jobs (handler, trigger_type, schedule, run_date, timezone, metadata)
        values ('noop', %s, %s, %s, 'America/New_York', '{"ratio": 0.1234567890123456}')
    """
    for trigger, schedule in SCHEDULES.items():
        database.execute(query, [trigger, json.dumps(schedule), RUN_DATE.isoformat()])


def live(database: Database) -> None:
    """Let the jobs be planned, be claimed, report progress and end."""
    unplanned = [rows.job(each) for each in call(database, "unplanned_jobs_v1", limit=10)["rows"]]
    assert len(unplanned) == len(SCHEDULES) - 2
    plans = [{"id": job.id, "revision": job.revision, "due": first_run(job.trigger, RUN_DATE)} for job in unplanned]
    call(database, "plan_jobs_v1", plans=plans)
    assert len(jobs_of(call(database, "poll_jobs_v1", cursor=1, until=UNTIL, limit=10))) == len(SCHEDULES)
    ids = call(database, "due_jobs_v1", until=UNTIL, limit=10)["ids"]
    due = [rows.job(each) for each in jobs_of(call(database, "jobs_v1", ids=ids, limit=10))]
    claims = [requests.claim(claim_request(job, job.due_at)) for job in due]
    answered = runs_of(call(database, "claim_runs_v1", claims=claims, lease_seconds=60, ahead_seconds=10**10))
    assert [each["metadata"] for each in answered] == [{"ratio": 0.1234567890123456}] * len(SCHEDULES)
    runs = [rows.run(each) for each in answered]
    held = [{"id": run.execution_id, "fence": run.fence} for run in runs]
    call(database, "extend_leases_v1", name="me", lease_seconds=60, executions=[[*each.values()] for each in held])
    line = {"execution_id": runs[0].execution_id, "at": RUN_DATE, "level": "info", "message": "a \\ b", "fields": {}}
    call(database, "note_runs_v1", notes=[{**each, "progress": 1 / 3} for each in held], logs=[line])
    end = {"status": "completed", "started_at": RUN_DATE, "completed_at": RUN_DATE + timedelta(seconds=1)}
    results = [{**each, **end, "result": {"path": "c:\\x"}} for each in held]
    assert len(call(database, "finish_runs_v1", results=results, logs=[])["taken"]) == len(SCHEDULES)
    call(database, "rescue_runs_v1", limit=10)
    call(database, "clean_ledger_v1", retention_days=36500, limit=10)


def left_of(url: str, **settings: str) -> list[Any]:
    """Return the rows of the jobs after their lives."""
    with connected(url, **settings) as database:
        insert(database)
        live(database)
        database.execute("set extra_float_digits = 1; set datestyle = iso; set timezone = utc")
        return [database.execute(query).fetchall() for query in (JOBS, LEDGER, LOGS)]


@pytest.fixture(scope="module")
def usual(migrated_database: str) -> list[Any]:
    """Return the rows that are left without a setting."""
    return left_of(migrated_database)


@pytest.mark.parametrize("setting", ISSUED)
def test_the_life_of_a_job_is_the_same_with_one_setting(migrated_database: str, usual: list[Any], setting: str) -> None:
    """Of a job of each trigger."""
    assert left_of(migrated_database, **{setting: SETTINGS[setting]}) == usual


def test_the_life_of_a_job_is_the_same_where_the_database_was_migrated_with_all_settings(set_database, usual) -> None:
    """`listener migrate` ran under them, too."""
    assert left_of(set_database) == usual


def test_migrations_make_the_same_whatever_is_set(set_database: str, migrated_database: str) -> None:
    """Nothing of what a file says is read otherwise."""
    with connected(migrated_database) as database:
        values = {name: database.execute(f"show {name}").fetchone() for name in SETTINGS}
    usual = {name: next(iter(row.values())) for name, row in values.items()}
    made = []
    for url in (set_database, migrated_database):
        with psycopg.connect(url) as connection:
            for name, value in usual.items():
                connection.execute("select set_config(%s, %s, false)", [name, value])
            made.append(outline_of(connection))
    assert made[0] == made[1]


def test_no_plain_string_of_the_schema_has_a_backslash() -> None:
    """With `standard_conforming_strings` off it would be read as an escape; those of E'…' always are."""
    token = re.compile(r"(?<![a-z0-9_])e'(?:\\.|''|[^'\\])*'|--[^\n]*|(?P<plain>'(?:''|[^'])*')", re.IGNORECASE)
    plain = [each["plain"] for each in token.finditer(schema_text()) if each["plain"]]
    assert len(plain) > 1000
    assert [each for each in plain if "\\" in each] == []
