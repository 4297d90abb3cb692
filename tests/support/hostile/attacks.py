"""Attacks of hostile users through the API, and careless handlers within the listener; each until it is cancelled.

An attack is a coroutine function of a `Scene`; it counts what it did in `scene.done`, by words.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import psycopg
from realtime import AsyncRealtimeClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from listener.local.stack import Stack

CARELESS = (
    "cancels_itself", "exits", "leaks_its_context", "snoozes_oddly", "logs_without_end", "prints_from_a_process",
    "raises_what_cannot_be_shown", "swallows_cancellation", "returns_a_mountain", "starts_threads",
)  # fmt: skip
PRIVATE: Any = {"config": {"private": True, "broadcast": {"ack": False, "self": False}}}
BLANKET = "create policy blanket on realtime.messages for all to authenticated using (true) with check (true)"


@dataclass
class Scene:
    """An attack's surroundings: API clients of signed-in users, the service's own, the listener's port, the stack."""

    stack: Stack
    user: Callable[[str], httpx.AsyncClient]
    service: httpx.AsyncClient
    listener_url: str
    done: Counter[str] = field(default_factory=Counter)

    async def post(self, client: httpx.AsyncClient, path: str, body: Any, **counted: int) -> httpx.Response | None:
        """Send one request; count what was accepted, and the statuses of what was not."""
        try:
            answer = await client.post(path, json=body, headers={"prefer": "return=minimal"})
        except httpx.HTTPError as error:
            self.done[type(error).__name__] += 1
            return None
        self.done.update(counted if answer.is_success else {f"HTTP {answer.status_code}": 1})
        return answer


async def _workspaces(scene: Scene, client: httpx.AsyncClient, count: int) -> list[str]:
    await scene.post(client, "/job_workspaces", [{"name": f"w{number}"} for number in range(count)], workspaces=count)
    answer = await client.get("/job_workspaces", params={"select": "id"})
    return [row["id"] for row in answer.json()]


async def jobs_of_the_past(scene: Scene) -> None:
    """Insert jobs due in 1970, 1,000 a request."""
    mallory = scene.user("mallory")
    rows = [{"handler": "noop", "run_date": "1970-01-01T00:00:00Z", "priority": 32767}] * 1000
    while True:
        await scene.post(mallory, "/scheduled_jobs", rows, jobs=1000)
        await anyio.sleep(0.05)


async def recent_jobs(scene: Scene) -> None:
    """Insert jobs due an hour ago at the highest priority, 1,000 a request, from 20 workspaces of one user."""
    mallory = scene.user("mallory")
    for workspace in itertools.cycle([None, *await _workspaces(scene, mallory, 20)]):
        due = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        row = {"handler": "noop", "run_date": due, "priority": 32767, "workspace_id": workspace}
        await scene.post(mallory, "/scheduled_jobs", [row] * 1000, jobs=1000)
        await anyio.sleep(0.05)


async def endless_runs(scene: Scene) -> None:
    """Fill slots with runs that sleep as long as they may, from 20 workspaces of one user."""
    mallory = scene.user("mallory")
    for workspace in itertools.cycle([None, *await _workspaces(scene, mallory, 20)]):
        for timeout, sleep in ((604_800, 604_800), (3600, 3600), (60, 60)):
            row = {"handler": "noop", "metadata": {"sleep_seconds": sleep}, "timeout_seconds": timeout}
            await scene.post(mallory, "/scheduled_jobs", [{**row, "workspace_id": workspace}] * 100, jobs=100)
        await anyio.sleep(0.05)


async def upcoming_meetings(scene: Scene) -> None:
    """Insert upcoming meetings, 2,000 a request."""
    mallory = scene.user("mallory")
    while True:
        end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        row = {"title": "m", "start_time": datetime.now(UTC).isoformat(), "end_time": end}
        await scene.post(mallory, "/meetings", [row] * 2000, meetings=2000)
        await anyio.sleep(0.05)


async def ended_meetings(scene: Scene) -> None:
    """Insert meetings that have ended, 2,000 a request, again and again."""
    mallory = scene.user("mallory")
    while True:
        now = datetime.now(UTC)
        row = {"title": "m", "start_time": (now - timedelta(hours=1)).isoformat(), "end_time": now.isoformat()}
        await scene.post(mallory, "/meetings", [row] * 2000, meetings=2000)
        await anyio.sleep(1)


