"""Alerts as the tests of the database make them: rules, channels, ends of runs, and evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patience import until
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    import uuid

    import psycopg

END = """
    insert into public.job_executions (
        scheduled_job_id, workspace_id, created_by, scheduled_for, run_at, cause, attempt, status, reason, error,
        started_at, completed_at, duration_ms, lateness_ms, test_mode
    )
    select
        j.id, j.workspace_id, j.created_by, coalesce(%(due)s, clock_timestamp()), now(), 'schedule', %(attempt)s,
        %(status)s, %(reason)s, %(error)s, now(), coalesce(%(at)s, clock_timestamp()), %(duration)s,
        %(lateness)s, %(test)s
    from unnest(%(jobs)s::bigint[]) as n (id)
    inner join public.scheduled_jobs as j on n.id = j.id
    returning id
"""
FIELDS: dict[str, Any] = {
    "due": None,
    "attempt": 1,
    "reason": None,
    "error": None,
    "at": None,
    "duration": 5.0,
    "lateness": 1.0,
    "test": False,
}
SHOW = """
    update public.scheduled_jobs as j
    set last_run_status = %(status)s, last_run_at = clock_timestamp()
    where j.id = any(%(jobs)s::bigint[]) and %(status)s in ('completed', 'failed')
"""
XID = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as xid"
HORIZON = "select horizon::text::bigint as xid from job_scheduler.alert_cursor"
DUE = "update job_scheduler.alert_cursor set evaluated_at = least(evaluated_at, now() - interval '9.5 seconds')"
EVALUATE = "select public.evaluate_alerts_v1(%s) as answer"
TIMES = {
    "public.job_alerts": ("first_at", "last_at", "notified_at", "next_notification_at", "resolved_at"),
    "public.job_alert_rules": ("active_since", "muted_until"),
    "public.job_alert_deliveries": ("created_at",),
    "job_scheduler.troubled_jobs": ("first_at", "last_at"),
}
EMPTY = """
    truncate public.job_alert_rules, public.job_alert_channels, public.job_alerts, public.job_alert_deliveries,
    job_scheduler.troubled_jobs, job_scheduler.late_ends_for_alerts, job_scheduler.missing_handlers cascade
"""


class Alerting:
    """Rules and what happens to the jobs that they look at."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self.connection = connection
        connection.execute(EMPTY)

    def one(self, query: str, *values: Any) -> Any:
        """Give the one value that a query gives."""
        (value,) = self.connection.execute(query, values).fetchone().values()
        return value

    def add(self, table: str, **columns: Any) -> Any:
        """Insert a row; give its id."""
        names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
        values = [Jsonb(value) if isinstance(value, dict) else value for value in columns.values()]
        query = f"insert into public.{table} ({names}) values ({places}) returning id"  # noqa: S608 - ours
        return self.one(query, *values)

    def rule(self, condition: str = "failed", **columns: Any) -> uuid.UUID:
        """Insert a rule."""
        return self.add("job_alert_rules", condition=condition, **columns)

    def channel(self, target: str = "ops@example.com", **columns: Any) -> uuid.UUID:
        """Insert a channel, by default for mail."""
        return self.add("job_alert_channels", **{"kind": "email", "target": target, **columns})

    def job(self, handler: str = "noop", **columns: Any) -> int:
        """Insert a job that recurs, and is due in years."""
        schedule = {"trigger_type": "daily", "schedule": {"time": "08:00"}, "run_date": "2999-01-01Z"}
        return self.add("scheduled_jobs", handler=handler, **{**schedule, **columns})

    def end(self, *jobs: int, status: str = "failed", at: Any = None, **columns: Any) -> list[uuid.UUID]:
        """Enter an end of a run of each job, and show it in the jobs' rows."""
        values = {**FIELDS, **columns, "jobs": list(jobs), "status": status, "at": at}
        ends = self.connection.execute(END, values).fetchall()
        self.as_service(SHOW, values)
        return [row["id"] for row in ends]

    def as_service(self, query: str, values: Any) -> None:
        """Write what only the service writes."""
        with self.connection.transaction():
            self.connection.execute("select set_config('job_scheduler.stage', 'service', true)")
            self.connection.execute(query, values)

    def evaluate(self, limit: int = 200_000) -> dict[str, int]:
        """Evaluate all that has ended by now, as after ten seconds; give the sums of the answers."""
        present, sums = self.one(XID), {"opened": 0, "resolved": 0, "deliveries": 0}

        def once() -> bool:
            self.connection.execute(DUE)
            answer = self.one(EVALUATE, Jsonb({"limit": limit}))
            for name in sums:
                sums[name] += answer[name]
            return bool(self.one(HORIZON) >= present)  # a transaction of others may be open, autovacuum's for example

        until(once, "no older transaction is open")
        return sums

    def alerts(self) -> list[dict[str, Any]]:
        """Give the alerts, the oldest first."""
        return self.connection.execute("select * from public.job_alerts order by first_at, subject").fetchall()

    def kinds(self) -> list[str]:
        """Give what was to be sent, in order."""
        query = "select kind from public.job_alert_deliveries where status <> 'skipped' order by created_at, kind"
        return [row["kind"] for row in self.connection.execute(query).fetchall()]

    def pass_time(self, seconds: int) -> None:
        """Let everything that has happened have happened so much earlier."""
        for table, columns in TIMES.items():
            moved = ", ".join(f"{name} = {name} - make_interval(secs => %(by)s)" for name in columns)
            self.connection.execute(f"update {table} set {moved}", {"by": seconds})  # noqa: S608 - ours
