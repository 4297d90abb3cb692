"""Listeners in processes of their own against the session's stack, and the project as its users see it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.datetime import TimestamptzLoader
from supabase import create_client
from supabase.lib.client_options import SyncClientOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg.abc import Buffer
    from supabase import Client

    from listener.local.stack import Stack

HERE = Path(__file__).parent
START_SECONDS, STOP_SECONDS, PATIENCE_SECONDS = 30.0, 10.0, 15.0
FINAL = {"completed", "failed", "cancelled"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the stack."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.stack)


class EndlessLoader(TimestamptzLoader):
    """Reads infinity, which Python's calendar does not have, as the end of that calendar."""

    def load(self, value: Buffer) -> datetime:
        """Read an instant."""
        return datetime.max.replace(tzinfo=UTC) if bytes(value) == b"infinity" else super().load(value)


def until(true: Callable[[], Any], what: str, within: float = PATIENCE_SECONDS) -> Any:
    """Ask again and again; give the first answer that is true."""
    deadline = time.monotonic() + within
    while not (answer := true()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.01)
    return answer


@dataclass
class Listener:
    """`listener run` as a child process."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def ready(self) -> bool:
        """Whether `/readyz` says so."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz").is_success
        return False

    def wait_until_ready(self) -> None:
        """Return when it is ready, or fail with its log."""
        until(lambda: self.ready() or self.process.poll() is not None, "the listener is ready", START_SECONDS)
        assert self.process.poll() is None, self.log.read_text()

    def describe(self) -> dict[str, Any]:
        """Give what `/debug/scheduler` tells."""
        return httpx.get(f"{self.url}/debug/scheduler").json()

    def stop(self, order: signal.Signals = signal.SIGTERM, within: float = STOP_SECONDS) -> int:
        """End it, and give its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(order)
        try:
            return self.process.wait(within)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


@dataclass
class Listeners:
    """Starts listeners; the tests' own handlers are on their path."""

    stack: Stack
    logs: Path
    started: list[Listener] = field(default_factory=list)

    def launch(self, **settings: object) -> Listener:
        """Start one without waiting for it; `settings` are those of LISTENER_…, and SUPABASE_URL."""
        port = free_port()
        log = self.logs / f"listener-{port}.log"
        named = {name if name.isupper() else f"LISTENER_{name.upper()}": str(value) for name, value in settings.items()}
        environment = {
            **os.environ,
            **self.stack.environment(),
            "PYTHONPATH": str(HERE / "jobs"),
            "LISTENER_HANDLERS": "handlers,scenario_handlers",
            "LISTENER_HTTP_BIND": f"127.0.0.1:{port}",
            "LISTENER_DRAIN_SECONDS": "0",
            **named,
        }
        with log.open("wb") as output:
            command = [sys.executable, "-m", "listener.cli", "run"]
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        listener = Listener(process, f"http://127.0.0.1:{port}", log)
        self.started.append(listener)
        return listener

    def start(self, **settings: object) -> Listener:
        """Start one, and wait until it is ready."""
        listener = self.launch(**settings)
        listener.wait_until_ready()
        return listener


@contextlib.contextmanager
def listeners_on(stack: Stack, logs: Path) -> Iterator[Listeners]:
    """Give a starter of listeners, and end them all afterwards."""
    listeners = Listeners(stack, logs)
    try:
        yield listeners
    finally:
        for listener in listeners.started:
            listener.stop(signal.SIGKILL)