async def heavy_logs(scene: Scene) -> None:
    """Insert `log` jobs with messages and fields of 200 KB, 40 a request."""
    mallory = scene.user("mallory")
    heavy = {"message": "x" * 100_000, "fields": {str(n): "password=y" * 10 for n in range(900)}}
    while True:
        await scene.post(mallory, "/scheduled_jobs", [{"handler": "log", "metadata": heavy}] * 40, jobs=40)
        await anyio.sleep(0.5)


async def heavy_payloads(scene: Scene) -> None:
    """Insert jobs with payloads near the limit, 20 a request."""
    mallory = scene.user("mallory")
    rows = [{"handler": "noop", "metadata": {"x": "y" * 250_000}}] * 20
    while True:
        await scene.post(mallory, "/scheduled_jobs", rows, jobs=20)
        await anyio.sleep(0.1)


@contextlib.asynccontextmanager
async def _realtime(scene: Scene) -> AsyncIterator[AsyncRealtimeClient]:
    """Give a stock Realtime client of the hostile user, and leave nothing of it behind."""
    url = f"{scene.stack.url}/realtime/v1".replace("http", "ws")
    client = AsyncRealtimeClient(url, scene.stack.anon_key, auto_reconnect=False)
    await client.set_auth(scene.stack.user_token("mallory"))
    try:
        yield client
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await client.close()


async def forged_messages(scene: Scene) -> None:
    """Send forged notifications to the listener's topic, where a blanket policy lets every user join every topic."""
    async with await psycopg.AsyncConnection.connect(scene.stack.admin_dsn, autocommit=True) as connection:
        await connection.execute("drop policy if exists blanket on realtime.messages")
        await connection.execute(BLANKET)
    async with _realtime(scene) as client:
        channel = client.channel("job_scheduler", PRIVATE)
        joined = anyio.Event()
        await channel.subscribe(lambda status, _: joined.set() if str(status).endswith("SUBSCRIBED") else None)
        with anyio.move_on_after(5):
            await joined.wait()
        scene.done["joined"] += int(joined.is_set())
        tables = ("scheduled_jobs", "cancelled_runs", "deleted_jobs", "sources", "probe")
        for number in itertools.count():
            rows = [[each, 2**52, None, 0, str(uuid.uuid4())] for each in range(100)]
            message = {"table": tables[number % len(tables)], "rows": rows, "xid": 2**52}
            await channel.send_broadcast("changed", message)
            scene.done["messages"] += 1
            await anyio.sleep(0.01)


async def previews(scene: Scene) -> None:
    """Compute previews from 16 clients without a pause."""
    queries = (
        {"cron": "0 0 29 2 *", "n": "100", "timezone": "Europe/Berlin"},
        {"trigger": "cron", "schedule": '{"expression": {"a": []}}', "n": "100"},
        {"cron": "*/7 3-5 29 2 1", "n": "100", "timezone": "America/New_York"},
    )

    async def one() -> None:
        async with httpx.AsyncClient(base_url=scene.listener_url, timeout=30) as client:
            for query in itertools.cycle(queries):
                try:
                    scene.done[f"HTTP {(await client.get('/api/preview', params=query)).status_code}"] += 1
                except httpx.HTTPError as error:
                    scene.done[type(error).__name__] += 1

    async with anyio.create_task_group() as clients:
        for _ in range(16):
            clients.start_soon(one)


async def manual_runs(scene: Scene) -> None:
    """Start manual runs of two jobs, as often as the API accepts them."""
    mallory = scene.user("mallory")
    daily = {"handler": "noop", "trigger_type": "daily", "schedule": {"time": "04:00"}}
    await scene.post(mallory, "/scheduled_jobs", [daily] * 2, jobs=2)
    jobs = [row["id"] for row in (await mallory.get("/scheduled_jobs", params={"select": "id"})).json()]

    async def one() -> None:
        for job in itertools.cycle(jobs):
            await scene.post(mallory, "/rpc/run_job_now", {"job": job}, runs=1)

    async with anyio.create_task_group() as clients:
        for _ in range(8):
            clients.start_soon(one)


async def floods(scene: Scene) -> None:
    """Insert jobs due now up to the quota, all the time, at the highest priority."""
    mallory = scene.user("mallory")
    while True:
        await scene.post(mallory, "/scheduled_jobs", [{"handler": "noop", "priority": 32767}] * 1000, jobs=1000)
        await anyio.sleep(0.05)


async def retry_bombs(scene: Scene) -> None:
    """Insert jobs that fail and are tried again as often and as soon as the API allows."""
    mallory = scene.user("mallory")
    row = {
        "handler": "noop", "metadata": {"sleep_seconds": 1}, "timeout_seconds": 0.01, "max_attempts": 100,
        "retry_delay_seconds": 0, "retry_backoff": 1,
    }  # fmt: skip
    while True:
        for attempts in (100, 20, 4):
            await scene.post(mallory, "/scheduled_jobs", [{**row, "max_attempts": attempts}] * 500, jobs=500)
        await anyio.sleep(0.5)


