"""The library's eight jobs: each may run twice, says in test mode what it would do, and fails as its page says."""

from __future__ import annotations

import importlib
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import psycopg
import pytest
from aiohttp import web
from answering import answering
from example_apps import migrated
from printed_pages import EXAMPLES
from supabase import AsyncClient, AsyncClientOptions

from listener.domain.outcome import Completed
from listener.testing import run_handler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from listener.domain.outcome import Report

EFFECTS = {
    "catalogue.refresh_metadata": (
        {"would_refresh": 3},
        {"refreshed": 2, "unknown": 1},
        {"refreshed": 0, "unknown": 0},
    ),
    "catalogue.cleanup_orphans": ({"would_delete": 1}, {"deleted": 1}, {"deleted": 0}),
    "reading.expire_sessions": ({"would_expire": 1}, {"expired": 1}, {"expired": 0}),
    "reading.generate_stats": ({"would_count_since": "2026-11-29"}, {"days_of_readers": 1}, {"days_of_readers": 1}),
    "notices.loan_reminders": ({"would_queue": 1}, {"queued": 1}, {"queued": 0}),
    "notices.send_notifications": ({"would_send": 1}, {"handed_over": 1}, {"handed_over": 0}),
    "tokens.refresh_tokens": ({"would_renew": 2}, {"renewed": 1, "revoked": 1}, {"renewed": 0, "revoked": 0}),
}
"""The answers of each job in test mode, the first time and the second time, on the rows of `seed.sql` and a loan."""
STATE = """
select jsonb_build_object(
    'books', (select jsonb_agg(jsonb_build_array(isbn, title, metadata_error) order by id) from books),
    'assets', (select count(*) from assets), 'open sessions', (select count(*) from sessions where ended_at is null),
    'statistics', (select jsonb_agg(to_jsonb(r)) from reading_statistics r),
    'queue', (select jsonb_agg(jsonb_build_array(key, status) order by id) from notification_queue),
    'mails', (select count(*) from scheduled_jobs where handler = 'email'),
    'tokens', (select jsonb_agg(jsonb_build_array(access_token, refresh_token, status) order by id) from oauth_tokens)
)
"""


