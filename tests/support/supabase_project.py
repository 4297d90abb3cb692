"""The Supabase project of the embedded stack, as its users see it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
from patience import PATIENCE_SECONDS
from psycopg.rows import dict_row
from supabase import create_client
from supabase.lib.client_options import SyncClientOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from supabase import Client

    from listener.local.stack import Stack

FINAL = {"completed", "failed", "cancelled"}


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


@contextlib.contextmanager
def connected(stack: Stack) -> Iterator[Project]:
    """Connect to the stack's project with the service key, and to its database as superuser."""
    with (
        psycopg.connect(stack.admin_dsn, autocommit=True, row_factory=dict_row) as connection,
        httpx.Client(timeout=20) as http,
    ):
        client = create_client(stack.url, stack.service_key, SyncClientOptions(httpx_client=http))
        yield Project(client, connection)
