"""A Realtime server that drops what exceeds its limit, a client that makes it count, and jobs inserted meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import anyio
import httpx
from child_listener import free_port
from given_stack import needs_embedded
from patience import until
from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent

from listener.local.postgrest import postgrest_socket
from listener.local.realtime.rate import TICK_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from supabase_project import Project

    from listener.local.stack import Stack

BURST = "insert into public.scheduled_jobs (handler, run_date) select 'noop', now() + '1 h' from generate_series(1, %s)"
PROBE = (
    "insert into public.scheduled_jobs (handler, name, run_date) "
    "values ('noop', 'probe', clock_timestamp() + make_interval(secs => %s)) returning id"
)
LATENESS = "select lateness_ms from public.job_executions where scheduled_job_id = any(%s) and status = 'completed'"


@contextlib.contextmanager
def limited_realtime(
    stack: Stack, events_per_second: float, logs: Path, tick_seconds: float = TICK_SECONDS
) -> Iterator[str]:
    """Run a second Realtime server, with a limit, and a gateway to it on the stack's database; give the URL."""
    needs_embedded(stack, "it runs a Realtime server of its own on the stack's database")
    realtime, api = free_port(), free_port()
    environments = {
        "realtime": {"REALTIME_DSN": stack.admin_dsn, "REALTIME_JWT_SECRET": stack.keys.jwt_secret},
        "gateway": {
            "GATEWAY_PORT": str(api),
            "GATEWAY_KEYS": json.dumps(stack.keys.jwt_by_apikey()),
            "GATEWAY_REST_SOCKET": str(postgrest_socket(stack.cluster)),
            "GATEWAY_AUTH_SOCKET": str(logs / "nobody signs in"),
            "GATEWAY_REALTIME_PORT": str(realtime),
        },
    }
    limit = ["--max-events-per-second", str(events_per_second), "--limit-tick-seconds", str(tick_seconds)]
    options = {"realtime": ["--port", str(realtime), *limit], "gateway": []}
    with contextlib.ExitStack() as programs:
        for name, environment in environments.items():
            log = programs.enter_context((logs / name).open("wb"))
            command = [sys.executable, "-m", f"listener.local.{name}", *options[name]]
            process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
            programs.callback(process.wait)
            programs.callback(process.terminate)
        until(lambda: _answers(f"http://127.0.0.1:{realtime}/health"), "Realtime serves")
        yield f"http://127.0.0.1:{api}"


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url).is_success
    return False


@contextlib.asynccontextmanager
async def watching(url: str, key: str) -> AsyncIterator[dict[int, list[Any]]]:
    """Watch all jobs, as a dashboard does: only what somebody watches counts; give the changes received, by id."""
    seen: dict[int, list[Any]] = {}

    def note(change: Any) -> None:
        seen.setdefault((change["data"].get("record") or {}).get("id"), []).append(change["data"])

    client = AsyncRealtimeClient(f"{url}/realtime/v1", key, auto_reconnect=False)
    channel = client.channel(f"dashboard-{uuid.uuid4()}")
    subscribed = anyio.Event()
    channel.on_postgres_changes(RealtimePostgresChangesListenEvent.All, note, schema="public", table="scheduled_jobs")
    channel.on_system(lambda _: subscribed.set())
    await client.connect()
    try:
        await channel.subscribe()
        await subscribed.wait()
        yield seen
    finally:
        with anyio.move_on_after(1):
            await client.close()


async def probe_through(project: Project, rows: int, seconds: float, due_in: float) -> list[int]:
    """Insert `rows` at once, then a job every half second, each due in `due_in`; give the ids of those."""
    await anyio.to_thread.run_sync(project.sql.execute, BURST, [rows])
    probes = []
    end = anyio.current_time() + seconds
    while anyio.current_time() < end:
        probes.append(project.rows(PROBE, due_in)[0]["id"])
        await anyio.sleep(0.5)
    return probes


def lateness_of(project: Project, probes: Sequence[int], within: float) -> list[float]:
    """Wait until all have run; give how late each was, in milliseconds."""
    until(lambda: len(project.rows(LATENESS, list(probes))) == len(probes), "every probe has run", within)
    return [row["lateness_ms"] for row in project.rows(LATENESS, list(probes))]
