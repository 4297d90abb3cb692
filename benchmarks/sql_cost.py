"""The database's cost of a job: processor time and WAL of one connection that inserts, claims and ends."""

from __future__ import annotations

import json
import statistics
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from listener.supabase.rows import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Cost = tuple[float, float]
"""Microseconds of processor time, and bytes of WAL, a job."""
INSERT = "insert into public.scheduled_jobs (handler) {} returning id, due_at::text"
ONE, MANY = INSERT.format("values ('noop')"), INSERT.format("select 'noop' from generate_series(1, {})")
ROUNDS, ALONE = 5, 100


class SqlCost:
    """One connection as PostgREST's are: each call a transaction of `service_role`, statements prepared."""

    def __init__(self, database_url: str) -> None:
        self._sql = psycopg.connect(database_url, autocommit=True, prepare_threshold=1)
        self._listener = str(uuid.uuid4())
        self._seen: dict[str, list[Cost]] = defaultdict(list)

    def measure(self) -> dict[str, Cost]:
        """Return the median cost of each step, in batches of 1,000 and one at a time."""
        self._round(100)
        self._alone(20)
        self._seen.clear()
        for _ in range(ROUNDS):
            self._round(1000)
            self._alone(ALONE)
        self._sql.close()
        return {
            step: (statistics.median(cpu for cpu, _ in seen), statistics.median(wal for _, wal in seen))
            for step, seen in self._seen.items()
        }

    def _round(self, jobs: int) -> None:
        rows = self._cost(f"insert {jobs}", jobs, lambda: self._insert(jobs))
        claimed = self._cost(f"claim {jobs}", jobs, lambda: self._call("claim_runs_v1", self._claim(rows)))
        taken = self._cost(f"end {jobs}", jobs, lambda: self._call("finish_runs_v1", self._end(claimed)))["taken"]
        assert len(taken) == jobs

    def _alone(self, jobs: int) -> None:
        rows = self._cost("insert 1", jobs, lambda: [self._insert(1) for _ in range(jobs)])
        claims = [self._claim(each) for each in rows]
        answers = self._cost("claim 1", jobs, lambda: [self._call("claim_runs_v1", each) for each in claims])
        ends = [self._end(each) for each in answers]
        self._cost("end 1", jobs, lambda: [self._call("finish_runs_v1", each) for each in ends])

    def _insert(self, jobs: int) -> list[tuple[Any, ...]]:
        with self._sql.transaction():
            self._sql.execute("set local role service_role")
            return self._sql.execute(ONE if jobs == 1 else MANY.format(jobs)).fetchall()

    def _call(self, function: str, request: dict[str, Any]) -> Any:  # noqa: ANN401 - its JSON
        with self._sql.transaction():
            self._sql.execute("set local role service_role")
            query = f"select public.{function}(%s::jsonb)"
            row = self._sql.execute(query, [json.dumps({"listener": self._listener, **request})]).fetchone()
        assert row is not None
        return row[0]

    def _claim(self, rows: list[tuple[Any, ...]]) -> dict[str, Any]:
        claims = [{"id": job, "due": due, "next": None, "exhausted": False} for job, due in rows]
        return {"handlers": ["noop"], "lease_seconds": 30, "ahead_seconds": 1, "key_concurrency": 1, "claims": claims}

    def _end(self, claimed: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat()  # noqa: TID251 - what a listener would send
        end = {"status": "completed", "started_at": now, "completed_at": now}
        results = [{"id": run["execution_id"], "fence": run["fence"], **end} for run in table(claimed["runs"])]
        return {"key_concurrency": 1, "results": results, "logs": []}

    def _cost(self, step: str, jobs: int, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the act gives
        wal, cpu = self._wal(), self._processor_seconds()
        answer = act()
        cpu, wal = self._processor_seconds() - cpu, self._wal() - wal
        self._seen[step].append((cpu / jobs * 1e6, wal / jobs))
        return answer

    def _processor_seconds(self) -> float:
        return int(Path(f"/proc/{self._sql.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9

    def _wal(self) -> float:
        row = self._sql.execute("select pg_current_wal_insert_lsn() - '0/0'").fetchone()
        assert row is not None
        return float(row[0])


def lines(costs: dict[str, Cost]) -> Iterator[str]:
    """Yield a table: a row for each step."""
    yield "| step | processor µs a job | WAL bytes a job |"
    yield "|---|---|---|"
    for step, (cpu, wal) in sorted(costs.items(), key=lambda each: -int(each[0].split()[1])):
        yield f"| {step} | {cpu:,.0f} | {wal:,.0f} |"
