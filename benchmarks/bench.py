"""Measures the listener on the embedded stack: pickup, lateness, throughput, a burst, a full table.

Run it on an idle machine: `python benchmarks/bench.py` (or with the names of single measurements).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import tempfile
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import psycopg
from alert_rules import alert_rules
from figures import summary
from growth import growth
from resting import rest, rest_beside_open, rest_restored
from sharing import fairness, three_listeners

from listener.local.program import running
from listener.local.services import listener_program
from listener.local.stack import running_stack
from listener.local.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import LiteralString

    from listener.local.stack import Stack

ROW = "insert into public.scheduled_jobs (handler) values ('noop') returning id"
STARTED = "select max(started_at) from public.job_executions where scheduled_job_id = %s and status = 'completed'"


class Bench:
    """A stack, a connection to it, and listeners started on it as they are needed."""

    def __init__(self, stack: Stack, state: StateFolder) -> None:
        self.stack, self.state = stack, state
        self.sql = psycopg.connect(stack.database_url, autocommit=True)

    @asynccontextmanager
    async def listener(self, **settings: str) -> AsyncIterator[psutil.Process]:
        """Run a listener, and give its process once it is ready."""
        environment = {**self.stack.environment(), "LISTENER_LOG_LEVEL": "warning", **settings}
        async with running(listener_program(self.state, environment)):
            yield next(child for child in psutil.Process().children() if child.cmdline()[-1:] == ["run"])

    def empty(self) -> None:
        """Start every measurement with empty tables."""
        self.sql.execute("truncate public.scheduled_jobs, public.job_executions, job_scheduler.signals cascade")
        self.sql.execute("vacuum analyze public.scheduled_jobs, public.job_executions")

    async def finished(self, count: int, within: float = 120.0) -> None:
        """Wait until the ledger holds `count` completed runs."""
        with anyio.fail_after(within):
            while self.value("select count(*) from public.job_executions where status = 'completed'") < count:
                await anyio.sleep(0.05)

    async def ended(self, after: int = 0) -> None:
        """Wait until every job after this one has run once. What is asked often costs little: it loads these cores."""
        for left in (  # the first has an index
            "select exists (select from public.scheduled_jobs where id > %s and next_run_at is not null)",
            "select exists (select from public.scheduled_jobs where id > %s and total_runs = 0)",
        ):
            while self.value(left, [after]):
                await anyio.sleep(0.025)

    async def rate(self, jobs: int) -> float:
        """Insert no-op jobs due now beside a listener; how many a second it ran."""
        last = self.value("select coalesce(max(id), 0) from public.scheduled_jobs")
        async with self.listener():
            await anyio.sleep(1)
            self.sql.execute(
                "insert into public.scheduled_jobs (handler) select 'noop' from generate_series(1, %s)", [jobs]
            )
            began = time.perf_counter()
            await self.ended(after=last)
            return jobs / (time.perf_counter() - began)

    def value(self, query: LiteralString, arguments: Sequence[object] = ()) -> Any:  # noqa: ANN401 - any type of SQL
        """Return the one value of a query."""
        row = self.sql.execute(query, arguments).fetchone()
        assert row is not None
        return row[0]

    def lateness(self) -> list[float]:
        """Milliseconds from due instant to handler start of every run, ascending."""
        rows = self.sql.execute(
            "select lateness_ms from public.job_executions where lateness_ms is not null order by 1"
        )
        return [value for (value,) in rows]


@asynccontextmanager
async def opened(*, direct: bool = False) -> AsyncIterator[Bench]:
    """Run a stack of its own, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="listener-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        async with running_stack(folder, direct=direct) as stack:
            yield Bench(stack, StateFolder(folder))


async def _pickup(bench: Bench, channels: str, samples: int) -> dict[str, float]:
    bench.empty()
    seen = []
    async with bench.listener(LISTENER_CHANNELS=channels):
        await anyio.sleep(1)
        for _ in range(samples):
            job = bench.sql.execute(ROW).fetchone()
            assert job is not None
            committed = time.time()  # noqa: TID251 - the ledger's instants are on the same machine's clock
            started = None
            while started is None:
                await anyio.sleep(0.02)
                started = bench.value(STARTED, job)
            seen.append((started.timestamp() - committed) * 1000)
    return summary(seen)


async def pickup(bench: Bench) -> dict[str, float]:
    """Commit of an insert to handler start, all channels, 200 samples."""
    return await _pickup(bench, "notify," * bench.stack.is_direct + "broadcast,postgres_changes", 200)


async def pickup_notify(bench: Bench) -> dict[str, float]:
    """The same by NOTIFY alone; only with `--direct`."""
    return await _pickup(bench, "notify", 200)


async def pickup_changes(bench: Bench) -> dict[str, float]:
    """The same by postgres_changes alone."""
    return await _pickup(bench, "postgres_changes", 200)


async def lateness(bench: Bench) -> dict[str, float]:
    """2,000 jobs due at random times over 20 s."""
    bench.empty()
    async with bench.listener():
        await anyio.sleep(1)
        chance = random.Random(1)  # noqa: S311 - the same jobs in every run
        offsets = [2 + 20 * chance.random() for _ in range(2000)]
        bench.sql.execute(
            "insert into public.scheduled_jobs (handler, run_date) "
            "select 'noop', now() + make_interval(secs => o) from unnest(%s::float8[]) as o",
            (offsets,),
        )
        await bench.finished(2000)
    return summary(bench.lateness())


