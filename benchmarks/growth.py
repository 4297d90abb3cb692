"""Throughput with empty tables and with long ones, by turns as far as filling them allows, in one run."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from bench import Bench

JOBS, TURNS = 20_000, 3
ENDED, RUNS_EACH = 1_000_000, 5
FILL_JOBS = """
    insert into public.scheduled_jobs
        (handler, status, run_date, is_planned, total_runs, successful_runs, scheduled_runs, last_run_status)
    select 'noop', 'completed', now() - interval '1 day', true, %(runs)s, %(runs)s, %(runs)s, 'completed'
    from generate_series(1, %(jobs)s)
"""
FILL_LEDGER = """
    insert into public.job_executions
        (scheduled_job_id, scheduled_for, run_at, cause, status, started_at, completed_at, duration_ms, lateness_ms,
         progress)
    select j.id, at.due, at.due, 'schedule', 'completed', at.due, at.due, 0, 0, 1
    from public.scheduled_jobs as j
    cross join generate_series(1, %(runs)s) as n
    cross join lateral (select now() - interval '1 day' + n * interval '1 minute' as due) as at
"""


async def growth(bench: Bench) -> dict[str, float]:
    """20,000 no-op jobs due now, three times with empty tables, and with 1,000,000 ended jobs and 5,000,000 runs."""
    bench.empty()
    empty = [await bench.rate(JOBS) for _ in range(TURNS)]
    bench.empty()
    with psycopg.connect(bench.stack.admin_dsn, autocommit=True) as sql:
        sql.execute("set session_replication_role = replica")  # no trigger looks at rows that were never due
        sql.execute(FILL_JOBS, {"jobs": ENDED, "runs": RUNS_EACH})
        sql.execute(FILL_LEDGER, {"runs": RUNS_EACH})
        sql.execute("vacuum analyze public.scheduled_jobs, public.job_executions")
        sql.execute("checkpoint")
    grown = [await bench.rate(JOBS) for _ in range(TURNS)]
    bench.empty()
    return {
        "jobs_per_second": round(statistics.median(empty)),
        "beside_5_million_runs": round(statistics.median(grown)),
        "ratio": round(statistics.median(grown) / statistics.median(empty), 3),
    }
