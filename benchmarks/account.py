"""Where a run's processor time goes, by process, call of the database and part of the listener: `make profile`.

It writes `PROFILE.md` beside this file. Processor time says more than rates do on a machine that does other things.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pstats
import re
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import psycopg
from bench import Bench, machine, opened
from sql_cost import SqlCost, lines

from listener.local.program import running
from listener.local.services import listener_program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

JOBS, ALONE, APART_SECONDS = 20_000, 500, 0.01
Spent = tuple[dict[str, float], str]
"""Processor seconds by process, and what came of them."""
PAGE = Path(__file__).with_name("PROFILE.md")
ENTRY = re.compile(r"^\S+ \S+ UTC \[(\d+)\] (LOG|STATEMENT):  (.*)$")
USED = re.compile(r"([\d.]+) s user, ([\d.]+) s system")
FUNCTION = re.compile(r'"public"\."(\w+)"')
PROFILED = """
import cProfile, runpy, sys, time
profile, sys.argv[0] = cProfile.Profile(time.process_time), "listener"
try:
    profile.runcall(runpy.run_module, "listener.cli", run_name="__main__")
finally:
    profile.dump_stats({target!r})
"""
BACKENDS = """
    select pid, case
        when backend_type = 'client backend' then coalesce(nullif(usename, 'postgres'), 'the measurement')
        else backend_type
    end
    from pg_stat_activity
"""


class Account:
    """Processor seconds of every process of the stack, between two moments."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._began = self._seconds()

    def spent(self) -> dict[str, float]:
        """Return the seconds since it was made, by process."""
        now = self._seconds()
        return {name: now[name] - self._began.get(name, 0.0) for name in now}

    def _seconds(self) -> dict[str, float]:
        backends = dict(self._bench.sql.execute(BACKENDS).fetchall())
        seconds: dict[str, float] = {}
        for process in psutil.Process().children(recursive=True):
            try:
                name, used = backends.get(process.pid) or _name(process), process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            seconds[name] = seconds.get(name, 0.0) + used.user + used.system
        return seconds


def _name(process: psutil.Process) -> str:
    command = process.cmdline()
    for name in ("gateway", "realtime", "postgrest"):
        if any(name in each for each in command[:3]):
            return name
    return "listener" if command[-1:] == ["run"] else "postmaster"


async def _throughput(bench: Bench) -> Spent:
    bench.sql.execute("insert into public.scheduled_jobs (handler) select 'noop' from generate_series(1, %s)", [JOBS])
    account, began = Account(bench), time.perf_counter()
    await bench.ended()
    seconds = time.perf_counter() - began
    await anyio.sleep(0.3)
    return account.spent(), f"{JOBS / seconds:,.0f} jobs a second"


async def _alone(bench: Bench) -> Spent:
    account, began = Account(bench), time.perf_counter()
    for number in range(ALONE):
        await anyio.sleep(max(0, began + number * APART_SECONDS - time.perf_counter()))
        bench.sql.execute("insert into public.scheduled_jobs (handler) values ('noop')")
    await bench.finished(ALONE)
    late = bench.value("select percentile_cont(0.5) within group (order by lateness_ms) from public.job_executions")
    return account.spent(), f"{late:,.1f} ms from due instant to start, median"


@asynccontextmanager
async def _profiled(bench: Bench, target: Path) -> AsyncIterator[None]:
    """Run a listener under cProfile, by its processor time."""
    program = listener_program(bench.state, {**bench.stack.environment(), "LISTENER_LOG_LEVEL": "warning"})
    command = [sys.executable, "-c", PROFILED.format(target=str(target)), "run"]
    async with running(replace(program, command=command, stop_seconds=20)):
        yield


async def _parts(bench: Bench) -> dict[str, float]:
    """Return µs a run by part of the listener; the profiler makes Python dearer than it is, so compare the shares."""
    bench.empty()
    target = bench.state.root / "listener.prof"
    async with _profiled(bench, target):
        await anyio.sleep(1)
        await _throughput(bench)
    parts: dict[str, float] = {}
    for (file, _, function), (_, _, own, _, _) in pstats.Stats(str(target)).stats.items():  # type: ignore[attr-defined]
        part = _part(file, function)
        parts[part] = parts.get(part, 0.0) + own / JOBS * 1e6
    return dict(itertools.islice(sorted(parts.items(), key=lambda each: -each[1]), 16))


