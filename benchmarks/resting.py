"""Measures what rest costs: the listener's and PostgreSQL's processor time while nothing is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import psutil
import psycopg

if TYPE_CHECKING:
    from bench import Bench

SETTLE_SECONDS, REST_SECONDS = 10, 60
FAR = 10**9
"""Transactions of the cluster that a dump is from; a new one begins with a few hundred."""
JOBS = """
    insert into public.scheduled_jobs (handler, status, run_date)
    select 'noop', case n & 1 when 0 then 'paused' else 'scheduled' end, now() + interval '1 year'
    from generate_series(1, %s) as n
"""


async def rest(bench: Bench) -> dict[str, float]:
    """100,000 jobs, half of them paused, the others due in a year."""
    bench.empty()
    bench.sql.execute(JOBS, [100_000])
    return await _rest(bench)


async def rest_restored(bench: Bench) -> dict[str, float]:
    """The same, from a cluster whose transaction counter was far ahead of this one's."""
    bench.empty()
    bench.sql.execute(JOBS, [100_000])
    with bench.sql.transaction():
        bench.sql.execute("select set_config('job_scheduler.stage', 'service', true)")
        bench.sql.execute(
            "update public.scheduled_jobs set changed_in = %(far)s + id, revision = %(far)s", {"far": FAR}
        )
    bench.sql.execute("vacuum analyze public.scheduled_jobs")
    return await _rest(bench)


async def rest_beside_open(bench: Bench) -> dict[str, float]:
    """One transaction has written and stays open, while 60,000 jobs run and 20,000 are paused."""
    bench.empty()
    with psycopg.connect(bench.stack.database_url) as open_one:
        open_one.execute("insert into public.scheduled_jobs (handler, status) values ('noop', 'paused')")
        async with bench.listener():
            for _ in range(6):
                bench.sql.execute(
                    "insert into public.scheduled_jobs (handler) select 'noop' from generate_series(1, 10000)"
                )
                await anyio.sleep(1)
            await bench.finished(60_000)
        bench.sql.execute(JOBS, [40_000])
        result = await _rest(bench)
        open_one.rollback()
    return result


async def _rest(bench: Bench) -> dict[str, float]:
    """Percent of a core that a listener and PostgreSQL use, from some seconds after the start."""
    (server,) = [each for each in psutil.Process().children() if each.name() == "postgres"]
    async with bench.listener() as process:
        await anyio.sleep(SETTLE_SECONDS)
        before = _seconds(process), _seconds(server, *server.children())
        await anyio.sleep(REST_SECONDS)
        after = _seconds(process), _seconds(server, *server.children())
    used = [100 * (end - begin) / REST_SECONDS for begin, end in zip(before, after, strict=True)]
    return {"listener_percent": round(used[0], 2), "postgresql_percent": round(used[1], 2)}


def _seconds(*processes: psutil.Process) -> float:
    times = [process.cpu_times() for process in processes]
    ended = times[0]
    return sum(each.user + each.system for each in times) + ended.children_user + ended.children_system