def free_port() -> int:
    """Find a TCP port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Project:
    """The Supabase project: written by a stock client with the service key, looked into by SQL."""

    client: Client
    sql: psycopg.Connection[dict[str, Any]]

    def insert(self, handler: str = "noop", **columns: object) -> int:
        """Insert a job; give its id."""
        return self.client.table("scheduled_jobs").insert({"handler": handler, **columns}).execute().data[0]["id"]

    def insert_many(self, rows: Sequence[dict[str, object]]) -> list[int]:
        """Insert jobs in one request."""
        return [row["id"] for row in self.client.table("scheduled_jobs").insert(list(rows)).execute().data]

    def update(self, job: int, **columns: object) -> None:
        """Change a job."""
        self.client.table("scheduled_jobs").update(columns).eq("id", job).execute()

    def delete(self, job: int) -> None:
        """Delete a job."""
        self.client.table("scheduled_jobs").delete().eq("id", job).execute()

    def call(self, function: str, **arguments: object) -> Any:
        """Call one of the functions for clients."""
        return self.client.rpc(function, arguments).execute().data

    def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """Query the database."""
        return self.sql.execute(query, arguments).fetchall()

    def job(self, job: int) -> dict[str, Any]:
        """Give the row of a job."""
        return self.rows("select * from public.scheduled_jobs where id = %s", job)[0]

    def ledger(self, job: int) -> list[dict[str, Any]]:
        """Give the executions of a job in the order of their due instants and attempts."""
        query = (
            "select * from public.job_executions where scheduled_job_id = %s "
            "order by scheduled_for, cause desc, attempt"
        )
        return self.rows(query, job)

    def states(self, job: int) -> list[tuple[str, str | None]]:
        """Give status and reason of each execution of a job."""
        return [(row["status"], row["reason"]) for row in self.ledger(job)]

    def wait(self, job: int, status: str | None = None, within: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Wait until a job has a status, or by default a final one; give its row."""
        wanted = {status} if status else FINAL
        deadline = time.monotonic() + within
        while (row := self.job(job))["status"] not in wanted:
            assert time.monotonic() < deadline, f"not {wanted} within {within:g} s: {row} {self.ledger(job)}"
            time.sleep(0.01)
        return row

    def wait_for_runs(self, job: int, count: int, within: float = PATIENCE_SECONDS) -> list[dict[str, Any]]:
        """Wait until a job has that many ledger rows that will not change again; give its ledger."""
        deadline = time.monotonic() + within
        while True:
            ledger = self.ledger(job)
            if sum(row["status"] not in {"queued", "running"} for row in ledger) >= count:
                return ledger
            assert time.monotonic() < deadline, f"not {count} ends within {within:g} s: {self.job(job)} {ledger}"
            time.sleep(0.01)

    def soon(self, seconds: float) -> str:
        """Give the instant that many seconds from now, by the database's clock."""
        return (self.rows("select clock_timestamp() as now")[0]["now"] + timedelta(seconds=seconds)).isoformat()


@pytest.fixture(scope="module")
def project(embedded_stack: Stack, tables_to_empty: list[str]) -> Iterator[Project]:
    """Give the project, empty at the start of each module."""
    options = {"autocommit": True, "row_factory": dict_row}
    with psycopg.connect(embedded_stack.admin_dsn, **options) as connection, httpx.Client(timeout=20) as http:
        connection.adapters.register_loader("timestamptz", EndlessLoader)
        connection.execute("delete from auth.users")
        connection.execute(f"truncate {', '.join(tables_to_empty)} cascade")
        client = create_client(embedded_stack.url, embedded_stack.service_key, SyncClientOptions(httpx_client=http))
        yield Project(client, connection)


@pytest.fixture(scope="module")
def shared_settings(request: pytest.FixtureRequest) -> dict[str, object]:
    """Give the settings of the module's listener: its `LISTENER`."""
    return getattr(request.module, "LISTENER", {})


@pytest.fixture(scope="module")
def listener_factory(
    embedded_stack: Stack,
    project: Project,
    shared_settings: dict[str, object],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], Listener]]:
    """Give a starter of listeners that live as long as a module, with its settings."""
    with listeners_on(embedded_stack, tmp_path_factory.mktemp("listener")) as listeners:
        yield lambda: listeners.start(**shared_settings)


@pytest.fixture(scope="module")
def listener(listener_factory: Callable[[], Listener]) -> Listener:
    """Run one listener for all tests of a module."""
    return listener_factory()


@pytest.fixture
def listeners(embedded_stack: Stack, project: Project, tmp_path: Path) -> Iterator[Listeners]:
    """Give a starter of listeners that live for one test."""
    with listeners_on(embedded_stack, tmp_path) as listeners:
        yield listeners


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Give a file in which handlers leave marks."""
    path = tmp_path / "marks"
    path.touch()
    return path


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Give `until`, which a test cannot import: tests are no package."""
    return until


@pytest.fixture
def a_free_port() -> int:
    """Give a port that nobody has."""
    return free_port()
