"""All that is left of a run: the final rows, the audit, and what the handlers wrote down themselves."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from uuid import UUID

    from chaos.database import Database
    from chaos.replicas import Replica, Replicas

JOBS = "select * from public.scheduled_jobs where job_id not like 'bystander-%' order by id"
RUNS = "select * from public.job_executions order by scheduled_job_id, scheduled_for, cause, attempt"
JOB_CHANGES = """
select c.* from chaos.job_changes as c inner join public.scheduled_jobs as j on j.id = c.job
where j.job_id not like 'bystander-%' order by c.job, c.n
"""
RUN_CHANGES = "select * from chaos.run_changes order by run, n"
LISTENERS = "select id, name from chaos.listeners"


@dataclass
class Record:
    """One call of a handler; instants are of the true wall clock, `ended` None where it never said so."""

    execution_id: str
    job: int
    scheduled_for: datetime
    attempt: int
    pid: int
    began: datetime
    ended: datetime | None = None
    how: str = "open"


@dataclass
class ClaimRequest:
    """A span in which a run was running, and for whom; `until` None if it still is."""

    listener: UUID | None
    since: datetime
    until: datetime | None = None
    lease: datetime | None = None


@dataclass
class Evidence:
    """The checker's input. `histories` are job changes by job; `changes` and `claims` are those of runs, by run."""

    jobs: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    histories: dict[int, list[dict[str, Any]]]
    changes: dict[UUID, list[dict[str, Any]]]
    claims: dict[UUID, list[ClaimRequest]]
    pids: dict[UUID, int]
    records: list[Record]
    replicas: dict[int, Replica]
    true_offset: float = field(default_factory=lambda: time.time() - time.monotonic())

    def wall(self, monotonic: float) -> datetime:
        """Turn a monotonic instant into one of the wall clock."""
        return datetime.fromtimestamp(monotonic + self.true_offset, UTC)

    def frozen(self, pid: int) -> list[tuple[datetime, datetime]]:
        """Give the spans in which a process was stopped."""
        replica = self.replicas.get(pid)
        return [(self.wall(a), self.wall(b)) for a, b in replica.paused] if replica else []

    def gone(self, pid: int) -> datetime | None:
        """Return when a process was gone."""
        replica = self.replicas.get(pid)
        return self.wall(replica.died) if replica and replica.died else None


def keep(evidence: Evidence, file: Path) -> None:
    """Write down what the tables said, for whoever looks into a violation."""
    tables = {
        "jobs": evidence.jobs,
        "runs": evidence.runs,
        "job_changes": [change for history in evidence.histories.values() for change in history],
        "run_changes": [change for changes in evidence.changes.values() for change in changes],
    }
    file.write_text(
        "".join(json.dumps({"table": name, **row}, default=str) + "\n" for name in tables for row in tables[name])
    )


async def gather(database: Database, replicas: Replicas) -> Evidence:
    """Collect everything."""
    runs = await database.rows(RUNS)
    changes = _grouped(await database.rows(RUN_CHANGES), "run")
    offset = time.time() - time.monotonic()
    return Evidence(
        jobs=await database.rows(JOBS),
        runs=runs,
        histories=_grouped(await database.rows(JOB_CHANGES), "job"),
        changes=changes,
        claims={run: _claims(each) for run, each in changes.items()},
        pids={row["id"]: int(row["name"].rpartition("/")[2]) for row in await database.rows(LISTENERS)},
        records=read_records(replicas.records, offset),
        replicas={each.process.pid: each for each in replicas.all},
        true_offset=offset,
    )


def read_records(folder: Path, offset: float) -> list[Record]:
    """Read what handlers wrote down; `offset` leads from the monotonic clock to the wall's."""
    records = []
    for file in folder.iterdir():
        pid, open_ones = int(file.stem), dict[str, Record]()
        for line in file.read_text().splitlines():
            note = json.loads(line)
            at = datetime.fromtimestamp(note["m"] + offset, UTC)
            if note["e"] == "begin":
                due = datetime.fromisoformat(note["s"])
                record = open_ones[note["x"]] = Record(note["x"], note["j"], due, note["a"], pid, at)
                records.append(record)
            elif note["x"] in open_ones:
                record = open_ones[note["x"]]
                record.ended, record.how = at, note["e"]
    return records


def _claims(changes: Iterable[dict[str, Any]]) -> list[ClaimRequest]:
    claims: list[ClaimRequest] = []
    for change in changes:
        if claims and claims[-1].until is None and change["old_status"] == "running":
            claims[-1].until, claims[-1].lease = change["at"], change["old_lease"]
        if change["status"] == "running":
            claims.append(ClaimRequest(change["listener"], change["at"]))
    return claims


def _grouped(rows: list[dict[str, Any]], key: str) -> dict[Any, list[dict[str, Any]]]:
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups
