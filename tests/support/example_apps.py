"""The parts of the examples that tests start: their migrations in the database, and their FastAPI apps."""

from __future__ import annotations

import os
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
            for table in TABLE.findall(text):
                until(lambda table=table: _is_known(stack, table), f"PostgREST knows {table}", START_SECONDS)
        yield


def _is_known(stack: Any, table: str) -> bool:
    headers = {"apikey": stack.service_key, "Authorization": f"Bearer {stack.service_key}"}
    return httpx.get(f"{stack.url}/rest/v1/{table}?limit=1", headers=headers).is_success


@contextmanager
def application(example: str, app: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a FastAPI app of an example; gives its URL."""
    port = free_port()
    options = ["--app-dir", str(EXAMPLES / example), "--port", str(port), "--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", *options, app]
    process = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: process.poll() is not None or _answers(url), f"{app} serves", START_SECONDS)
        assert process.poll() is None
        yield url
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/openapi.json").is_success
    except httpx.TransportError:
        return False
