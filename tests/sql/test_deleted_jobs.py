"""Deleting jobs notifies the listeners of their ids, because no later query shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from listener.supabase.hints import read_signal

if TYPE_CHECKING:
    import psycopg

MOST_BYTES = 250_000
"""The largest message that Realtime broadcasts on the smallest plan."""


@pytest.mark.parametrize("count", [1, 1_001, 12_000])
def test_every_job_that_a_statement_deletes_is_named(database: psycopg.Connection[Any], count: int) -> None:
    """In as many messages as it takes, none of them too long to be sent."""
    insert = """
        insert into public.scheduled_jobs (handler, run_date)
        select 'noop', now() + interval '1 day' from generate_series(1, %s) returning id
    """
    jobs = {row["id"] for row in database.execute(insert, [count]).fetchall()}
    database.execute("delete from job_scheduler.signals")
    database.execute("delete from public.scheduled_jobs")
    messages = database.execute("select message, length(message::text) as bytes from job_scheduler.signals").fetchall()
    hints = [read_signal("database", row["message"]) for row in messages]
    assert {job for hint in hints for job in hint.gone} == jobs
    assert sum(len(hint.gone) for hint in hints) == count
    assert max(row["bytes"] for row in messages) < MOST_BYTES


def test_a_statement_that_deletes_nothing_rings_nothing(database: psycopg.Connection[Any]) -> None:
    """There is nothing to look at."""
    database.execute("delete from job_scheduler.signals")
    database.execute("delete from public.scheduled_jobs where id < 0")
    assert database.execute("select message from job_scheduler.signals").fetchall() == []
