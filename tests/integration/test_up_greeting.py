"""The examples that `listener up` prints work as they are printed."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from rich.console import Console

from listener.local.env_file import written
from listener.local.up import _greet, curl_line, shown_jobs, snippet
from listener.local.users import DEMO_WORKSPACE, DemoUser, add_demo_users

if TYPE_CHECKING:
    from listener.local.stack import Stack

pytestmark = pytest.mark.stack


def test_it_shows_whom_to_sign_in_as(stack: Stack, tmp_path: Path) -> None:
    """On lines of their own; without users, because their passwords were changed, it says nothing of them."""
    shown = []
    for users in ([DemoUser("demo@example.com", "secret-word", "admin")], []):
        console = Console(file=io.StringIO(), width=500)
        _greet(console, stack, tmp_path / "env", users)
        shown.append(console.file.getvalue())
    assert "\ndemo@example.com  password secret-word  admin\n" in shown[0]
    assert "Sign in as" not in shown[1]


def test_it_shows_where_the_dashboard_is(stack: Stack, tmp_path: Path) -> None:
    """On a line of its own; without a listener nobody serves it."""
    shown = {}
    for with_listener in (True, False):
        console = Console(file=io.StringIO(), width=500)
        _greet(console, stack, tmp_path / "env", [], with_listener=with_listener)
        shown[with_listener] = console.file.getvalue()
    assert f"\n{stack.http_url}/dashboard/\n" in shown[True]
    assert "dashboard" not in shown[False]


def _handlers(stack: Stack) -> list[tuple[str]]:
    with psycopg.connect(stack.database_url) as connection:
        return connection.execute("select handler from public.scheduled_jobs").fetchall()


def test_the_curl_line_inserts_a_job_and_shows_it(stack: Stack) -> None:
    """Pasted into a shell."""
    done = subprocess.run(["bash", "-c", curl_line(stack)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0]["handler"] == "noop"
    assert _handlers(stack) == [("noop",)]


def test_the_job_of_the_curl_line_belongs_to_the_workspace_of_those_who_sign_in(stack: Stack, tmp_path: Path) -> None:
    """So that the dashboard shows it to them."""
    console = Console(file=io.StringIO(), width=500)
    _greet(console, stack, tmp_path / "env", add_demo_users(stack))
    shown = console.file.getvalue()
    line = next(each for each in shown.splitlines() if each.startswith("curl "))
    subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    with psycopg.connect(stack.database_url) as connection:
        found = connection.execute("select workspace_id from public.scheduled_jobs").fetchall()
    assert found == [(DEMO_WORKSPACE,)]
    assert f"insert({{ handler: 'noop', workspace_id: '{DEMO_WORKSPACE}' }})" in shown


@pytest.mark.slow
def test_the_snippet_runs_as_printed_in_a_fresh_npm_project(stack: Stack, tmp_path: Path) -> None:
    """Saved as job.mjs, with what its first line says."""
    (tmp_path / "job.mjs").write_text(snippet(stack))
    (tmp_path / ".npmrc").write_text("prefer-offline=true\nprogress=false\n")
    commands = f"npm init --yes >/dev/null; {snippet(stack).splitlines()[0].removeprefix('// ')}"
    done = subprocess.run(
        ["bash", "-ec", commands], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=120
    )
    assert "handler: 'noop'" in done.stdout
    assert _handlers(stack) == [("noop",)]


def test_the_line_that_lists_jobs_takes_the_stacks_environment(stack: Stack, tmp_path: Path) -> None:
    """Pasted into a shell of the same folder, whatever the file is called."""
    env_file = tmp_path / "the stack's" / "env"
    env_file.parent.mkdir()
    with written(env_file, stack.environment()):
        subprocess.run(["bash", "-c", curl_line(stack)], capture_output=True, check=True)
        line = shown_jobs(env_file.relative_to(tmp_path))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        command = ["bash", "-c", re.sub(r"; [^;]+ jobs$", "; listener jobs", line)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert "noop" in done.stdout
