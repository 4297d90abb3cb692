"""The parts of the examples that tests start: their migrations in the database, and their FastAPI apps."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
from child_listener import free_port
from patience import until
from printed_pages import EXAMPLES, TABLE, leaving_nothing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

START_SECONDS = 120.0  # a bound: a busy machine starts slowly


@contextmanager
def migrated(stack: Any, *files: str) -> Iterator[None]:
    """Have the migrations of an example in the database, and PostgREST know their tables."""
    with leaving_nothing(stack):
        for file in files:
            text = (EXAMPLES / file).read_text(encoding="utf-8")
            with psycopg.connect(stack.database_url, autocommit=True) as database:
                database.execute(text.encode())
            headers = {"apikey": stack.service_key, "Authorization": f"Bearer {stack.service_key}"}
            with httpx.Client(base_url=f"{stack.url}/rest/v1", headers=headers) as rest:
                for table in TABLE.findall(text):
                    until(
                        lambda name=table, of=rest: of.get(f"/{name}?limit=1").is_success,
                        f"{table} is known",
                        START_SECONDS,
                    )
        yield


@contextmanager
def applications(example: str, environment: Mapping[str, str], *apps: str) -> Iterator[list[str]]:
    """Run FastAPI apps of an example, which start together; gives their URLs."""
    started = []
    try:
        for app in apps:
            port = free_port()
            options = ["--app-dir", str(EXAMPLES / example), "--port", str(port), "--no-access-log"]
            command = [sys.executable, "-m", "uvicorn", *options, app]
            process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
            started.append((port, process))
        for port, process in started:
            until(lambda at=port, of=process: of.poll() is not None or _accepts(at), f"{apps} serve", START_SECONDS)
            assert process.poll() is None
        yield [f"http://127.0.0.1:{port}" for port, _ in started]
    finally:
        for _, process in started:
            process.kill()
            process.wait()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
