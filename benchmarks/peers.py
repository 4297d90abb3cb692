"""The listener beside its peers, in one run, on one PostgreSQL: `make bench-peers`, on an idle machine.

Peers are installed into an environment of their own beside their programs. Each gets an empty database for each
measurement, and the settings that its documentation recommends for what is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from bench import Bench, lateness, machine, opened, pickup, throughput
from figures import summary
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parent / "peers"
PYTHON = FOLDER / ".venv/bin/python"
PEERS = {
    "APScheduler 3": (str(PYTHON), "apscheduler3.py"),
    "Awa": (str(PYTHON), "awa_peer.py"),
    "Chancy": (str(PYTHON), "chancy_peer.py"),
    "DBOS": (str(PYTHON), "dbos_peer.py"),
    "Graphile Worker": ("node", "graphile_worker.mjs"),
    "Oban for Python": (str(PYTHON), "oban_peer.py"),
    "pg-boss": ("node", "pg_boss.mjs"),
    "PgQueuer": (str(PYTHON), "pgqueuer_peer.py"),
    "Procrastinate": (str(PYTHON), "procrastinate_peer.py"),
}
OURS, DIRECT = "this listener", "this listener, with a connection of its own"
KEEPS = {
    OURS: "the job, and a row for each run",
    DIRECT: "the job, and a row for each run",
    "APScheduler 3": "nothing",
    "Awa": "a row for each run",
    "Chancy": "the job",
    "DBOS": "the job",
    "Graphile Worker": "nothing",
    "Oban for Python": "the job",
    "pg-boss": "the job",
    "PgQueuer": "a log line",
    "Procrastinate": "the job, and its events",
}
"""The traces in the database of a job that has ended, with the settings of these programs."""
LIMIT_SECONDS = 200


async def together(bench: Bench) -> dict[str, float]:
    """1,000 jobs due at one instant."""
    bench.empty()
    async with bench.listener():
        await anyio.sleep(1)
        bench.sql.execute(
            "insert into public.scheduled_jobs (handler, run_date) "
            "select 'noop', now() + interval '4 seconds' from generate_series(1, 1000)"
        )
        await bench.finished(1000)
    return summary(bench.lateness())


MEASUREMENTS = {each.__name__: each for each in (pickup, lateness, together, throughput)}
READ = {"pickup": ("p50_ms", "p99_ms"), "lateness": ("p50_ms", "p99_ms"), "together": ("p50_ms", "max_ms")}


def install() -> None:
    """Install the peers, once."""
    if not PYTHON.exists():
        uv, needed = [sys.executable, "-m", "uv"], FOLDER / "requirements.txt"
        subprocess.run([*uv, "venv", "--quiet", "--python", ">=3.12", FOLDER / ".venv"], check=True)  # Oban needs it
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", PYTHON, "-r", needed], check=True)
    if not (FOLDER / "node_modules").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=FOLDER, check=True)


async def measure_peer(bench: Bench, command: Sequence[str], measurement: str) -> dict[str, Any]:
    """Put one peer through one measurement, in an empty database."""
    name = sql.Identifier("peer")
    bench.sql.execute(sql.SQL("drop database if exists {} with (force)").format(name))
    bench.sql.execute(sql.SQL("create database {}").format(name))
    environment = {**os.environ, "DATABASE_URL": f"{bench.stack.database_url.rpartition('/')[0]}/peer"}
    program, script = command
    with anyio.move_on_after(LIMIT_SECONDS):
        done = await anyio.run_process([program, script, measurement], env=environment, cwd=FOLDER, check=False)
        if done.returncode == 0:
            return dict(json.loads(done.stdout.splitlines()[-1]))
        print(done.stderr.decode()[-500:], file=sys.stderr)
    return {"failed": True}


def cell(measurement: str, result: dict[str, Any], ours: dict[str, Any]) -> str:
    """Return a figure and its ratio to ours; for jobs a second more is better, for milliseconds less."""
    if "failed" in result:
        return "failed"
    key = "jobs_per_second" if measurement == "throughput" else "p50_ms"
    times = result[key] / ours[key]
    ratio = f"({times:,.0f} times)" if times >= 10 else f"({times:.2g} times)"
    if measurement == "throughput":
        return f"{result[key]:,}/s {ratio}"
    return f"{' / '.join(f'{result[each]:g}' for each in READ[measurement])} ms {ratio}"


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown, a row for each scheduler."""
    ours = results[OURS]
    heads = [
        "keeps of an ended job",
        "pickup p50 / p99",
        "lateness p50 / p99",
        "1,000 at one instant p50 / last",
        "20,000 no-op jobs",
    ]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, result in results.items():
        cells = [KEEPS[name], *(cell(each, result[each], ours[each]) for each in MEASUREMENTS)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


async def main() -> None:
    """Measure ours, then each peer, and write the table."""
    results: dict[str, dict[str, Any]] = {name: {} for name in KEEPS}
    async with AsyncExitStack() as stacks:
        benches = {name: await stacks.enter_async_context(opened(direct=name == DIRECT)) for name in (OURS, DIRECT)}
        for measurement, measure in MEASUREMENTS.items():
            for name, seen in results.items():
                if name in benches:
                    seen[measurement] = await measure(benches[name])
                else:
                    seen[measurement] = await measure_peer(benches[OURS], PEERS[name], measurement)
                print(f"{measurement:11} {name:15} {json.dumps(seen[measurement])}", flush=True)
    (Path(__file__).parent / "peers.json").write_text(json.dumps({"machine": machine(), **results}, indent=2) + "\n")
    print(table(results))


if __name__ == "__main__":
    install()
    anyio.run(main)