async def cancel_storms(scene: Scene) -> None:
    """Cancel and reschedule all of its jobs in one statement, without a pause."""
    mallory = scene.user("mallory")
    row = {"handler": "noop", "metadata": {"sleep_seconds": 5}}
    await scene.post(mallory, "/scheduled_jobs", [row] * 1000, jobs=1000)
    for status in itertools.cycle(("cancelled", "scheduled")):
        try:
            was = "in.(scheduled,running,paused)" if status == "cancelled" else "in.(cancelled,completed,failed)"
            await mallory.patch("/scheduled_jobs", params={"status": was}, json={"status": status})
            scene.done["statements"] += 1
        except httpx.HTTPError as error:
            scene.done[type(error).__name__] += 1


async def bulk_updates(scene: Scene) -> None:
    """Rewrite 5,000 jobs in one statement, without a pause."""
    mallory = scene.user("mallory")
    for _ in range(5):
        row = {"handler": "noop", "trigger_type": "daily", "schedule": {"time": "04:00"}}
        await scene.post(mallory, "/scheduled_jobs", [row] * 1000, jobs=1000)
    for number in itertools.count():
        try:
            await mallory.patch("/scheduled_jobs", params={"id": "gt.0"}, json={"priority": number % 100})
            scene.done["statements"] += 1
        except httpx.HTTPError as error:
            scene.done[type(error).__name__] += 1


async def row_locks(scene: Scene) -> None:
    """Hold locks on due jobs of its own for as long as a statement may run."""
    mallory = scene.user("mallory")
    await scene.post(mallory, "/scheduled_jobs", [{"handler": "noop"}] * 500, jobs=500)
    async with await psycopg.AsyncConnection.connect(scene.stack.database_url) as connection:
        while True:
            await connection.execute("select from public.scheduled_jobs where name is null for update")
            scene.done["locks"] += 1
            await scene.post(mallory, "/scheduled_jobs", [{"handler": "noop"}] * 100, jobs=100)
            await anyio.sleep(3)
            await connection.rollback()


async def realtime_joins(scene: Scene) -> None:
    """Join 1,000 channels that watch all jobs."""
    mallory = scene.user("mallory")
    async with _realtime(scene) as client:
        for number in itertools.count():
            if number < 1000:
                channel = client.channel(f"watch-{number}")
                channel.on_postgres_changes("*", schema="public", table="scheduled_jobs", callback=lambda _: None)
                await channel.subscribe()
                scene.done["joins"] += 1
            if number % 50 == 0:
                await scene.post(mallory, "/scheduled_jobs", [{"handler": "noop"}] * 10, jobs=10)
            await anyio.sleep(0.01)


async def careless_handlers(scene: Scene) -> None:
    """Run every kind of careless handler, ten of them a second."""
    for name in itertools.cycle(CARELESS):
        await scene.post(scene.service, "/scheduled_jobs", {"handler": name, "max_attempts": 1}, runs=1)
        await anyio.sleep(0.1)


async def snoozes(scene: Scene) -> None:
    """Run 20 jobs that snooze into the past."""
    await scene.post(scene.service, "/scheduled_jobs", [{"handler": "snoozes_into_the_past"}] * 20, jobs=20)
    await anyio.sleep_forever()


async def held_threads(scene: Scene) -> None:
    """Start plain handlers that hold their threads and do not look whether to stop."""
    row = {"handler": "holds_a_thread", "timeout_seconds": 1, "max_attempts": 1}
    while True:
        await scene.post(scene.service, "/scheduled_jobs", [row] * 10, runs=10)
        await anyio.sleep(1)


ATTACKS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "jobs due in 1970": jobs_of_the_past,
    "20 workspaces of one user": recent_jobs,
    "endless runs": endless_runs,
    "upcoming meetings": upcoming_meetings,
    "ended meetings": ended_meetings,
    "heavy log lines": heavy_logs,
    "heavy payloads": heavy_payloads,
    "forged notifications": forged_messages,
    "previews of 16 clients": previews,
    "manual runs": manual_runs,
    "floods to the quota": floods,
    "retry bombs": retry_bombs,
    "cancel storms": cancel_storms,
    "bulk updates": bulk_updates,
    "row locks": row_locks,
    "1,000 Realtime joins": realtime_joins,
    "careless handlers": careless_handlers,
    "snoozes into the past": snoozes,
    "held threads": held_threads,
}
