"""Throughput with alert rules and without, by turns, in one run."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench import Bench

JOBS = 40_000
RULES = 100
TURNS = 3
ADD_RULES = """
    insert into public.job_alert_rules (condition, handler, threshold)
    select
        c.name, case when n %% 2 = 0 then 'noop' end,
        case c.name when 'failing' then 3 when 'long_running' then 60 when 'late' then 60 when 'missed' then 300 end
    from generate_series(0, %s - 1) as n
    inner join unnest(array['failed', 'failing', 'long_running', 'late', 'missed', 'backlog', 'no_listener'])
        with ordinality as c (name, place) on n %% 7 + 1 = c.place
"""


async def alert_rules(bench: Bench) -> dict[str, float]:
    """40,000 no-op jobs due now, by turns without alert rules and with 100 of all conditions, three times each."""
    rates: dict[int, list[float]] = {0: [], RULES: []}
    for _ in range(TURNS):
        for count, seen in rates.items():
            bench.sql.execute("truncate public.job_alert_rules cascade")
            bench.sql.execute(ADD_RULES, (count,))
            bench.empty()
            seen.append(await bench.rate(JOBS))
    bench.sql.execute("truncate public.job_alert_rules cascade")
    without, beside = (statistics.median(seen) for seen in rates.values())
    evaluations = bench.value("select extract(epoch from now() - evaluated_at) < 60 from job_scheduler.alert_cursor")
    return {
        "jobs_per_second": round(without),
        f"beside_{RULES}_rules": round(beside),
        "ratio": round(beside / without, 3),
        "evaluated": int(evaluations),
    }
