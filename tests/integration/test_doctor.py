"""`listener doctor` finds what is wrong, says how to fix it, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.types.json import Jsonb
from shipped import SHIPPED

from listener.doctor.handler_check import judge_waiting
from listener.doctor.interface import FUNCTIONS, MEETINGS_FUNCTIONS, judge_answer
from listener.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listener.local.stack import Stack

pytestmark = pytest.mark.stack
REPOSITORY = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "listener.cli", "doctor"]


def _doctor(stack: Stack, **settings: str) -> tuple[int, dict[str, str]]:
    """Give the exit code, and of each subject its line and how to fix it."""
    environment = {**os.environ, **stack.environment(), **settings}
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    lines = re.findall(r"^(?:ok|wrong) .*(?:\n {6}.*)?", done.stdout, re.MULTILINE)
    return done.returncode, {line[6:32].strip(): line for line in lines}


@pytest.fixture
def member(stack: Stack) -> None:
    """Let somebody be a member: of an empty table, PostgreSQL may evaluate no condition at all."""
    with psycopg.connect(stack.database_url) as connection:
        insert = "insert into public.job_workspaces (name) values ('Team') returning id"
        (workspace,) = connection.execute(insert).fetchone()
        enter = "insert into public.job_workspace_members (workspace_id, user_id, role) values (%s, %s, 'viewer')"
        connection.execute(enter, [workspace, uuid.uuid4()])


@contextmanager
def _changed(stack: Stack, change: str, back: str) -> Iterator[None]:
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(change)
        connection.execute("notify pgrst, 'reload schema'")
        try:
            yield
        finally:
            connection.execute(back)
            connection.execute("notify pgrst, 'reload schema'")


def _eventually(stack: Stack, subject: str, **settings: str) -> tuple[int, dict[str, str]]:
    """Ask until PostgREST has read its schema anew."""
    for _ in range(20):
        code, report = _doctor(stack, **settings)
        if report.get(subject, "ok").startswith("wrong"):
            break
    return code, report


def test_a_stack_that_is_well_gets_good_lines_only(stack: Stack):
    """And its table of jobs is as empty as before."""
    code, report = _doctor(stack)
    assert code == 0, report
    assert all(line.startswith("ok ") for line in report.values())
    assert list(report) == [
        "handlers",
        "url",
        "key",
        "migrations",
        "grants",
        "restore",
        "memberships",
        "catalogue",
        "handlers of jobs",
        "topic",
        "channel broadcast",
        "channel postgres_changes",
        "clients' subscription",
    ]
    with psycopg.connect(stack.database_url) as connection:
        assert connection.execute("select count(*) from scheduled_jobs").fetchone() == (0,)


def test_a_connection_of_its_own_is_checked_and_its_channel_too(stack: Stack):
    """Where the listener would have one."""
    code, report = _doctor(stack, LISTENER_DATABASE_URL=stack.database_url)
    assert code == 0, report
    assert "keeps its session" in report["own connection"]
    assert "received after" in report["channel notify"]


@pytest.mark.parametrize(
    ("settings", "subject", "words"),
    [
        ({"LISTENER_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}, "own connection", "LISTENER_DATABASE_URL"),
        ({"SUPABASE_URL": "http://127.0.0.1:9"}, "url", "SUPABASE_URL"),
        ({"SUPABASE_SECRET_KEY": "sb_secret_of_another_project"}, "key", "SUPABASE_SECRET_KEY"),
        ({"LISTENER_HANDLERS": "handlers,no_such_module"}, "handlers", "no_such_module"),
    ],
)
def test_what_the_environment_gets_wrong_is_named(stack: Stack, settings: dict[str, str], subject: str, words: str):
    """With the variable that has to be changed."""
    code, report = _doctor(stack, **settings)
    assert code == 1
    assert report[subject].startswith("wrong")
    assert "to fix it:" in report[subject]
    assert words in report[subject]


def test_a_missing_grant_is_named(stack: Stack):
    """For a function and for a table."""
    of = "on function public.claim_runs_v1(jsonb)"
    with _changed(stack, f"revoke execute {of} from service_role", f"grant execute {of} to service_role"):
        code, report = _eventually(stack, "migrations")
    assert (code, "claim_runs_v1" in report["migrations"]) == (1, True)
    of = "select on public.job_executions"
    with _changed(stack, f"revoke {of} from service_role", f"grant {of} to service_role"):
        code, report = _eventually(stack, "grants")
    assert (code, "job_executions: 42501" in report["grants"]) == (1, True)


@pytest.mark.parametrize(
    ("table", "stale"),
    [
        ("public.scheduled_jobs", "clients' subscription"),
        ("job_scheduler.signals", "channel postgres_changes"),
    ],
)
def test_a_table_missing_from_the_publication_is_named(stack: Stack, table: str, stale: str):
    """And only whom it concerns is found stale."""
    publication = "alter publication supabase_realtime"
    with _changed(stack, f"{publication} drop table {table}", f"{publication} add table {table}"):
        code, report = _doctor(stack)
    assert code == 1
    assert [subject for subject, line in report.items() if line.startswith("wrong")] == [stale]
    assert f"{publication} add table {table}" in report[stale]


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("insert into job_scheduler.mute (until) values (now() + '10 min')", "delete from job_scheduler.mute"),
        (
            "insert into job_scheduler.listening (until, spared_until) values (now() + '10 min', now() + '10 min')",
            "delete from job_scheduler.listening",
        ),
    ],
    ids=["muted", "spared"],
)
def test_a_silent_realtime_is_no_fault(stack: Stack, begin: str, end: str):
    """The database sends no change through it; a probe goes through the channels all the same."""
    with _changed(stack, begin, end):
        assert _doctor(stack)[0] == 0


@pytest.mark.usefixtures("member")
@pytest.mark.parametrize(
    ("body", "security", "callers"),
    [
        (
            "select workspace_id, role from public.job_workspace_members where user_id = (auth.jwt() ->> 'sub')::uuid",
            "definer",
            {"a subject that is no uuid"},
        ),
        (
            "select id, null from (select (current_setting('request.jwt.claims')::jsonb ->> 'sub')::uuid as id) as c",
            "definer",
            {"a subject that is no uuid", "no claims"},
        ),
        ("select id, name from public.job_listeners", "invoker", {"a user", "no subject", "anon"}),
    ],
)
def test_a_replaced_memberships_that_raises_is_named(stack: Stack, body: str, security: str, callers: set[str]):
    """With each kind of caller for whom it raises, and how to fix it; Realtime would deliver nothing to anybody."""
    start = "create or replace function job_scheduler.memberships() returns table (workspace_id uuid, role text)"
    change = f"{start} language sql stable security {security} set search_path = '' as $$ {body} $$"
    with psycopg.connect(stack.database_url) as connection:
        query = "select pg_get_functiondef('job_scheduler.memberships()'::regprocedure)"
        (back,) = connection.execute(query).fetchone()
    with _changed(stack, change, back):
        code, report = _doctor(stack)
    assert code == 1
    assert [subject for subject, line in report.items() if line.startswith("wrong")] == ["memberships"]
    assert callers <= set(re.findall(r"raises for ([^:]+):", report["memberships"]))
    assert "job_scheduler.caller()" in report["memberships"]
    assert _doctor(stack)[0] == 0


@pytest.mark.usefixtures("empty_catalogue")
def test_an_empty_catalogue_is_no_fault(stack: Stack):
    """No listener has started yet."""
    code, report = _doctor(stack)
    assert code == 0, report
    assert "empty until the first listener starts" in report["catalogue"]


@pytest.mark.usefixtures("empty_catalogue")
def test_a_catalogue_that_is_another_ones_is_named(stack: Stack):
    """Handlers that nobody has published, and one that is published otherwise; the channels are received anyway."""
    noop = {"name": "noop", "exposed": False, "payload_schema": {"required": ["x"]}}
    with psycopg.connect(stack.admin_dsn, autocommit=True) as connection:
        connection.execute("select public.publish_handlers_v1(%s)", [Jsonb({"handlers": [noop, {"name": "theirs"}]})])
    code, report = _doctor(stack)
    assert code == 1
    assert [subject for subject, line in report.items() if line.startswith("wrong")] == ["catalogue"]
    missing = ", ".join(name for name in SHIPPED if name != "noop")
    assert f"not there: {missing}; not as here: noop" in report["catalogue"]


def test_jobs_whose_handler_no_live_listener_has_are_named(stack: Stack):
    """Not those of a handler that is here: they run as soon as a listener starts."""
    insert = (
        "insert into job_handlers (name) values ('removed');"
        "insert into scheduled_jobs (handler, run_date) values ('noop', '2999-01-01'), ('removed', '2999-01-01')"
    )
    remove = "truncate scheduled_jobs cascade; delete from job_handlers where name = 'removed'"
    with _changed(stack, insert, remove):
        code, report = _doctor(stack)
    assert code == 1
    assert [subject for subject, line in report.items() if line.startswith("wrong")] == ["handlers of jobs"]
    assert "no live listener has 'removed' (1 job)" in report["handlers of jobs"]


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ([], "each is on a live listener (2 live)"),
        ([{"name": "here", "jobs": 1}], "wait until a listener starts with these handlers: 'here' (1 job)"),
        ([{"name": "a", "jobs": 2}, {"name": "here", "jobs": 1}], "no live listener has 'a' (2 jobs)"),
        ([{"name": "a", "jobs": 1000}], "no live listener has 'a' (1000 jobs or more)"),
        ([{"name": "a\x1b[2J", "jobs": 1}] * 12, "no live listener has " + "'a\\x1b[2J' (1 job), " * 10 + "2 others"),
    ],
    ids=["none", "here", "elsewhere", "many jobs", "many handlers"],
)
def test_the_line_on_handlers_is_short_and_names_what_lacks(missing: list[dict[str, object]], line: str):
    """Names are shown as they are written in Python, since a terminal obeys some of them."""
    finding = judge_waiting(["here"], {"listeners": 2, "missing": missing})
    assert (finding.what, finding.is_well) == (line, not line.startswith("no live"))


def test_every_function_that_the_service_calls_is_looked_for():
    """The list is that of the modules that call them."""
    modules = [
        *(REPOSITORY / "listener" / "supabase").glob("*.py"),
        *(REPOSITORY / "listener" / "handlers").glob("*.py"),
    ]
    called = {name for module in modules for name in re.findall(r'"(\w+_v\d+)"', module.read_text(encoding="utf-8"))}
    assert {*FUNCTIONS, *MEETINGS_FUNCTIONS} == called


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("PGRST202", ["migrations"]),
        ("42501", ["key"]),
        ("PGRST301", ["key"]),
        ("401", ["key"]),
        ("404", ["url"]),
        ("ConnectError", ["url"]),
        (None, []),
    ],
)
def test_one_answer_separates_url_key_and_migrations(code: str | None, wrong: list[str]):
    """By its code."""
    fault = StoreError("due_jobs_v1", code, "", retryable=False) if code else None
    findings = judge_answer("http://localhost", fault)
    assert [finding.subject for finding in findings if not finding.is_well] == wrong
