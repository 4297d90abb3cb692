"""Parts of a stack that tests stop and start again: a PostgreSQL, a Realtime server behind a gateway."""

from __future__ import annotations

import asyncio  # noqa: TID251 - runs the stack's own coroutines to their end
import contextlib
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
from patience import until

from listener.local.postgres import bootstrap, cluster_in, create_cluster, postgres_program
from listener.local.program import leashed
from listener.local.state import StateFolder

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from pathlib import Path


class Postgres:
    """A PostgreSQL of this file's own, which may be stopped."""

    def __init__(self, folder: Path, port: int) -> None:
        state = StateFolder.at(folder)
        self._cluster = cluster_in(state, state.keys(), port)
        self._program = postgres_program(self._cluster)
        self.dsn = self._cluster.admin_dsn
        self._process: subprocess.Popen[bytes]

    def make(self) -> None:
        """Create it, start it, and give it what a Supabase project has."""
        asyncio.run(create_cluster(self._cluster))
        self.start()
        asyncio.run(bootstrap(self._cluster))
        self.do("grant usage on schema public to anon, authenticated, service_role")

    def do(self, statements: str) -> None:
        """Run statements as superuser."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statements)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = leashed(self._program.command, self._program.death_signal, self._program.owner)
        with self._program.log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._answers, "PostgreSQL answers")

    def stop(self) -> None:
        """Shut it down, fast: whoever is connected is thrown out."""
        self._process.send_signal(self._program.stop_signal)
        self._process.wait(timeout=15)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            self.do("select")
            return True
        return False


@dataclass(frozen=True)
class Road:
    """A server as it is reached on another port, with the key of whoever waits there."""

    server: Any
    port: int
    key: str | None = None

    def url(self, path: str = "/") -> str:
        """Return an address."""
        keyed = re.sub("apikey=[^&]*", f"apikey={self.key}", path) if self.key else path
        return f"http://127.0.0.1:{self.port}{keyed}"

    def sql(self, statements: str) -> None:
        """Have the server's database do something."""
        self.server.sql(statements)


class Mortal:
    """A Realtime server behind a gateway; it dies and comes again on its port."""

    def __init__(self, start: Callable[..., Any], gateway_port: int) -> None:
        self._start, self.server = start, start()
        self.road = Road(self.server, gateway_port, "key")

    def end(self, order: signal.Signals) -> None:
        """End the process, and wait for its end."""
        self.server.process.send_signal(order)
        self.server.process.wait(timeout=10)

    def start_again(self) -> None:
        """Start another one in its place."""
        self.server = self._start(port=self.server.port)


def anything_answers(url: str) -> bool:
    """Return whether anything answers there."""
    with contextlib.suppress(httpx.TransportError):
        httpx.get(url)
        return True
    return False
