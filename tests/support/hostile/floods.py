"""More of what hostile users do through the API: floods of changes, schedules, keys, texts and calls."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import psycopg

from listener.local.keys import user_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hostile.attacks import Scene

DAILY = {"handler": "noop", "trigger_type": "daily", "schedule": {"time": "04:00"}}
LEDGER = """
insert into public.job_executions
    (scheduled_job_id, created_by, scheduled_for, run_at, cause, status, duration_ms, completed_at)
select j.id, j.created_by, now() - n * interval '1 s', now(), 'schedule', 'completed', n, now()
from public.scheduled_jobs as j, generate_series(1, 100000) as n where j.name = 'large ledger'
"""
OUTAGE = """
update public.scheduled_jobs set due_at = now() - interval '1 hour', next_run_at = now() - interval '1 hour',
    defined_at = now() - interval '2 hours', is_planned = true, revision = pg_current_xact_id()::text::bigint
where misfire = 'run_all'
"""


async def _in_turn(scene: Scene, path: str, filters: dict[str, str], changes: list[dict[str, Any]]) -> None:
    """Send one change after the other in one statement each, without a pause."""
    mallory = scene.user("mallory")
    for change in itertools.cycle(changes):
        try:
            answer = await mallory.patch(path, params=filters, json=change)
            scene.done["statements" if answer.is_success else f"HTTP {answer.status_code}"] += 1
        except httpx.HTTPError as error:
            scene.done[type(error).__name__] += 1


async def _as_admin(scene: Scene, statement: str) -> None:
    """Do what no user may, and no trigger sees."""
    async with await psycopg.AsyncConnection.connect(scene.stack.admin_dsn, autocommit=True) as connection:
        await connection.execute("set session_replication_role = replica")
        await connection.execute(statement)


async def changed_zones(scene: Scene) -> None:
    """Move 5,000 jobs from one time zone to another in one statement, without a pause: each is planned anew."""
    mallory = scene.user("mallory")
    for _ in range(5):
        await scene.post(mallory, "/scheduled_jobs", [DAILY] * 1000, jobs=1000)
    zones = [{"timezone": name} for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")]
    await _in_turn(scene, "/scheduled_jobs", {"id": "gt.0"}, zones)


async def pauses(scene: Scene) -> None:
    """Pause 5,000 jobs and resume them, without a pause."""
    mallory = scene.user("mallory")
    for _ in range(5):
        await scene.post(mallory, "/scheduled_jobs", [DAILY] * 1000, jobs=1000)
    await _in_turn(scene, "/scheduled_jobs", {"id": "gt.0"}, [{"status": "paused"}, {"status": "scheduled"}])


async def every_second(scene: Scene) -> None:
    """Fill the quota with jobs that are due each second, by intervals and by cron, whatever they overlap."""
    mallory = scene.user("mallory")
    schedules = (
        {"trigger_type": "interval", "schedule": {"seconds": 1}},
        {"trigger_type": "cron", "schedule": {"expression": "* * * * * *"}},
    )
    for schedule, overlap in itertools.cycle(itertools.product(schedules, ("queue", "allow", "replace", "skip"))):
        row = {"handler": "noop", "metadata": {"sleep_seconds": 3}, "priority": 32767, "overlap": overlap, **schedule}
        await scene.post(mallory, "/scheduled_jobs", [row] * 500, jobs=500)
        await anyio.sleep(0.1)


async def distinct_keys(scene: Scene) -> None:
    """Insert pairs of jobs that share a concurrency key, each pair another one."""
    mallory = scene.user("mallory")
    numbers = itertools.count()
    while True:
        keys = [str(next(numbers)) for _ in range(500)]
        rows = [{"handler": "noop", "concurrency_key": key} for key in keys for _ in range(2)]
        await scene.post(mallory, "/scheduled_jobs", rows, jobs=1000)
        await anyio.sleep(0.05)


async def bulk_deletes(scene: Scene) -> None:
    """Insert jobs up to the quota, and delete them in one statement, again and again."""
    mallory = scene.user("mallory")
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    while True:
        for _ in range(8):
            await scene.post(mallory, "/scheduled_jobs", [{"handler": "noop", "run_date": later}] * 1000, jobs=1000)
        try:
            answer = await mallory.delete("/scheduled_jobs", params={"id": "gt.0"})
            scene.done["deletes" if answer.is_success else f"HTTP {answer.status_code}"] += 1
        except httpx.HTTPError as error:
            scene.done[type(error).__name__] += 1


async def statistics(scene: Scene) -> None:
    """Ask for the statistics of a job with 100,000 runs, from 8 clients."""
    mallory = scene.user("mallory")
    await scene.post(mallory, "/scheduled_jobs", {**DAILY, "name": "large ledger"}, jobs=1)
    await _as_admin(scene, LEDGER)
    (job,) = (await mallory.get("/scheduled_jobs", params={"select": "id"})).json()

    async def one() -> None:
        while True:
            await scene.post(mallory, "/rpc/job_stats", {"job": job["id"]}, answers=1)

    async with anyio.create_task_group() as clients:
        for _ in range(8):
            clients.start_soon(one)


async def invitations(scene: Scene) -> None:
    """Invite 1,000 users in a request into each of 20 workspaces, the neighbour among them."""
    mallory, numbers = scene.user("mallory"), itertools.count()
    await scene.post(mallory, "/job_workspaces", [{"name": "w"}] * 20, workspaces=20)
    teams = [row["id"] for row in (await mallory.get("/job_workspaces", params={"select": "id"})).json()]
    for team in itertools.cycle(teams):
        users = [str(user_id(f"user {next(numbers)}")) for _ in range(1000)]
        rows = [{"workspace_id": team, "user_id": each, "role": "admin"} for each in users]
        await scene.post(mallory, "/job_workspace_invitations", rows, invitations=1000)
        await anyio.sleep(0.05)


async def short_lived_workspaces(scene: Scene) -> None:
    """Make workspaces, fill each with jobs that are due, and delete it."""
    mallory = scene.user("mallory")
    while True:
        await scene.post(mallory, "/job_workspaces", [{"name": "w"}] * 5, workspaces=5)
        teams = [row["id"] for row in (await mallory.get("/job_workspaces", params={"select": "id"})).json()]
        for team in teams:
            await scene.post(mallory, "/scheduled_jobs", [{"handler": "noop", "workspace_id": team}] * 500, jobs=500)
        try:
            await mallory.delete("/job_workspaces", params={"id": f"in.({','.join(teams)})"})
        except httpx.HTTPError as error:
            scene.done[type(error).__name__] += 1


async def heavy_updates(scene: Scene) -> None:
    """Rewrite 200 payloads near the limit in one statement, without a pause."""
    mallory = scene.user("mallory")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for _ in range(10):
        rows = [{"handler": "noop", "run_date": later, "metadata": {"x": "y" * 250_000}}] * 20
        await scene.post(mallory, "/scheduled_jobs", rows, jobs=20)
    await _in_turn(scene, "/scheduled_jobs", {"id": "gt.0"}, [{"priority": number} for number in range(10)])


async def odd_texts(scene: Scene) -> None:
    """Insert rows that are to be refused after much work: long texts, deep JSON, many keys, long expressions."""
    mallory, deep = scene.user("mallory"), "[" * 5000 + "]" * 5000
    rows: tuple[dict[str, Any], ...] = (
        {"name": "n" * 1_000_000}, {"description": "d" * 5_000_000}, {"job_id": "j" * 1_000_000},
        {"metadata": {"deep": deep}}, {"metadata": {str(n): n for n in range(20_000)}},
        {"trigger_type": "cron", "schedule": {"expression": ",".join(["1-59/1"] * 50) + " * * * *"}},
        {"trigger_type": "weekly", "schedule": {"time": "10:00", "days": ["monday"] * 20_000}},
        {"timezone": "x" * 1_000_000}, {"concurrency_key": "k" * 1_000_000}, {"handler": "h" * 1_000_000},
    )  # fmt: skip
    for row in itertools.cycle(rows):
        await scene.post(mallory, "/scheduled_jobs", [{"handler": "noop", **row}] * 5, jobs=5)


async def missed_instants(scene: Scene) -> None:
    """Have 2,000 jobs of each second that run all they missed, an hour of it."""
    mallory = scene.user("mallory")
    row = {
        "handler": "noop", "trigger_type": "interval", "schedule": {"seconds": 1}, "misfire": "run_all",
        "misfire_grace_seconds": 0, "priority": 32767, "overlap": "queue",
    }  # fmt: skip
    for _ in range(4):
        await scene.post(mallory, "/scheduled_jobs", [row] * 500, jobs=500)
    await _as_admin(scene, OUTAGE)
    await anyio.sleep_forever()


FLOODS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "changed zones": changed_zones,
    "pauses": pauses,
    "each second": every_second,
    "distinct keys": distinct_keys,
    "bulk deletes": bulk_deletes,
    "statistics": statistics,
    "invitations": invitations,
    "short-lived workspaces": short_lived_workspaces,
    "heavy updates": heavy_updates,
    "odd texts": odd_texts,
    "missed instants": missed_instants,
}
