"""A meeting becomes done when its end has passed, and in no other case; through the real PostgREST."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from supabase import AsyncClientOptions, acreate_client

from handlers.meeting_status import meeting_status
from listener.domain.outcome import Completed
from listener.testing import NOON, run_handler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from supabase import AsyncClient

    from listener.local.stack import Stack

pytestmark = pytest.mark.stack
ABSENT = "00000000-0000-4000-8000-00000000dead"
EARLIER = timedelta(hours=1)


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[AsyncClient]:
    """Give a client with the service's powers."""
    async with httpx.AsyncClient() as connections:
        options = AsyncClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=connections)
        yield await acreate_client(stack.url, stack.service_key, options)


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


async def test_an_id_that_is_no_uuid_is_refused(client):
    """With the field's name, before any request."""
    outcome = (await run_handler(meeting_status, {"meeting_id": "7"}, client=client)).outcome
    assert outcome.error.startswith("metadata.meeting_id: '7' is not allowed; Input should be a valid UUID")