def _part(file: str, function: str) -> str:
    if file == "~":
        return f"built in: {function.strip('<>').removeprefix('built-in ').removeprefix('method ').split(' of ')[0]}"
    folders = Path(file).parts
    for root in ("site-packages", "listener"):
        if root in folders[:-1]:
            below = folders[len(folders) - folders[::-1].index(root) :]
            return below[0] if root == "site-packages" else "/".join(("listener", *below))
    return "the standard library"


class Calls:
    """Open PostgreSQL's own account of each statement, from now on."""

    def __init__(self, bench: Bench) -> None:
        self._log = bench.state.log("postgres")
        self._from = self._log.stat().st_size
        with psycopg.connect(bench.stack.admin_dsn, autocommit=True) as admin:
            admin.execute("alter role authenticator set log_statement_stats = on")
            admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator'")

    def spent(self) -> dict[str, tuple[int, float]]:
        """Return calls and processor seconds by function, and of what surrounds them, the dearest first."""
        with self._log.open(errors="replace") as log:
            log.seek(self._from)
            text = log.read()
        used: dict[str, float] = {}
        found: dict[str, tuple[int, float]] = {}
        process = ""
        for line in text.splitlines():
            if entry := ENTRY.match(line):
                process, kind, rest = entry.groups()
                if kind == "STATEMENT" and process in used:
                    function = FUNCTION.search(rest)
                    name = function[1] if function else (rest.split() or ["others"])[0].lower()
                    calls, seconds = found.get(name, (0, 0.0))
                    found[name] = calls + 1, seconds + used.pop(process)
            elif (seconds_of := USED.search(line)) and "[" not in line:
                used[process] = float(seconds_of[1]) + float(seconds_of[2])
        return dict(sorted(found.items(), key=lambda each: -each[1][1])[:10])


async def measure(bench: Bench) -> dict[str, Any]:
    """Measure everything."""
    found: dict[str, Any] = {"sql": SqlCost(bench.stack.database_url).measure()}
    for name, act in (("throughput", _throughput), ("alone", _alone)):
        bench.empty()
        async with bench.listener():
            await anyio.sleep(2)
            found[name] = await act(bench)
    bench.empty()
    calls = Calls(bench)
    async with bench.listener():
        await anyio.sleep(2)
        await _throughput(bench)
    found["calls"] = calls.spent()
    found["parts"] = await _parts(bench)
    return found


def page(found: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# Profile\n\nWhere the processor time of a run goes, as `make profile` found it on"
    load = f"{os.getloadavg()[1]:.0f}"
    yield f"{machine()['cpus']} cores with a load of {load}. Of that, this makes 2; beyond it, compare the shares.\n"
    yield "## SQL, one connection\n"
    yield from lines(found["sql"])
    for title, name, jobs in (("20,000 no-ops", "throughput", JOBS), ("one job each 10 ms", "alone", ALONE)):
        spent, result = found[name]
        yield f"\n## By process: {title}\n\n{result}\n\n| process | processor µs a job |\n|---|---|"
        for process, seconds in sorted(spent.items(), key=lambda each: -each[1]):
            if seconds > 0:
                yield f"| {process} | {seconds / jobs * 1e6:,.1f} |"
    yield "\n## By call of the database: 20,000 no-ops\n\n| call | messages | processor µs a job |\n|---|---|---|"
    yield from (f"| `{name}` | {n:,} | {seconds / JOBS * 1e6:,.1f} |" for name, (n, seconds) in found["calls"].items())
    yield "\n## By part of the listener, under cProfile: compare the shares\n\n| part | µs a run |\n|---|---|"
    yield from (f"| {part} | {microseconds:,.1f} |" for part, microseconds in found["parts"].items())


async def main(target: Path) -> None:
    """Measure, and write the page."""
    async with opened() as bench:
        found = await measure(bench)
    target.write_text("\n".join(page(found)) + "\n")
    print(target.read_text())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=PAGE, help="the page to write")
    anyio.run(main, parser.parse_args().to)
