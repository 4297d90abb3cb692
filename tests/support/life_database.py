"""The database as clients, listeners and time touch it in `test_life_of_a_job`."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from listener.supabase import requests, rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from listener.domain.job import Job, Run
    from listener.domain.messages import ClaimRequest, RunResult
    from listener.local.stack import Stack

LONG_SECONDS = 50 * 366 * 86400
"""Leases end when a test says so."""
SHIFT = """
with moved as (
    update scheduled_jobs set
        run_date = run_date - %(span)s, ends_at = ends_at - %(span)s, next_run_at = next_run_at - %(span)s,
        due_at = due_at - %(span)s, defined_at = defined_at - %(span)s
), first as (
    select id, scheduled_for - %(span)s as instant, run_at - %(span)s as run_at from job_executions
)
update job_executions as e set
    scheduled_for = f.instant + interval '100000 days', run_at = f.run_at,
    blocked_since = blocked_since - %(span)s, started_at = started_at - %(span)s, completed_at = completed_at - %(span)s
from first as f where e.id = f.id
"""
BACK = "update job_executions set scheduled_for = scheduled_for - interval '100000 days'"
"""In two steps, so that no row meets another where that one was before."""


class LifeDatabase:
    """Connections by role."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self._closing = stack, ExitStack()

    def __enter__(self) -> Self:
        """Connect as the service key, as a signed-in user, and as nobody whom triggers receive."""
        self._clients = {
            "service": self._connect("set role service_role"),
            "alice": self._connect("set role authenticated"),
        }
        claims = json.dumps({"sub": str(uuid.uuid4()), "role": "authenticated"})
        self._clients["alice"].execute("select set_config('request.jwt.claims', %s, false)", [claims])
        self._fate = self._connect("set session_replication_role = replica")
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect."""
        self._closing.close()

    def _connect(self, *statements: str) -> psycopg.Connection[dict[str, Any]]:
        connection = self._closing.enter_context(
            psycopg.connect(self._stack.admin_dsn, autocommit=True, row_factory=dict_row)
        )
        for statement in (*statements, "set timezone = 'UTC'"):
            connection.execute(statement)
        return connection

    def now(self) -> datetime:
        """Read the clock."""
        return self._fate.execute("select clock_timestamp() as now").fetchone()["now"]

    def clear(self) -> None:
        """Forget every job."""
        for table in ("job_execution_logs", "job_executions", "scheduled_jobs", "job_listeners"):
            self._fate.execute(sql.SQL("delete from {}").format(sql.Identifier(table)))
        self._fate.execute("delete from job_scheduler.signals")

    def shift(self, span: timedelta) -> None:
        """Let everything lie so much further in the past."""
        self._fate.execute(SHIFT, {"span": span})
        self._fate.execute(BACK)

    def expire(self, listener: str) -> None:
        """End a listener's leases."""
        query = """
            update job_executions set lease_expires_at = now() - interval '1 second'
            where listener_id = %s and status = 'running'
        """
        self._fate.execute(query, [listener])

    def read(self) -> tuple[dict[int, dict[str, Any]], dict[int, dict[Any, dict[str, Any]]]]:
        """Read every job, and the ledger of each by instant, cause and attempt, with NEVER for what is not to come."""
        ledger: dict[int, dict[Any, dict[str, Any]]] = defaultdict(dict)
        query = """
            select id, scheduled_job_id, scheduled_for, cause, attempt, status, reason, blocked_since,
                coalesce(run_at, '9999-01-01Z') as run_at, started_at, completed_at, listener_id,
                lease_expires_at
            from job_executions
        """
        for row in self._fate.execute(query).fetchall():
            ledger[row["scheduled_job_id"]][row["scheduled_for"], row["cause"], row["attempt"]] = row
        query = """
            select id, status, next_run_at,
                case
                    when not is_planned and due_at is not null then '9999-01-01Z' -- paused, its last run done
                    when is_planned then coalesce(due_at, '9999-01-01Z')
                end as due_at,
                queued_runs, total_runs, successful_runs, failed_runs, scheduled_runs, claimed_by
            from scheduled_jobs
        """
        return {row["id"]: row for row in self._fate.execute(query).fetchall()}, ledger

    def miscounted(self) -> list[dict[str, Any]]:
        """Compare what the quota of each tenant counts with its jobs."""
        query = """
            with found as (
                select
                    coalesce(workspace_id, created_by) as tenant,
                    count(*) filter (where status in ('scheduled', 'running', 'paused')) as active
                from scheduled_jobs group by 1
            ), counts as (
                select *, job_scheduler.active_jobs(tenant) as counted from found where tenant is not null
            )
            select * from counts where counted <> active
        """
        return self._fate.execute(query).fetchall()

    def rows(self) -> list[Job]:
        """Read jobs as listeners keep them."""
        query = "select job_row from job_scheduler.job_rows order by id"
        return [rows.job(row["job_row"]) for row in self._fate.execute(query).fetchall()]

    # Clients.

    def insert(self, tenant: str, row: dict[str, Any]) -> int:
        """Insert a job; its id."""
        row = {"handler": "noop", "timezone": "Europe/Berlin", **row, "schedule": Jsonb(row["schedule"])}
        query = sql.SQL("insert into scheduled_jobs ({}) values ({}) returning id").format(
            sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(map(sql.Placeholder, row))
        )
        return self._clients[tenant].execute(query, row).fetchone()["id"]

    def update(self, tenant: str, job: int, changes: dict[str, Any]) -> None:
        """Write columns of a job."""
        pairs = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in changes]
        query = sql.SQL("update scheduled_jobs set {} where id = %(job)s").format(sql.SQL(", ").join(pairs))
        assert self._clients[tenant].execute(query, {**changes, "job": job}).rowcount == 1

    def call(self, tenant: str, function: str, job: int) -> None:
        """Call a function for clients."""
        self._clients[tenant].execute(sql.SQL("select {}(%s)").format(sql.Identifier(function)), [job])

    def run_now(self, tenant: str, job: int) -> tuple[str, datetime]:
        """Ask for a run; its id and instant."""
        run = self._clients[tenant].execute("select run_job_now(%s) as id", [job]).fetchone()["id"]
        row = self._fate.execute("select scheduled_for from job_executions where id = %s", [run]).fetchone()
        return str(run), row["scheduled_for"]

    def delete(self, tenant: str, job: int) -> None:
        """Delete a job."""
        self._clients[tenant].execute("delete from scheduled_jobs where id = %s", [job])

    # Listeners.

    def plan_without(self, way: str) -> None:
        """Let the planner of the service's connection do without `nestloop`, `hashjoin` or another of its ways."""
        self._clients["service"].execute(sql.SQL("set {} = off").format(sql.Identifier(f"enable_{way}")))

    def service(self, function: str, request: dict[str, Any]) -> Any:
        """Call a function of the service."""
        query = sql.SQL("select {}(%s::jsonb) as answer").format(sql.Identifier(function))
        return self._clients["service"].execute(query, [json.dumps(request, default=_text)]).fetchone()["answer"]

    def claim(self, listener: str, claims: Iterable[ClaimRequest], ahead: float, key_limit: int) -> list[Run]:
        """Claim; the runs that are granted."""
        claims_sent = [requests.claim(claim) for claim in claims]
        request = {"lease_seconds": LONG_SECONDS, "ahead_seconds": ahead, "key_concurrency": key_limit}
        answer = self.service("claim_runs_v1", {"listener": listener, "claims": claims_sent, **request})
        return [rows.run(row) for row in rows.table(answer["runs"])]

    def finish(self, listener: str, run_results: Iterable[RunResult], key_limit: int) -> Any:
        """Write how attempts ended."""
        results = [requests.run_result(run_result) for run_result in run_results]
        return self.service(
            "finish_runs_v1", {"listener": listener, "key_concurrency": key_limit, "results": results, "logs": []}
        )

    def extend(self, listener: str, executions: list[tuple[str, int]]) -> Any:
        """Send a heartbeat, and extend claims."""
        request = {"listener": listener, "name": "life", "lease_seconds": LONG_SECONDS, "executions": executions}
        return self.service("extend_leases_v1", request)


def _text(instant: object) -> str:
    assert isinstance(instant, datetime)
    return instant.isoformat()
