"""`listener jobs`, `runs` and `logs` show what the API shows, to any key, and say what is wrong in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from listener.cli import main

pytestmark = pytest.mark.stack
ESCAPES = "\x1b[31mred\u202e\n"


@dataclass(frozen=True)
class Shown:
    """A command's output and exit code."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def listener(stack, tmp_path, monkeypatch, capsys):
    """Give a caller of the console script, in an empty folder, by its arguments and variables of the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith("SUPABASE_"):
            monkeypatch.delenv(name)

    def call(*arguments, **variables):
        for name, value in {"SUPABASE_URL": stack.url, "SUPABASE_SECRET_KEY": stack.service_key, **variables}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["listener", *arguments])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return Shown(code, *capsys.readouterr())

    return call


@pytest.fixture
def sql(stack):
    """Give a connection as superuser."""
    with psycopg.connect(stack.admin_dsn, autocommit=True) as connection:
        yield connection


def add(sql, table, **columns):
    """Insert a row; give its id."""
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    query = f"insert into public.{table} ({names}) values ({places}) returning id"  # noqa: S608 - ours
    return sql.execute(query, [*columns.values()]).fetchone()[0]


def a_job(sql, **columns):
    """Insert a job that is due in years; give its id."""
    return add(sql, "scheduled_jobs", **({"handler": "noop", "run_date": "2099-01-01Z"} | columns))


def a_run(sql, job, status="completed", due="2020-01-01Z", **columns):
    """Enter a run that ended; give its id."""
    instants = {"run_at": due, "scheduled_for": due}
    return str(add(sql, "job_executions", scheduled_job_id=job, cause="schedule", status=status, **instants, **columns))


def log(sql, run, message, **fields):
    """Enter a line of a run's log."""
    query = "insert into public.job_execution_logs (execution_id, message, fields) values (%s, %s, %s)"
    sql.execute(query, [run, message, Jsonb(fields)])


def test_jobs_lists_the_next_first(listener, sql):
    """Tables for people, whole rows for programs; filters by status and handler."""
    later, sooner = a_job(sql, name="later"), a_job(sql, name="sooner", run_date="2098-01-01Z")
    paused = a_job(sql, name="at rest", status="paused")
    shown = listener("jobs")
    assert shown.code == 0, shown.stderr
    head, *lines = shown.stdout.splitlines()
    assert head.split() == ["id", "name", "handler", "trigger", "status", "next", "run", "last", "run", "runs", "error"]
    assert [line.split()[0] for line in lines] == [str(each) for each in (sooner, later, paused)]
    assert "2098-01-01 00:00:00Z" in lines[0]
    rows = json.loads(listener("jobs", "--json", "--status", "paused").stdout)
    assert [(row["id"], row["timezone"]) for row in rows] == [(paused, "UTC")]
    assert json.loads(listener("jobs", "--json", "--handler", "log").stdout) == []
    assert listener("jobs", "--handler", "log").stdout == "no jobs that this key may see\n"


def test_runs_shows_what_ran_and_what_did_not(listener, sql):
    """By the job's id or its job_id; the latest first."""
    job = a_job(sql, job_id="nightly")
    first = a_run(sql, job, duration_ms=12, lateness_ms=1500)
    second = a_run(sql, job, "skipped", due="2020-01-02Z", reason="overlap")
    for name in (str(job), "nightly"):
        lines = listener("runs", name).stdout.splitlines()[1:]
        assert [line.split()[0] for line in lines] == [second, first], lines
    assert "overlap" in lines[0]
    assert "1.5 s" in lines[1]
    assert "12 ms" in lines[1]
    assert [row["status"] for row in json.loads(listener("runs", "nightly", "--json").stdout)] == [
        "skipped",
        "completed",
    ]
    assert listener("runs", str(a_job(sql))).stdout.endswith("has no runs yet\n")


