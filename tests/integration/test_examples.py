"""The examples do what their pages show."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listener.local.stack import Stack

pytestmark = pytest.mark.stack
REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"
CLOCK_TIME = re.compile(r"\d\d:\d\d:\d\d")
LONGEST_SCRIPT = 60


@pytest.fixture
def environment(stack: Stack, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A listener with the example's handlers, and the environment of its clients."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    variables = {**os.environ, **stack.environment(), "LISTENER_HTTP_BIND": address}
    folders = [
        EXAMPLES / "reminders",
        EXAMPLES / "library",
        EXAMPLES / "newsletter",
        EXAMPLES / "bookings",
        *os.environ.get("PYTHONPATH", "").split(os.pathsep),
    ]
    more = {
        "LISTENER_HANDLERS": "handlers,reminders,notices,issues,rooms",
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders if str(folder)),
    }
    command = [sys.executable, "-m", "listener.cli", "run"]
    log = tmp_path / "listener.log"
    with log.open("wb") as lines, subprocess.Popen(command, env={**variables, **more}, stderr=lines) as process:
        try:
            _wait_until_ready(f"http://{address}/readyz", process, log)
            yield variables
        finally:
            process.terminate()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120  # a bound: a busy machine starts slowly
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).is_success:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _shown(example: str) -> list[str]:
    """Give the output that the page shows, below its last command."""
    block = (EXAMPLES / example / "README.md").read_text(encoding="utf-8").split("```console")[1].split("```")[0]
    lines = block.strip().splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("$"))
    return lines[last + 1 :]


def test_reminders_run_as_shown(environment: dict[str, str]):
    """Line by line."""
    command = [sys.executable, EXAMPLES / "reminders" / "remind.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=40, check=True)
    assert done.stdout.splitlines() == _shown("reminders")


@pytest.mark.parametrize("script", ["library/library.py", "newsletter/newsletter.py"])
def test_apps_of_the_python_client_run_as_shown(stack: Stack, environment: dict[str, str], script: str):
    """Line by line, as a signed-in user."""
    variables = {**environment, "USER_TOKEN": stack.user_token("ada")}
    command = [sys.executable, EXAMPLES / script]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == _shown(script.partition("/")[0])


def test_bookings_run_as_shown(stack: Stack, environment: dict[str, str]):
    """The project's own table with bigint ids, which its migration declares a source."""
    with psycopg.connect(stack.database_url, autocommit=True) as database:
        database.execute((EXAMPLES / "bookings" / "bookings.sql").read_bytes())
        try:
            _wait_for_table(environment, "bookings")
            command = [sys.executable, EXAMPLES / "bookings" / "bookings.py"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
            assert done.stdout.splitlines() == _shown("bookings"), done.stderr
        finally:
            database.execute("select job_scheduler.remove_source('booking-ended'); drop table public.bookings")


def _wait_for_table(environment: dict[str, str], table: str) -> None:
    """Wait until PostgREST has read the schema again."""
    headers = {"apikey": environment["SUPABASE_SERVICE_ROLE_KEY"]}
    headers["Authorization"] = f"Bearer {headers['apikey']}"
    deadline = time.monotonic() + 120  # a bound: a busy machine starts slowly
    while not httpx.get(f"{environment['SUPABASE_URL']}/rest/v1/{table}", headers=headers).is_success:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_meetings_run_as_shown(stack: Stack, environment: dict[str, str]):
    """Line by line, whatever time it is; the lines of meeting and job come from two channels, so they may cross."""
    command = ["node", EXAMPLES / "meetings" / "meetings.mjs"]
    variables = {**environment, "USER_TOKEN": stack.user_token("alice")}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=40, check=True)
    lines = [CLOCK_TIME.sub("", line) for line in done.stdout.splitlines()]
    shown = [CLOCK_TIME.sub("", line) for line in _shown("meetings")]
    for what in ("meeting", "its job"):
        assert [line for line in lines if line.startswith(what)] == [line for line in shown if line.startswith(what)]


@pytest.mark.parametrize(
    "script", sorted([*EXAMPLES.glob("*/*.py"), *EXAMPLES.glob("*/*.mjs")]), ids=lambda it: it.name
)
def test_scripts_are_short_enough_to_read(script: Path):
    """An example that needs to be scrolled is not read."""
    assert len(script.read_text(encoding="utf-8").splitlines()) <= LONGEST_SCRIPT