@pytest.fixture
def library(stack: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    """Have the library's tables, with a day's rows and a loan that is due; gives the database."""
    monkeypatch.syspath_prepend(EXAMPLES / "library")
    monkeypatch.setenv("LIBRARY_DATABASE_URL", stack.database_url)
    monkeypatch.setenv("PATH", str(stack.cluster.programs), prepend=os.pathsep)
    with migrated(stack, "library/library.sql"), psycopg.connect(stack.database_url, autocommit=True) as database:
        database.execute((EXAMPLES / "library" / "seed.sql").read_bytes())
        loan = "insert into loans (reader_id, email, book_id, due_on) values (gen_random_uuid(), %s, 2, now())"
        database.execute(loan, ["eva@example.com"])
        yield database


@asynccontextmanager
async def service_client(stack: Any, url: str | None = None) -> AsyncIterator[AsyncClient]:
    """Open a client with the service's key."""
    options = AsyncClientOptions(auto_refresh_token=False, persist_session=False)
    async with httpx.AsyncClient() as options.httpx_client:
        yield AsyncClient(url or stack.url, stack.service_key, options)


async def run(stack: Any, name: str, payload: dict[str, Any] | None = None, **changes: Any) -> Report:
    """Run a job's handler once, on the database; `name` is its module's and its own."""
    module, _, function = name.partition(".")
    handler = getattr(importlib.import_module(f"library_jobs.{module}"), function)
    row = {"workspace_id": None}
    with psycopg.connect(stack.database_url) as database:
        (now,) = database.execute("select now()").fetchone()
    async with service_client(stack, changes.pop("url", None)) as client:
        return await run_handler(handler, payload or {}, client=client, now=now, scheduled_for=now, row=row, **changes)


async def test_each_job_does_its_work_once(
    stack: Any, library: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
):
    """In test mode it changes nothing and says what it would do; the second time it finds nothing to do."""
    from provider import app  # noqa: PLC0415 - its folder has just joined the path

    transport = httpx.ASGITransport(app)

    @asynccontextmanager
    async def provider() -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(transport=transport, base_url="http://provider") as client:
            yield client

    monkeypatch.setattr("library_jobs.others.provider", provider)
    for name, (would, does, again) in EFFECTS.items():
        before = library.execute(STATE).fetchone()
        rehearsed = (await run(stack, name, test_mode=True)).outcome
        assert library.execute(STATE).fetchone() == before, name
        first = (await run(stack, name)).outcome
        after = library.execute(STATE).fetchone()
        assert after != before, name
        assert (await run(stack, name)).outcome == Completed(again)
        assert library.execute(STATE).fetchone() == after, name
        if name != "reading.generate_stats":  # whose answer names the day
            assert rehearsed == Completed(would)
        assert first == Completed(does)
    state = library.execute(STATE).fetchone()[0]
    assert state["books"][0] == ["9780374266424", "Sophie's World", None]
    assert state["tokens"] == [["access after first", "first+1", "active"], [None, "withdrawn", "revoked"]]
    mail = "select metadata ->> 'to', metadata ->> 'text' like 'Crime and Punishment is due on %' from scheduled_jobs"
    assert library.execute(mail).fetchall() == [("eva@example.com", True)]


async def test_a_provider_that_is_down_is_asked_again(stack: Any, library: psycopg.Connection[Any], monkeypatch: Any):
    """Nothing is revoked for it, and no token shows in the error."""

    async def unavailable(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=503)

    async with answering(unavailable) as url:
        monkeypatch.setenv("LIBRARY_PROVIDER_URL", url)
        outcome = (await run(stack, "tokens.refresh_tokens")).outcome
    assert (outcome.reason, outcome.retryable) == ("retry", True)
    assert outcome.error == "POST /token answered 503"
    assert library.execute("select distinct status from oauth_tokens").fetchall() == [("active",)]


async def test_backups_are_dumps_that_can_be_restored(
    stack: Any, library: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """By the server's own version, whatever is on the PATH; the newest seven stay, and none is half written."""
    wrong = tmp_path / "pg_dump"
    wrong.write_text('#!/bin/sh\necho "pg_dump (PostgreSQL) 9.6.24"\n')
    wrong.chmod(0o755)
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in range(10, 18):
        (folder / f"library-202601{day}T020000000000Z.dump").touch()
    monkeypatch.setenv("LIBRARY_PG_DUMP", str(wrong))
    monkeypatch.setenv("LIBRARY_BACKUP_FOLDER", str(folder))
    rehearsed = (await run(stack, "backup.backup_database", test_mode=True)).outcome.result
    assert rehearsed["program"] != str(wrong)
    assert len(list(folder.iterdir())) == 8
    done = (await run(stack, "backup.backup_database", {"schemas": ["public"]})).outcome.result
    dumps = sorted(folder.iterdir())
    assert len(dumps) == 7
    assert dumps[-1].name == done["file"]
    assert dumps[-1].read_bytes().startswith(b"PGDMP")
    assert dumps[-1].stat().st_size == done["bytes"]
    command = [stack.cluster.programs / "pg_restore", "--list", dumps[-1]]
    listed = await anyio.run_process(command)
    assert b"TABLE DATA public loans" in listed.stdout


async def test_a_backup_may_go_to_storage(
    stack: Any, library: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Then no file stays behind."""
    uploads: list[tuple[str, bytes]] = []

    async def storage(request: web.BaseRequest) -> web.StreamResponse:
        uploads.append((request.path, await request.read()))
        return web.json_response({"Key": "backups/x", "Id": "1"})

    monkeypatch.setenv("LIBRARY_BACKUP_FOLDER", str(tmp_path))
    monkeypatch.setenv("LIBRARY_BACKUP_BUCKET", "backups")
    async with answering(storage) as url:
        done = (await run(stack, "backup.backup_database", {"schemas": ["public"]}, url=url)).outcome.result
    [(path, body)] = uploads
    assert path == f"/storage/v1/object/backups/{done['file']}"
    assert b"PGDMP" in body
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a folder of the test's own


async def test_a_server_without_its_pg_dump_fails_for_good(monkeypatch: pytest.MonkeyPatch):
    """And says what to install."""
    monkeypatch.syspath_prepend(EXAMPLES / "library")
    from library_jobs.backup import program_for  # noqa: PLC0415 - as above

    with pytest.raises(Exception, match="no pg_dump 99"):
        await program_for(99)