async def burst(bench: Bench) -> dict[str, float]:
    """2,000 jobs due at one instant, armed before."""
    bench.empty()
    async with bench.listener(LISTENER_CONCURRENCY="2000"):
        await anyio.sleep(1)
        bench.sql.execute(
            "insert into public.scheduled_jobs (handler, run_date) "
            "select 'noop', now() + interval '4 seconds' from generate_series(1, 2000)"
        )
        await bench.finished(2000)
    return summary(bench.lateness())


async def throughput(bench: Bench) -> dict[str, float]:
    """20,000 no-op jobs due now, ledger included: from the commit to the last row written."""
    bench.empty()
    async with bench.listener():
        await anyio.sleep(1)
        bench.sql.execute("insert into public.scheduled_jobs (handler) select 'noop' from generate_series(1, 20000)")
        began = time.perf_counter()
        await bench.ended()
        seconds = time.perf_counter() - began
        await bench.finished(20_000)
    return {"jobs": 20_000, "seconds": round(seconds, 2), "jobs_per_second": round(20_000 / seconds)}


async def waiting(bench: Bench) -> dict[str, float]:
    """1,000,000 jobs due in days: start to ready, memory, and CPU at rest."""
    bench.empty()
    for _ in range(20):
        bench.sql.execute(
            "insert into public.scheduled_jobs (handler, run_date) "
            "select 'noop', now() + interval '3 days' + n * interval '1 second' from generate_series(1, 50000) as n"
        )
    bench.sql.execute("vacuum analyze public.scheduled_jobs")
    began = time.perf_counter()
    async with bench.listener() as process:
        ready = time.perf_counter() - began
        await anyio.sleep(3)
        before = process.cpu_times()
        await anyio.sleep(20)
        after = process.cpu_times()
        rss = process.memory_info().rss
    used = (after.user + after.system) - (before.user + before.system)
    result = {
        "start_to_ready_s": round(ready, 2),
        "rss_mb": round(rss / 2**20),
        "idle_cpu_percent": round(used / 20 * 100, 2),
    }
    bench.empty()
    return result


async def planning(bench: Bench) -> dict[str, float]:
    """10,000 recurring jobs without a due instant: from the start of the listener until all are planned and armed."""
    bench.empty()
    bench.sql.execute(
        "insert into public.scheduled_jobs (handler, trigger_type, schedule) "
        """select 'noop', 'cron', '{"expression": "0 9 * * 1-5"}' from generate_series(1, 10000)"""
    )
    began = time.perf_counter()
    async with bench.listener():
        ready = time.perf_counter() - began
        while bench.value("select count(*) from public.scheduled_jobs where due_at is null"):
            await anyio.sleep(0.02)
        planned = time.perf_counter() - began
    return {"jobs": 10_000, "start_to_ready_s": round(ready, 2), "start_to_planned_s": round(planned, 2)}


async def _recurring(bench: Bench, apart: timedelta) -> dict[str, float]:
    bench.empty()
    async with bench.listener(LISTENER_CONCURRENCY="2000"):
        await anyio.sleep(1)
        bench.sql.execute(
            "insert into public.scheduled_jobs (handler, trigger_type, schedule, run_date) "
            """select 'noop', 'interval', '{"seconds": 10}', date_trunc('second', now()) + interval '3 seconds' """
            "+ n * %s from generate_series(1, 1000) as n",
            (apart,),
        )
        await anyio.sleep(125)
    gaps = bench.value(
        "select count(*) from (select scheduled_for - lag(scheduled_for) over "
        "(partition by scheduled_job_id order by scheduled_for) as gap from public.job_executions) as g "
        "where gap <> interval '10 seconds'"
    )
    worst_batch = bench.value(
        "select max(late) from (select max(lateness_ms) as late from public.job_executions group by scheduled_for) as b"
    )
    return {**summary(bench.lateness()), "instants_missing": gaps, "last_of_worst_instant_ms": round(worst_batch, 1)}


async def recurring_spread(bench: Bench) -> dict[str, float]:
    """1,000 recurring jobs every 10 s for two minutes, their anchors spread over the 10 s."""
    return await _recurring(bench, timedelta(milliseconds=10))


async def recurring_together(bench: Bench) -> dict[str, float]:
    """1,000 recurring jobs every 10 s for two minutes, all due at the same instants."""
    return await _recurring(bench, timedelta())


MEASUREMENTS = {
    each.__name__: each
    for each in (
        pickup,
        pickup_changes,
        pickup_notify,
        lateness,
        throughput,
        burst,
        waiting,
        rest,
        rest_restored,
        rest_beside_open,
        planning,
        recurring_spread,
        recurring_together,
        fairness,
        three_listeners,
        alert_rules,
        growth,
    )
}


async def main(names: list[str], direct: bool) -> None:  # noqa: FBT001 - `anyio.run` passes no names on
    """Measure, print, and write the results beside this file."""
    results: dict[str, Any] = {}
    async with opened(direct=direct) as bench:
        for name in names:
            results[name] = await MEASUREMENTS[name](bench)
            print(f"{name:16} {json.dumps(results[name])}", flush=True)
    target = Path(__file__).parent / ("results_direct.json" if direct else "results.json")
    target.write_text(json.dumps({"machine": machine(), **results}, indent=2) + "\n")


def machine() -> dict[str, object]:
    """Describe the machine."""
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; all of them if absent")
    parser.add_argument("--direct", action="store_true", help="listeners with PostgreSQL connections of their own")
    options = parser.parse_args()
    wanted = options.names or [name for name in MEASUREMENTS if options.direct or name != "pickup_notify"]
    for unknown in set(wanted).difference(MEASUREMENTS):
        parser.error(f"{unknown}: expected {', '.join(MEASUREMENTS)}")
    anyio.run(main, wanted, options.direct)