def test_logs_shows_lines_and_how_the_run_ended(listener, sql):
    """A run by its id, or the latest one of a job; more lines than one page has."""
    job = a_job(sql, job_id=str(uuid.uuid4()))
    run = a_run(sql, job, "failed", reason="timeout", error="took too long")
    query = """
    insert into public.job_execution_logs (execution_id, message, fields)
    select %s, 'line ' || n, jsonb_build_object('number', n) from generate_series(0, 1001) as n
    """
    sql.execute(query, [run])
    shown = listener("logs", run)
    assert len(shown.stdout.splitlines()) == 1002
    assert "line 7 number=7" in shown.stdout
    assert "is failed (timeout: took too long)" in shown.stderr
    assert len(json.loads(listener("logs", str(job), "--json").stdout)) == 1002
    followed = listener("logs", run, "--follow", "--json")
    assert followed.code == 1
    assert [json.loads(line)["fields"]["number"] for line in followed.stdout.splitlines()] == list(range(1002))


def test_follow_goes_on_until_the_run_ends(listener, stack, sql, tmp_path):
    """Lines that come while it looks are shown, and its exit code says how the run ended."""
    run = a_run(sql, a_job(sql), "running")
    log(sql, run, "begun")
    environment = {**os.environ, **stack.environment()}
    command = [sys.executable, "-m", "listener.cli", "logs", run, "--follow"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as following:
        assert "begun" in following.stdout.readline()
        log(sql, run, "ended")
        sql.execute("update public.job_executions set status = 'completed' where id = %s", [run])
        assert "ended" in following.stdout.read()
    assert following.returncode == 0


def test_follow_waits_for_the_first_run_of_a_job(stack, sql, tmp_path):
    """A job that was inserted a moment ago has none yet."""
    job = a_job(sql)
    command = [sys.executable, "-m", "listener.cli", "logs", str(job), "--follow"]
    environment = {**os.environ, **stack.environment()}
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as following:
        log(sql, a_run(sql, job), "first")
        assert "first" in following.stdout.read()
    assert following.returncode == 0


def test_what_a_tenant_wrote_does_nothing_to_the_terminal(listener, sql):
    """Escape sequences, line breaks and marks of direction are shown as text."""
    job = a_job(sql, name=ESCAPES)
    run = a_run(sql, job, error=ESCAPES)
    log(sql, run, ESCAPES, field=ESCAPES)
    for shown in (listener("jobs"), listener("runs", str(job)), listener("logs", run)):
        assert r"\x1b[31mred\u202e\n" in shown.stdout + shown.stderr
        assert not {"\x1b", "\u202e"} & set(shown.stdout + shown.stderr)


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (["runs", "none"], {}, "listener: no job or run 'none' that this key may see; `listener jobs` lists"),
        (["logs", str(uuid.UUID(int=1))], {}, "listener: no job or run '00000000-"),
        (["jobs"], {"SUPABASE_URL": "http://127.0.0.1:9"}, "listener: http://127.0.0.1:9 does not answer: "),
        (["jobs"], {"SUPABASE_SECRET_KEY": "sb_secret_wrong"}, "listener: "),
        (["jobs"], {"SUPABASE_URL": ""}, "listener: SUPABASE_URL is not set"),
    ],
)
def test_what_is_wrong_is_one_line(listener, arguments, variables, message):
    """No traceback."""
    shown = listener(*arguments, **variables)
    assert (shown.code, shown.stdout) == (1, "")
    assert shown.stderr.startswith(message), shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_the_file_of_a_running_stack_is_enough(listener, stack, tmp_path):
    """In the folder in which `listener up` runs, nothing has to be set."""
    Path(tmp_path, ".listener").mkdir()
    Path(tmp_path, ".listener", "env").write_text(f"SUPABASE_URL={stack.url}\nSUPABASE_ANON_KEY={stack.anon_key}\n")
    shown = listener("jobs", SUPABASE_URL="", SUPABASE_SECRET_KEY="")
    assert "permission denied" in shown.stderr, "the public key may see nothing, and the message says so"
    assert "SUPABASE_SECRET_KEY" in shown.stderr
