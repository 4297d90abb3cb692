"""A probe takes the way of every signal, only the service may send it, and no change of a job is silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from listener.local.stack import Stack

SEND = {"request": {"listener": "00000000-0000-4000-8000-000000000001"}}
SIGNAL = "select message from job_scheduler.signals where message ->> 'table' = 'probe' order by id desc limit 1"
BROADCAST = (
    "select payload - 'id' from realtime.messages where topic = 'job_scheduler' and event = 'changed' and private "
    "and payload ->> 'xid' = %s"
)
SENT = "select count(*) as n from job_scheduler.signals"
STATE = "select j.revision, (select count(*) from job_scheduler.signals) as sent from public.scheduled_jobs as j"
EDITS = {
    "job_id": "'another'",
    "name": "'another'",
    "description": "'another'",
    "handler": "'log'",
    "job_type": "'email'",
    "metadata": """'{"a": 1}'""",
    "run_date": "now() + '2 h'",
    "max_attempts": "9",
    "retry_delay_seconds": "9",
    "retry_backoff": "9",
    "timeout_seconds": "9",
    "priority": "9",
    "overlap": "'queue'",
    "misfire": "'skip'",
    "misfire_grace_seconds": "9",
    "dst_gap": "'skip'",
    "dst_fold": "'both'",
    "concurrency_key": "'key'",
    "status": "'paused'",
}


def test_a_probe_takes_both_ways_of_every_signal(service: httpx.Client, embedded_stack: Stack):
    """The row that postgres_changes delivers, and the private broadcast, are one message."""
    answer = service.post("/rpc/send_probe_v1", json=SEND).json()
    assert answer["channels"][:2] == ["broadcast", "postgres_changes"]
    with psycopg.connect(embedded_stack.admin_dsn) as connection:
        (message,) = connection.execute(SIGNAL).fetchone() or ()
        assert (message["table"], message["rows"]) == ("probe", answer["channels"])
        assert connection.execute(BROADCAST, [str(message["xid"])]).fetchall() == [(message,)]


def test_a_probe_takes_the_ways_that_are_asked_for(database: psycopg.Connection[dict[str, Any]]):
    """A channel that was received just now is left out, since messages cost; one that does not exist is not named."""
    before = database.execute(SENT).fetchone()
    database.execute("""select public.send_probe_v1('{"channels": ["broadcast", "pigeon"]}')""")
    assert database.execute(SENT).fetchone() == before
    database.execute("""select public.send_probe_v1('{"channels": ["broadcast", "postgres_changes"]}')""")
    sent = database.execute(SIGNAL).fetchone()
    assert sent
    assert sent["message"]["rows"] == ["postgres_changes"]


@pytest.mark.parametrize("who", ["anon", "alice"])
def test_only_the_service_rings(client_for: Callable[[str], httpx.Client], who: str):
    """A browser that could would wake every listener."""
    assert client_for(who).post("/rpc/send_probe_v1", json=SEND).status_code in {401, 403, 404}


def test_a_database_without_broadcasts_says_so(database: psycopg.Connection[dict[str, Any]]):
    """Listeners do not wait for what cannot come."""
    assert database.execute("select to_regnamespace('realtime') as it").fetchone() == {"it": None}
    row = database.execute("select public.send_probe_v1('{}') as answer").fetchone()
    assert row
    assert row["answer"]["channels"] == ["postgres_changes"]


@pytest.mark.parametrize("column", EDITS)
def test_every_change_that_makes_a_revision_rings(database: psycopg.Connection[dict[str, Any]], column: str):
    """A change that a poll finds without a notification would count as missed."""
    database.execute("insert into public.scheduled_jobs (handler, run_date) values ('noop', now() + '1 h')")
    before = database.execute(STATE).fetchone()
    edit = sql.SQL("update public.scheduled_jobs set {} = {}")
    database.execute(edit.format(sql.Identifier(column), sql.SQL(EDITS[column])))
    after = database.execute(STATE).fetchone()
    assert before
    assert after
    assert after["revision"] > before["revision"]
    assert after["sent"] == before["sent"] + 1
