"""A meeting becomes done when its end has passed, and in no other case; through the real PostgREST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import psycopg
import pytest
from supabase import AsyncClientOptions, acreate_client

from listener.clock import DatabaseClock
from listener.domain.outcome import Completed, Snoozed
from listener.execution.executor import Executor
from listener.handler_api.registry import Handler, Registry
from listener.handlers.meeting_status import meeting_status
from listener.testing import NOON, make_run, run_handler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from supabase import AsyncClient

    from listener.local.stack import Stack

pytestmark = pytest.mark.stack
ABSENT = "00000000-0000-4000-8000-00000000dead"
EARLIER = timedelta(hours=1)


@pytest.fixture
async def counted_client(stack: Stack) -> AsyncIterator[tuple[AsyncClient, list[str]]]:
    """Give a client with the service's powers, and the list of its requests."""
    requests: list[str] = []

    async def count(request: httpx.Request) -> None:
        requests.append(str(request.url))

    async with httpx.AsyncClient(event_hooks={"request": [count]}) as connections:
        options = AsyncClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=connections)
        yield await acreate_client(stack.url, stack.service_key, options), requests


@pytest.fixture
def meeting(stack: Stack):
    """Insert a meeting, and give its id; read it back by `status_of`."""

    def insert(status: str = "upcoming", end_time: datetime = NOON) -> str:
        with psycopg.connect(stack.admin_dsn, autocommit=True) as connection:
            row = connection.execute(
                "insert into public.meetings (status, end_time) values (%s, %s) returning id", (status, end_time)
            ).fetchone()
            return str(row[0])

    return insert


def status_of(stack: Stack, meeting_id: str) -> str:
    """Read a meeting's status in the database itself."""
    with psycopg.connect(stack.admin_dsn) as connection:
        return connection.execute("select status from public.meetings where id = %s", (meeting_id,)).fetchone()[0]


async def run(client: AsyncClient, meeting_id: str, **changes: Any) -> dict[str, Any]:
    """Run the handler, and give its result."""
    outcome = (await run_handler(meeting_status, {"meeting_id": meeting_id}, client=client, **changes)).outcome
    assert isinstance(outcome, Completed), outcome
    assert outcome.result["meeting_id"] == meeting_id
    return outcome.result


async def test_a_meeting_that_has_ended_becomes_done(stack, client, meeting):
    """Once; a second run finds it done."""
    ended = meeting()
    assert (await run(client, ended))["updated"] is True
    assert status_of(stack, ended) == "done"
    again = await run(client, ended)
    assert (again["updated"], again["reason"]) == (False, "it is done already")


async def test_a_clock_that_is_a_moment_behind_does_not_leave_a_meeting_upcoming(stack, client, meeting):
    """The run was due at the end; no other run would come."""
    ended = meeting(end_time=NOON + timedelta(microseconds=1))
    result = await run(client, ended, now=NOON - timedelta(seconds=1), scheduled_for=NOON + timedelta(microseconds=1))
    assert result["updated"] is True
    assert status_of(stack, ended) == "done"


async def test_a_meeting_whose_end_was_moved_stays_upcoming(stack, client, meeting):
    """Its moved job will run at the new end."""
    moved = meeting(end_time=NOON + timedelta(hours=1))
    result = await run(client, moved)
    assert (result["updated"], result["reason"]) == (False, "it ends later, at 2026-01-05T13:00:00+00:00")
    assert status_of(stack, moved) == "upcoming"


async def test_a_cancelled_meeting_stays_cancelled(stack, client, meeting):
    """Also when its job still ran."""
    cancelled = meeting("cancelled")
    assert (await run(client, cancelled))["reason"] == "it is cancelled already"
    assert status_of(stack, cancelled) == "cancelled"


async def test_a_deleted_meeting_is_no_fault(client):
    """The job may outlive the meeting by a moment."""
    assert (await run(client, ABSENT))["reason"] == "there is no such meeting"


async def test_test_mode_changes_nothing_and_says_what_would_happen(stack, client, meeting):
    """A run in test mode is for looking."""
    ended = meeting(end_time=NOON - EARLIER)
    result = await run(client, ended, test_mode=True)
    assert (result["updated"], result["reason"]) == (False, "test mode: it would become done")
    assert status_of(stack, ended) == "upcoming"


async def test_the_ends_of_many_meetings_are_few_requests(stack, meeting, counted_client):
    """Two hundred at one instant, moved, cancelled and absent ones among them; each run gets its own answer."""
    client, requests = counted_client
    ended = [meeting() for _ in range(197)]
    others = [meeting("cancelled"), meeting(end_time=datetime(2999, 1, 1, tzinfo=UTC)), ABSENT]
    executor = Executor(Registry([Handler.of(meeting_status)]), DatabaseClock(), lambda: client)
    reports: dict[str, Any] = {}

    async def run_one(meeting_id: str) -> None:
        run = make_run("meeting_status", {"meeting_id": meeting_id}, execution_id=meeting_id)
        reports[meeting_id] = await executor.execute(executor.prepare(run))

    async with anyio.create_task_group() as tasks:
        for meeting_id in (*ended, *others):
            tasks.start_soon(run_one, meeting_id)
    await executor.aclose()
    results = {meeting_id: report.outcome.result for meeting_id, report in reports.items()}
    assert len(requests) < 10
    assert all(results[each]["updated"] and results[each]["meeting_id"] == each for each in ended)
    assert [results[each]["reason"][:14] for each in others] == ["it is cancelle", "it ends later,", "there is no su"]
    with psycopg.connect(stack.admin_dsn) as connection:
        query = "select count(*) from public.meetings where id = any(%s::uuid[]) and status = 'done'"
        assert connection.execute(query, [ended]).fetchone() == (197,)


async def test_a_meeting_that_somebody_holds_waits_alone(stack, client, meeting):
    """Its run is put off, no attempt is used up, and nothing waits for the lock."""
    held = meeting()
    with psycopg.connect(stack.admin_dsn) as holder:
        holder.execute("select from public.meetings where id = %s for update", [held])
        with anyio.fail_after(10):
            outcome = (await run_handler(meeting_status, {"meeting_id": held}, client=client)).outcome
        assert isinstance(outcome, Snoozed)
    assert (await run(client, held))["updated"] is True


async def test_a_meeting_that_cannot_be_written_stops_no_other(stack, client, meeting):
    """A trigger of the project's own refuses one of two: the other becomes done, and each gets its own answer."""
    good, bad = meeting(), meeting()
    with psycopg.connect(stack.admin_dsn, autocommit=True) as connection:
        connection.execute(f"alter table public.meetings add constraint odd check (status <> 'done' or id <> '{bad}')")
        try:
            questions = [{"id": each, "ended_by": NOON.isoformat(), "test_mode": False} for each in (bad, good)]
            answer = (await client.rpc("end_meetings_v1", {"request": {"meetings": questions}}).execute()).data
        finally:
            connection.execute("alter table public.meetings drop constraint odd")
    reported = {each["id"]: each for each in answer["meetings"]}
    assert reported[good]["updated"] is True
    assert (reported[bad]["updated"], reported[bad]["status"]) == (False, "upcoming")
    assert '"odd"' in reported[bad]["error"]


async def test_an_id_that_is_no_uuid_is_refused(client):
    """With the field's name, before any request."""
    outcome = (await run_handler(meeting_status, {"meeting_id": "7"}, client=client)).outcome
    assert outcome.error.startswith("metadata.meeting_id: '7' is not allowed; Input should be a valid UUID")
