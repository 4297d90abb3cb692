"""The app with meetings: its start waits for nothing, its users see their own, and it hears of each meeting's end."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import psycopg
import pytest
from aiohttp import web
from answering import answering
from child_listener import listeners_on
from example_apps import applications, migrated
from patience import until
from printed_pages import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from listener.local.stack import Stack

LATER = {"start_time": "2030-01-01T12:00:00Z", "end_time": "2030-01-01T13:00:00Z"}


@asynccontextmanager
async def app_of(monkeypatch: pytest.MonkeyPatch, url: str, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """Start the app in this process, as uvicorn does, on a project at `url`."""
    monkeypatch.syspath_prepend(EXAMPLES / "meetings")
    for name in ("SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"):
        monkeypatch.setenv(name, key)
    monkeypatch.setenv("SUPABASE_URL", url)
    from meetings_app.main import app  # noqa: PLC0415 - its folder has just joined the path

    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            client.start = app.state.start  # type: ignore[attr-defined]
            yield client


@pytest.mark.timeout(120)
async def test_the_start_waits_for_no_job(monkeypatch: pytest.MonkeyPatch):
    """A project that never answers delays nothing; the check goes on until one answers, and then shows its summary."""
    asked, answers = anyio.Event(), anyio.Event()

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        asked.set()
        await answers.wait()
        page = {"total_meetings": 3, "jobs_scheduled": 1, "jobs_already_exist": 2, "failures": [], "after": None}
        return web.json_response(page)

    async with answering(answer) as url, app_of(monkeypatch, url, "key") as client:
        await asked.wait()  # the request that hangs has begun
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert client.start.shown()["state"] == "checking"
        answers.set()
        with anyio.fail_after(60):
            await client.start.checked.wait()
        summary = {"total_meetings": 3, "jobs_scheduled": 1, "jobs_already_exist": 2, "errors": 0, "success": True}
        assert client.start.shown() == {"state": "checked", "attempts": 1, "error": None, "summary": summary}


async def test_a_start_without_a_database_tries_again(monkeypatch: pytest.MonkeyPatch):
    """The app serves meanwhile, and says what is wrong."""
    asked = anyio.Event()

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        if not asked.is_set():
            asked.set()
            return web.json_response({"message": "no database"}, status=503)
        page = {"total_meetings": 0, "jobs_scheduled": 0, "jobs_already_exist": 0, "failures": [], "after": None}
        return web.json_response(page)

    async with answering(answer) as url, app_of(monkeypatch, url, "key") as client:
        with anyio.fail_after(60):
            await client.start.checked.wait()
        assert (client.start.attempts, client.start.error) == (2, None)


def test_users_see_their_own_and_the_app_hears_of_each_end(stack: Stack, tmp_path: Path):
    """A meeting that ends calls the webhook once; a user who ends one by hand calls nothing, and sees no token."""
    environment = {**stack.environment(), "HOOK_TOKEN": "a token of the hook"}
    with (
        migrated(stack, "meetings/meetings.sql"),
        applications("meetings", environment, "meetings_app.main:app") as [url],
        listeners_on(stack, tmp_path, tmp_path) as listeners,
        psycopg.connect(stack.database_url, autocommit=True) as database,
        httpx.Client(base_url=url) as http,
    ):
        listeners.start(handlers="handlers", webhook_allow_private=True)
        hook = f"{url}/hooks/meeting-completed"
        database.execute("insert into meeting_hooks (url, token) values (%s, %s)", [hook, "a token of the hook"])

        def call(method: str, path: str, user: str, **body: Any) -> httpx.Response:
            headers = {"Authorization": f"Bearer {stack.user_token(user)}"}
            return http.request(method, path, headers=headers, json=body or None)

        made = call("POST", "/meetings", "alice", title="By hand", **LATER).json()
        assert call("GET", f"/meetings/{made['id']}", "bob").status_code == 404
        until(lambda: call("GET", f"/meetings/{made['id']}", "alice").json()["job"], "its job is there", 120)
        jobs = call("GET", "/debug/scheduler", "alice").json()["jobs"]
        assert [job["id"] for job in jobs] == [f"meeting-status:{made['id']}"]
        assert call("GET", "/debug/scheduler", "bob").json()["jobs"] == []
        backwards = {**LATER, "end_time": "2029-01-01T00:00:00Z"}
        assert call("POST", "/meetings", "alice", title="x", **backwards).status_code == 422
        assert http.get("/debug/scheduler").status_code == 401

        claims = "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)"
        alice = database.execute("select json_build_object('sub', created_by)::text from meetings").fetchone()[0]
        with database.transaction():
            database.execute(claims, [alice])
            database.execute("update meetings set status = 'done'")
        soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()  # noqa: TID251 - as a user plans one
        call("POST", "/meetings", "alice", title="By its job", start_time="2020-01-01T00:00:00Z", end_time=soon)
        until(lambda: call("GET", "/debug/scheduler", "alice").json()["completed"], "the hook was called", 120)
        hooks = "select metadata -> 'body' ->> 'title', created_by from scheduled_jobs where handler = 'webhook'"
        assert database.execute(hooks).fetchall() == [("By its job", None)]
        headers = {"X-Hook-Token": "guessed", "Idempotency-Key": "1"}
        assert http.post("/hooks/meeting-completed", json={"title": "x"}, headers=headers).status_code == 403
