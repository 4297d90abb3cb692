"""Measures the sharing between tenants and listeners: a flood beside a user's jobs, and three listeners."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import httpx
from figures import summary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench import Bench

FLOODS, BATCH = 2, 1000
LISTENERS, JOBS = 3, 20_000


async def fairness(bench: Bench) -> dict[str, Any]:
    """Lateness of a user's 500 jobs, due every 20 ms, alone and beside two clients of another that never stop."""
    bench.empty()
    async with bench.listener(), _user(bench, "alice") as alice, _user(bench, "mallory") as mallory:
        await anyio.sleep(1)
        alone = await _lateness(bench, alice)
        async with anyio.create_task_group() as floods:
            for _ in range(FLOODS):
                floods.start_soon(_flood, mallory)
            await anyio.sleep(1)
            beside = await _lateness(bench, alice)
            floods.cancel_scope.cancel()
    taken = bench.value("select count(*) from public.scheduled_jobs where priority = 32767")
    return {"alone": alone, "beside_a_flood": beside, "flood_jobs": taken}


@asynccontextmanager
async def _user(bench: Bench, name: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"apikey": bench.stack.anon_key, "authorization": f"Bearer {bench.stack.user_token(name)}"}
    async with httpx.AsyncClient(base_url=f"{bench.stack.url}/rest/v1", headers=headers, timeout=30) as client:
        yield client


async def _flood(client: httpx.AsyncClient) -> None:
    rows = [{"handler": "noop", "priority": 32767}] * BATCH
    while True:
        if not (await client.post("/scheduled_jobs", json=rows)).is_success:
            await anyio.sleep(0.02)  # its quota is used up, until some of them have run


async def _lateness(bench: Bench, client: httpx.AsyncClient, count: int = 500) -> dict[str, float]:
    begin = datetime.now(UTC) + timedelta(seconds=1)  # noqa: TID251 - the database is on the same machine's clock
    due = [(begin + timedelta(milliseconds=20 * n)).isoformat() for n in range(count)]
    answer = await client.post(
        "/scheduled_jobs",
        params={"select": "id"},
        json=[{"handler": "noop", "run_date": at} for at in due],
        headers={"prefer": "return=representation"},
    )
    jobs = [row["id"] for row in answer.raise_for_status().json()]
    query = "select lateness_ms from public.job_executions where scheduled_job_id = any(%s) and status = 'completed'"
    with anyio.fail_after(120):
        while len(rows := bench.sql.execute(query, [jobs]).fetchall()) < count:
            await anyio.sleep(0.2)
    return summary([late for (late,) in rows])


async def three_listeners(bench: Bench) -> dict[str, Any]:
    """20,000 no-op jobs due now, shared by three listeners: throughput, and the share of each in per cent."""
    bench.empty()
    async with AsyncExitStack() as stack:
        for number in range(LISTENERS):
            address = f"127.0.0.1:{18787 + number}"
            settings = {"LISTENER_HTTP_BIND": address, "LISTENER_HTTP_URL": f"http://{address}"}
            await stack.enter_async_context(bench.listener(**settings))
        await anyio.sleep(3)
        bench.sql.execute(
            "insert into public.scheduled_jobs (handler) select 'noop' from generate_series(1, %s)", [JOBS]
        )
        began = time.perf_counter()
        await bench.ended()
        seconds = time.perf_counter() - began
        await bench.finished(JOBS)
    shares = bench.sql.execute("select count(*) from public.job_executions group by listener_id order by 1").fetchall()
    return {
        "jobs": JOBS,
        "jobs_per_second": round(JOBS / seconds),
        "shares_percent": [round(100 * count / JOBS) for (count,) in shares],
    }
