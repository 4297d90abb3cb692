"""Listeners in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import psycopg
from patience import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from listener.local.stack import Stack

START_SECONDS, STOP_SECONDS = 120.0, 10.0


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
        """Return the answer of `/debug/scheduler`."""
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
    """Starts listeners; `handlers` is the folder of the tests' own handlers, `scenario_handlers`; `usual` for each."""

    stack: Stack
    logs: Path
    handlers: Path
    usual: dict[str, str] = field(default_factory=dict)
    started: list[Listener] = field(default_factory=list)

    def by_ports(self, api: int, database: int) -> None:
        """Let listeners reach the stack by other ports, of roads that lead there."""
        own = self.usual.get("LISTENER_DATABASE_URL")
        self.usual = {"SUPABASE_URL": f"http://127.0.0.1:{api}"}
        if own is not None:
            self.usual["LISTENER_DATABASE_URL"] = own.replace(f":{urlsplit(own).port}/", f":{database}/")

    def launch(self, **settings: object) -> Listener:
        """Start one without waiting for it; `settings` are those of LISTENER_…, and SUPABASE_URL."""
        port = free_port()
        log = self.logs / f"listener-{port}.log"
        named = {name if name.isupper() else f"LISTENER_{name.upper()}": str(value) for name, value in settings.items()}
        environment = {
            **os.environ,
            **self.stack.environment(),
            "PYTHONPATH": str(self.handlers),
            "LISTENER_HANDLERS": "handlers,scenario_handlers",
            "LISTENER_HTTP_BIND": f"127.0.0.1:{port}",
            "LISTENER_DRAIN_SECONDS": "0",
            **self.usual,
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
def listeners_on(stack: Stack, logs: Path, handlers: Path, usual: dict[str, str] | None = None) -> Iterator[Listeners]:
    """Give a starter of listeners, and end them all afterwards."""
    listeners = Listeners(stack, logs, handlers, usual or {})
    try:
        yield listeners
    finally:
        for listener in listeners.started:
            listener.stop(signal.SIGKILL)
        # The listeners of the next test would wait for them, each for a moment, until their heartbeats are old.
        names = [f"%/{listener.process.pid}" for listener in listeners.started]
        with psycopg.connect(stack.admin_dsn, autocommit=True) as connection:
            connection.execute("delete from public.job_listeners where name like any(%s)", [names])
            connection.execute("update job_scheduler.listening set spared_until = null")


def free_port() -> int:
    """Find a TCP port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
