"""Counts a project's Realtime messages as Supabase bills them: at rest, in a burst, and on a day of single inserts.

`make budget` takes 25 minutes; `make budget BUDGET="--rest 160 --burst 60 --day 60 --listeners 1"` is a short look.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
from bench import ROW, Bench
from figures import summary

from listener.local.stack import running_stack
from listener.local.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

MONTH_SECONDS = 30 * 86400
SETTLE_SECONDS = 10.0
"""Until every channel was joined and probed."""
PER_SECOND = 50
DAILY = 100_000
PICKUP = (
    "select extract(epoch from e.started_at - j.created_at)::float8 * 1000 from public.job_executions as e "
    "join public.scheduled_jobs as j on e.scheduled_job_id = j.id where e.started_at is not null"
)


async def messages(bench: Bench) -> int:
    """Return how many messages Realtime has counted since its start."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{bench.stack.ports['realtime']}/health")
    return sum(answer.json()["messages"].values())


@asynccontextmanager
async def listeners(bench: Bench, count: int) -> AsyncIterator[Callable[[], float]]:
    """Run so many listeners, each on a port of its own; give a function that returns their CPU seconds since."""
    async with AsyncExitStack() as running:
        processes = []
        for number in range(count):
            port = bench.stack.ports["listener"] + 1000 + number if number else bench.stack.ports["listener"]
            bind = f"127.0.0.1:{port}"
            settings = {"LISTENER_HTTP_BIND": bind, "LISTENER_HTTP_URL": f"http://{bind}"}
            processes.append(await running.enter_async_context(bench.listener(**settings)))
        await anyio.sleep(SETTLE_SECONDS)

        def used() -> float:
            return sum(times.user + times.system for times in (process.cpu_times() for process in processes))

        began = used()
        yield lambda: used() - began


async def spent(bench: Bench, work: Callable[[], Awaitable[object]]) -> int:
    """Return how many messages this work costs."""
    before = await messages(bench)
    await work()
    return await messages(bench) - before


async def insert(bench: Bench, per_second: float, seconds: float) -> None:
    """Insert single jobs, evenly spread; each is due at once."""
    began = anyio.current_time()
    for number in range(round(per_second * seconds)):
        await anyio.sleep_until(began + number / per_second)
        bench.sql.execute(ROW)


async def rest(bench: Bench, count: int, seconds: float) -> dict[str, float]:
    """Measure a project in which nothing happens."""
    bench.empty()
    async with listeners(bench, count) as cpu:
        used = await spent(bench, lambda: anyio.sleep(seconds))
        percent = round(100 * cpu() / seconds, 1)
    return {
        "listeners": count,
        "messages": used,
        "a_month": round(used * MONTH_SECONDS / seconds),
        "cpu_percent": percent,
    }


async def burst(bench: Bench, count: int, seconds: float) -> dict[str, float]:
    """Measure 50 inserts a second."""
    bench.empty()
    async with listeners(bench, count):
        used = await spent(bench, lambda: insert(bench, PER_SECOND, seconds))
        await bench.finished(round(PER_SECOND * seconds))
    waits = [wait for (wait,) in bench.sql.execute(PICKUP)]
    return {"listeners": count, "inserts": len(waits), "messages": used, **summary(waits)}


async def day(bench: Bench, count: int, seconds: float) -> dict[str, float]:
    """Measure 100,000 inserts a day, after the burst that a listener's allowance grants: that is added once."""
    bench.empty()
    per_second = DAILY / 86400
    async with listeners(bench, count) as cpu:
        first = await spent(bench, lambda: insert(bench, PER_SECOND, 10))
        bench.empty()
        before = cpu()
        used = await spent(bench, lambda: insert(bench, per_second, seconds))
        percent = round(100 * (cpu() - before) / seconds, 1)
    waits = [wait for (wait,) in bench.sql.execute(PICKUP)]
    a_day = round(first + used * 86400 / seconds)
    figures = {"listeners": count, "inserts": len(waits), "messages": used, "a_day": a_day, "cpu_percent": percent}
    return {**figures, **summary(waits)}


async def main(wanted: argparse.Namespace) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="listener-budget-") as folder:
        Path(folder).chmod(0o711)
        async with running_stack(Path(folder)) as stack:
            bench = Bench(stack, StateFolder(Path(folder)))
            for measure, seconds in ((rest, wanted.rest), (burst, wanted.burst), (day, wanted.day)):
                for count in wanted.listeners if seconds else ():
                    result = await measure(bench, count, seconds)
                    print(f"{measure.__name__:6} {json.dumps(result)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listeners", type=int, nargs="+", default=[1, 3], help="how many listeners, in turn")
    parser.add_argument("--rest", type=float, default=320.0, help="seconds of rest; 0: not measured")
    parser.add_argument("--burst", type=float, default=600.0, help="seconds of 50 inserts a second; 0: not measured")
    parser.add_argument("--day", type=float, default=120.0, help="seconds of a day of 100,000 inserts; 0: not measured")
    anyio.run(main, parser.parse_args())
