"""Looks at the rows while the run goes on: what one snapshot shows may never contradict itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from chaos.checker import Violation

if TYPE_CHECKING:
    from chaos.database import Database

INTERVAL_SECONDS = 3.0
CONTRADICTIONS = """
with ledger as materialized (
    select
        e.scheduled_job_id as id,
        count(*) filter (where e.status = 'queued') as waiting,
        count(*) filter (where e.status = 'running' and e.cause = 'schedule' and e.stopped_at is null) as running,
        min(e.run_at) filter (where e.status = 'queued') as first,
        min(e.run_at) filter (where e.status = 'queued' and e.cause = 'manual') as first_manual
    from public.job_executions as e
    where e.status in ('queued', 'running')
    group by e.scheduled_job_id
), seen as (
    select
        j.*, coalesce(l.waiting, 0) as waiting, coalesce(l.running, 0) as running,
        least(
            case when j.status in ('scheduled', 'running') then j.due_at end,
            case
                when j.status = 'scheduled' or j.status = 'running' and j.overlap = 'allow' then l.first
                else l.first_manual
            end
        ) as wake
    from public.scheduled_jobs as j
    left join ledger as l using (id)
    where j.job_id not like 'bystander-%%'
)
select 'job running without a run' as kind, id from seen where status = 'running' and running = 0
union all
select 'run of a schedule while its job is ' || status, id
from seen
where
    status not in ('running', 'paused') and running > 0 -- the run of a job that is paused goes on to its end
    -- A run whose row was locked when its job was cancelled is marked by the next extension, or ended by the rescuer.
    and (status <> 'cancelled' or updated_at < now() - make_interval(secs => %s))
union all
select 'queued_runs contradicts the ledger', id from seen where queued_runs <> waiting
union all
select 'next_run_at is wrong', id from seen where next_run_at is distinct from wake
"""


class Watch:
    """Collects contradictions.

    Args:
        database: where to look.
        settle_seconds: a lease and the time until it is rescued.
    """

    def __init__(self, database: Database, settle_seconds: float) -> None:
        self._database, self._settle_seconds = database, settle_seconds
        self.found: set[Violation] = set()
        self.looks = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await anyio.sleep(INTERVAL_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        for row in await self._database.rows(CONTRADICTIONS, [self._settle_seconds]):
            self.found.add(Violation(row["kind"], f"job {row['id']}"))
        self.looks += 1
