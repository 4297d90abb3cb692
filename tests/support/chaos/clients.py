"""Clients at work: they insert and change jobs through the gateway, and try again whatever did not arrive."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from zlib import crc32

import anyio
import httpx

if TYPE_CHECKING:
    from chaos.load import Act, Load, NewJob
    from listener.local.stack import Stack

BATCH_SECONDS = 0.25
ACTORS = 4
RETRY_SECONDS = 0.2
CONFLICT = 409
PATIENCE_SECONDS = 120.0


class RefusedError(Exception):
    """The database refused what it should have taken."""


class Clients:
    """Carry a load out.

    Args:
        stack: whose gateway they use.
        load: what they do.
    """

    def __init__(self, stack: Stack, load: Load) -> None:
        headers = {"apikey": stack.service_key, "Authorization": f"Bearer {stack.service_key}"}
        self._http = httpx.AsyncClient(base_url=f"{stack.url}/rest/v1/", headers=headers, timeout=10, trust_env=False)
        self._load = load
        self._ids: dict[str, int] = {}
        self.refusals: list[str] = []
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Do everything at its time."""
        start = anyio.current_time()
        streams = [anyio.create_memory_object_stream[Any](float("inf")) for _ in range(ACTORS)]
        async with self._http, anyio.create_task_group() as tasks, AsyncExitStack() as sending:
            tasks.start_soon(self._insert_all, start)
            for send, receive in streams:
                await sending.enter_async_context(send)
                tasks.start_soon(self._act_all, receive)
            for act in self._load.acts:
                await anyio.sleep_until(start + act.at)
                send, _ = streams[crc32(act.job_id.encode()) % ACTORS]  # one job's changes keep their order
                await send.send(act)

    async def _insert_all(self, start: float) -> None:
        jobs = self._load.jobs
        while jobs:
            await anyio.sleep_until(start + jobs[0].at + BATCH_SECONDS)
            due = [job for job in jobs if job.at <= anyio.current_time() - start]
            jobs = jobs[len(due) :]
            await self._insert(due[:1000])
            jobs = due[1000:] + jobs

    async def _insert(self, jobs: list[NewJob]) -> None:
        content = json.dumps([job.row for job in jobs])
        prefer = {"Prefer": "return=minimal", "Content-Type": "application/json"}
        answer = await self._until_answered("POST", "scheduled_jobs", content=content, headers=prefer)
        if answer.is_success or answer.status_code == CONFLICT:  # it had arrived, and its answer had not
            self.counts["inserted"] += len(jobs)
        else:
            self.refusals.append(f"insert: {answer.status_code} {answer.text[:300]}")

    async def _act_all(self, receive: Any) -> None:
        async with receive:
            async for act in receive:
                await self._act(act)

    async def _act(self, act: Act) -> None:
        if act.kind == "change":
            answer = await self._until_answered(
                "PATCH", "scheduled_jobs", params={"job_id": f"eq.{act.job_id}"}, json=act.columns
            )
        else:
            answer = await self._run_now(act)
        self.counts["changed" if answer.is_success else "refused"] += 1
        if answer.status_code not in {
            200,
            204,
            400,
        }:  # 400: the job has moved on, and may not go there from where it is
            self.refusals.append(f"{act}: {answer.status_code} {answer.text[:300]}")

    async def _run_now(self, act: Act) -> httpx.Response:
        answer = await self._until_answered(
            "GET", "scheduled_jobs", params={"job_id": f"eq.{act.job_id}", "select": "id"}
        )
        found = answer.json() if answer.is_success else []
        if not found:
            return answer
        return await self._until_answered("POST", "rpc/run_job_now", json={"job": found[0]["id"]})

    async def _until_answered(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Ask until the database itself has answered."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while True:
                try:
                    answer = await self._http.request(method, path, **request)
                except httpx.HTTPError:
                    self.counts["retried"] += 1
                else:
                    if not _is_passing(answer):
                        return answer
                    self.counts["retried"] += 1
                await anyio.sleep(RETRY_SECONDS)


def _is_passing(answer: httpx.Response) -> bool:
    """Whether the fault lies with the road, a restart, or a full disk, not with the request."""
    if answer.is_success:
        return False
    try:
        code = str(answer.json().get("code", ""))
    except (ValueError, AttributeError):
        return True
    if answer.status_code >= 500 or answer.status_code in {401, 404, 408, 429} or not code:
        return True
    return code.startswith(("08", "53", "57", "58", "40", "55", "PGRST0", "PGRST2"))
