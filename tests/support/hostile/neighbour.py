"""A user who inserts a job due now and one due in two seconds, again and again, and what became of these jobs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import httpx

if TYPE_CHECKING:
    from supabase_project import Project

EVERY_SECONDS = 0.25
AHEAD = timedelta(seconds=2)
LOST_SECONDS = 30.0
"""A job that has not started so long after it was due counts as starved."""
STARTS = """
select j.id, j.name, j.created_at, min(e.scheduled_for) as due, min(e.started_at) as started
from public.scheduled_jobs as j
left join public.job_executions as e on e.scheduled_job_id = j.id and e.started_at is not null
where j.id = any(%s)
group by j.id
"""


@dataclass
class Neighbour:
    """Inserts jobs through the API as one signed-in user; `jobs` are those accepted, `refused` the other answers."""

    client: httpx.AsyncClient
    jobs: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def work(self) -> None:
        """Insert two jobs every quarter of a second until cancelled; a slow answer delays no later insert."""
        async with anyio.create_task_group() as inserts:
            at = time.monotonic()
            while True:
                inserts.start_soon(self._insert)
                at += EVERY_SECONDS
                await anyio.sleep(max(0.0, at - time.monotonic()))

    async def _insert(self) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(LOST_SECONDS):
            later = (datetime.now(UTC) + AHEAD).isoformat()
            for row in ({"handler": "noop", "name": "now"}, {"handler": "noop", "name": "later", "run_date": later}):
                try:
                    answer = await self.client.post("/scheduled_jobs", params={"select": "id"}, json=row)
                except httpx.HTTPError as error:
                    self.refused.append(repr(error))
                    continue
                if answer.is_success:
                    self.jobs.append(answer.json()[0]["id"])
                else:
                    self.refused.append(answer.text)


@dataclass(frozen=True)
class Punctuality:
    """Seconds from due instant to start, ascending, of jobs due now and jobs due later; how many never started."""

    now: list[float]
    later: list[float]
    starved: int
    refused: int

    def p99(self, kind: str) -> float:
        """Return the 99th percentile of one kind, infinite where none started."""
        values = self.now if kind == "now" else self.later
        return values[min(len(values) - 1, int(len(values) * 0.99))] if values else float("inf")

    def p50(self, kind: str) -> float:
        """Return the median of one kind, infinite where none started."""
        values = self.now if kind == "now" else self.later
        return values[len(values) // 2] if values else float("inf")


async def punctuality(project: Project, neighbour: Neighbour) -> Punctuality:
    """Wait until all of the neighbour's jobs have started, or have starved; measure from insert or due instant."""
    deadline = time.monotonic() + LOST_SECONDS
    while True:
        rows = project.rows(STARTS, neighbour.jobs)
        if all(row["started"] for row in rows) or time.monotonic() > deadline:
            break
        await anyio.sleep(0.2)
    late: dict[str, list[float]] = {"now": [], "later": []}
    for row in rows:
        if row["started"]:
            due = row["created_at"] if row["name"] == "now" else max(row["due"], row["created_at"])
            late[row["name"]].append((row["started"] - due).total_seconds())
    return Punctuality(
        sorted(late["now"]), sorted(late["later"]), sum(not row["started"] for row in rows), len(neighbour.refused)
    )
