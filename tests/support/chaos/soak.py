"""`make soak`: a steady load for half an hour, and whether anything grows.

Sampled every ten seconds: resident memory, file descriptors and threads of the listeners, the gateway and the Realtime
server; tasks and loop lag of the listeners. The slopes over the second half decide. Every option may also stand in the
environment: SOAK_SECONDS, SOAK_RATE, SOAK_REPLICAS.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, mean
from typing import TYPE_CHECKING

import anyio
import httpx
import psutil
from faulty_proxy import FaultyProxy, TcpRoad
from prometheus_client.parser import text_string_to_metric_families

from chaos.database import Database
from chaos.replicas import Replicas
from listener.local.stack import temporary_stack

if TYPE_CHECKING:
    from listener.local.stack import Stack

SAMPLE_SECONDS, BATCH_SECONDS = 10.0, 0.25
KEEP_DAYS = 60 / 86400
CLEAN = "select public.clean_ledger_v1(jsonb_build_object('retention_days', %s::numeric, 'limit', 20000)) as deleted"
PROGRAMS = {"gateway": "listener.local.gateway", "realtime": "listener.local.realtime"}
TOLERANCE = {
    "rss_mb": (0.03, 3.0),
    "fds": (0.02, 4.0),
    "threads": (0.02, 2.0),
    "tasks": (0.10, 200.0),
    "lag_ms": (0.5, 5.0),
}
"""By how much a gauge may rise over the second half, as a share of its mean and at least: what noise makes of it. Tasks
that ran a handler are kept for the next one, so their number is that of the most runs that ever went on at a time."""


@dataclass(frozen=True)
class Row:
    """One gauge over the run: means of the two halves, and the rise over the second one by its slope."""

    name: str
    first: float
    second: float
    rise: float
    is_flat: bool


class Samples:
    """Collects gauges by name, each a list of (seconds, value)."""

    def __init__(self) -> None:
        self.series: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._lag: dict[str, tuple[float, float]] = {}

    async def take(self, at: float, processes: dict[str, psutil.Process], urls: dict[str, str]) -> None:
        """Sample everything once."""
        for name, process in processes.items():
            with process.oneshot():
                self._add(f"{name} rss_mb", at, process.memory_info().rss / 1e6)
                self._add(f"{name} fds", at, process.num_fds())
                self._add(f"{name} threads", at, process.num_threads())
        async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
            for name, url in urls.items():
                self._metrics(name, at, (await http.get(f"{url}/metrics")).text)

    def _metrics(self, name: str, at: float, text: str) -> None:
        values = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
        self._add(f"{name} tasks", at, values["listener_tasks"])
        total, count = values["listener_loop_lag_seconds_sum"], values["listener_loop_lag_seconds_count"]
        before = self._lag.get(name, (0.0, 0.0))
        self._lag[name] = (total, count)
        self._add(f"{name} lag_ms", at, 1000 * (total - before[0]) / max(1.0, count - before[1]))

    def _add(self, name: str, at: float, value: float) -> None:
        self.series[name].append((at, value))

    def rows(self) -> list[Row]:
        """Judge every gauge."""
        return [_judge(name, series) for name, series in sorted(self.series.items())]


def _judge(name: str, series: list[tuple[float, float]]) -> Row:
    half = len(series) // 2
    first, second = series[:half] or series, series[half:]
    times, values = [at for at, _ in second], [value for _, value in second]
    slope = linear_regression(times, values).slope if len(second) > 1 else 0.0
    rise = slope * (times[-1] - times[0])
    share, least = TOLERANCE[name.rpartition(" ")[2]]
    return Row(name, mean(value for _, value in first), mean(values), rise, rise <= max(share * mean(values), least))


async def soak(seconds: float, rate: float, replicas: int) -> tuple[list[Row], int, int]:
    """Run the load; give the judgement, the jobs inserted and the jobs that ended."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        async with temporary_stack() as stack:
            straight = FaultyProxy(TcpRoad(stack.ports["api"], stack.ports["api"]))  # no proxy runs: it names the port
            listeners = Replicas(stack, [straight] * replicas, Path(folder), {})
            try:
                await listeners.start_all()
                return await _load(stack, listeners, seconds, rate)
            finally:
                listeners.stop_all()


async def _load(stack: Stack, listeners: Replicas, seconds: float, rate: float) -> tuple[list[Row], int, int]:
    database, samples, counts = Database(stack.admin_dsn), Samples(), {"inserted": 0}
    processes = {f"listener {each.slot}": psutil.Process(each.process.pid) for each in listeners.slots}
    for child in psutil.Process().children():
        processes |= {name: child for name, word in PROGRAMS.items() if word in child.cmdline()}
    urls = {f"listener {each.slot}": each.url for each in listeners.slots}
    start = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_insert, stack, rate, counts)
        tasks.start_soon(_forget, database)
        for at in range(int(SAMPLE_SECONDS), int(seconds) + 1, int(SAMPLE_SECONDS)):
            await anyio.sleep_until(start + at)
            await samples.take(at, processes, urls)
            _say(f"{at:6} s  {counts['inserted']:8,} jobs  " + _brief(samples))
        tasks.cancel_scope.cancel()
    ended = await _ended(urls)
    return samples.rows(), counts["inserted"], ended


async def _insert(stack: Stack, rate: float, counts: dict[str, int]) -> None:
    headers = {"apikey": stack.service_key, "Prefer": "return=minimal"}
    rows = [{"handler": "noop"}] * max(1, round(rate * BATCH_SECONDS))
    async with httpx.AsyncClient(
        base_url=f"{stack.url}/rest/v1/", headers=headers, timeout=30, trust_env=False
    ) as http:
        at = anyio.current_time()
        while True:
            await anyio.sleep_until(at)
            (await http.post("scheduled_jobs", json=rows)).raise_for_status()
            counts["inserted"] += len(rows)
            at += BATCH_SECONDS


async def _forget(database: Database) -> None:
    """Clean as the listeners do, but after a minute, not after days: what grows must not be the table."""
    while True:
        await anyio.sleep(SAMPLE_SECONDS)
        await database.rows(CLEAN, [KEEP_DAYS])


async def _ended(urls: dict[str, str]) -> int:
    total = 0.0
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        for url in urls.values():
            for family in text_string_to_metric_families((await http.get(f"{url}/metrics")).text):
                total += sum(s.value for s in family.samples if s.name == "listener_runs_total")
    return int(total)


def _brief(samples: Samples) -> str:
    return "  ".join(
        f"{name} {series[-1][1]:.1f}" for name, series in samples.series.items() if name.endswith(("rss_mb", "tasks"))
    )


def table(rows: list[Row]) -> str:
    """Give the judgement in Markdown."""
    lines = [
        "| gauge | mean, first half | mean, second half | rise over the second half | |",
        "|---|---:|---:|---:|---|",
    ]
    lines += [
        f"| {row.name} | {row.first:.1f} | {row.second:.1f} | {row.rise:+.1f} | {'flat' if row.is_flat else 'RISES'} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> int:
    """Soak, and give the exit code: 1 where something rises."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    variable = os.environ.get
    parser.add_argument("--seconds", type=float, default=float(variable("SOAK_SECONDS", "1800")))
    parser.add_argument("--rate", type=float, default=float(variable("SOAK_RATE", "200")), help="jobs a second")
    parser.add_argument("--replicas", type=int, default=int(variable("SOAK_REPLICAS", "2")))
    options = parser.parse_args()
    began = time.monotonic()
    rows, inserted, ended = anyio.run(soak, options.seconds, options.rate, options.replicas)
    is_flat = all(row.is_flat for row in rows)
    _say(f"\n{table(rows)}\n")
    _say(f"{inserted:,} jobs inserted, {ended:,} runs ended, {time.monotonic() - began:.0f} s")
    _say("flat" if is_flat else "NOT FLAT")
    return 0 if is_flat else 1


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
