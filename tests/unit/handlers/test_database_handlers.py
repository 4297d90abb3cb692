"""Handlers whose work is in the database, through the real PostgREST: notifications, receipts, functions, queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from patience import until

from listener.domain.outcome import Completed
from listener.handlers.database_function import database_function
from listener.handlers.email import email
from listener.handlers.event_reminder import event_reminder
from listener.handlers.notification import notification
from listener.handlers.queue_message import queue_message
from listener.testing import run_handler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection
    from psycopg.rows import DictRow

    from listener.local.stack import Stack

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),  # in Apprise
]
ADA = str(uuid4())
QUEUES = """
create schema pgmq;
create table pgmq.q_orders (msg_id bigint generated always as identity, message jsonb, headers jsonb, delay integer);
create function pgmq.send(queue_name text, msg jsonb, delay integer) returns setof bigint language sql as
$$ insert into pgmq.q_orders (message, delay) values (msg, delay) returning msg_id $$;
"""
"""The part of pgmq's interface that is used; the extension itself does not run here."""
HEADERS = """
create function pgmq.send(queue_name text, msg jsonb, headers jsonb, delay integer) returns setof bigint language sql as
$$ insert into pgmq.q_orders (message, headers, delay) values (msg, headers, delay) returning msg_id $$;
"""
FUNCTIONS = """
create function public.add_up(a integer, b integer) returns integer language sql as $$ select a + b $$;
create function public.fails(code text) returns void language plpgsql as
$$ begin raise exception 'as asked' using errcode = code; end $$;
create function public.secret() returns text language sql as $$ select 'x' $$;
notify pgrst, 'reload schema';
"""


@pytest.fixture
def sql(stack: Stack) -> Iterator[Connection[DictRow]]:
    """Give a connection with all rights."""
    with psycopg.connect(stack.database_url, autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
        yield connection


async def run(function: Any, payload: dict[str, Any], client: Any, **changes: Any) -> Any:
    """Run a handler once; give its outcome."""
    return (await run_handler(function, payload, client=client, **changes)).outcome


async def test_a_notification_is_a_row_of_its_recipient_once_a_run(client, sql):
    """Other keys of the payload are in its data."""
    payload = {"recipient_id": ADA, "title": "Hi", "message": "Soon", "data": {"room": 7}, "type": "push"}
    for attempt in (1, 2):
        outcome = await run(notification, payload, client, attempt=attempt)
        assert outcome == Completed({"recipient_id": ADA, "channels": []})
    (row,) = sql.execute("select * from public.job_notifications").fetchall()
    shown = {name: row[name] for name in ("title", "message", "data", "read_at", "scheduled_job_id")}
    assert shown == {
        "title": "Hi",
        "message": "Soon",
        "data": {"room": 7, "type": "push"},
        "read_at": None,
        "scheduled_job_id": 1,
    }


async def test_a_notification_goes_on_through_the_channels_that_it_names_once_a_run(client, endpoint):
    """Those of the operator; a URL of its own it cannot bring."""
    channels = {"ops": endpoint.url.replace("http://", "json://")}
    payload = {"recipient_id": ADA, "title": "Hi", "message": "Soon", "channels": ["ops"]}
    for attempt in (1, 2):
        outcome = await run(notification, payload, client, attempt=attempt, options={"notification_channels": channels})
        assert outcome.result["channels"] == ["ops"]
    ((_, _, _, content),) = endpoint.requests
    assert b"Soon" in content
    failed = await run(notification, {**payload, "channels": ["json://elsewhere"]}, client)
    assert (failed.reason, failed.retryable) == ("unknown_channel", False)


async def test_a_channel_that_refuses_is_tried_again(client, endpoint):
    """Without a second notification."""
    endpoint.status = 500
    channels = {"ops": endpoint.url.replace("http://", "json://")}
    payload = {"recipient_id": ADA, "message": "Soon", "channels": ["ops"]}
    failed = await run(notification, payload, client, options={"notification_channels": channels})
    assert (failed.reason, failed.retryable) == ("retry", True)


async def test_in_test_mode_no_row_is_written(client, sql):
    """The result says what would be."""
    outcome = await run(notification, {"recipient_id": ADA, "message": "Soon"}, client, test_mode=True)
    assert outcome.result["would_send"]["recipient_id"] == ADA
    assert sql.execute("select * from public.job_notifications").fetchall() == []


async def test_a_reminder_sends_each_of_its_kinds_once(client, sql, inbox, url, endpoint):
    """The mail had gone out when the text message was refused: the next attempt sends that alone."""
    options = {"smtp_url": url, "sms_url": endpoint.url}
    payload = {
        "event_id": "7",
        "message": "Soon",
        "recipient_id": ADA,
        "email": "ada@example.com",
        "phone": "+15550100",
    }
    endpoint.status = 503
    failed = await run(event_reminder, payload, client, options=options)
    assert (failed.reason, failed.retryable) == ("retry", True)
    endpoint.status = 201
    outcome = await run(event_reminder, payload, client, options=options, attempt=2)
    assert set(outcome.result) == {"event_id", "notification", "email", "sms"}
    assert len(inbox.mails) == 1
    assert len(endpoint.requests) == 2
    (row,) = sql.execute("select message, data from public.job_notifications").fetchall()
    assert row == {"message": "Soon", "data": {"event_id": "7"}}


async def test_a_reminder_of_nobody_says_so(client):
    """It completes all the same: programs log reminders too."""
    report = await run_handler(event_reminder, {"event_id": "7", "message": "Soon"}, client=client)
    assert report.outcome == Completed({"event_id": "7"})
    assert "it reminds nobody" in report.logs[0].message


async def test_a_receipt_outlives_the_listener_that_wrote_it(client, inbox, url, sql):
    """Another attempt may run elsewhere; old receipts go with the ledger's clean-up."""
    mail = {"to": "ada@example.com", "subject": "Hello", "text": "Hi"}
    first = await run(email, mail, client, options={"smtp_url": url})
    assert await run(email, mail, client, options={"smtp_url": url}, attempt=2) == first
    assert len(inbox.mails) == 1
    sql.execute("update job_scheduler.deliveries set sent_at = now() - interval '31 days'")
    sql.execute('select public.clean_ledger_v1(\'{"retention_days": 7, "limit": 100}\')')
    assert sql.execute("select * from job_scheduler.deliveries").fetchall() == []


@pytest.fixture(scope="module")
def functions(embedded_stack: Stack) -> Iterator[None]:
    """Have functions, and wait until PostgREST knows them."""

    def known() -> bool:
        headers = {"apikey": embedded_stack.service_key, "authorization": f"Bearer {embedded_stack.service_key}"}
        return httpx.post(f"{embedded_stack.url}/rest/v1/rpc/secret", headers=headers).is_success

    with psycopg.connect(embedded_stack.database_url, autocommit=True) as connection:
        connection.execute(FUNCTIONS)
        until(known, "PostgREST knows the functions")
        yield
        connection.execute("drop function public.add_up, public.fails, public.secret; notify pgrst, 'reload schema'")


@pytest.mark.usefixtures("functions")
async def test_a_function_that_the_operator_allowed_is_called(client):
    """Its answer is the result."""
    options = {"database_functions": {"add_up", "fails"}}
    call = {"function": "add_up", "arguments": {"a": 40, "b": 2}}
    assert await run(database_function, call, client, options=options) == Completed(42)
    rehearsed = await run(database_function, call, client, options=options, test_mode=True)
    assert rehearsed == Completed({"test_mode": True, "would_call": call})
    refused = await run(database_function, {"function": "secret"}, client, options=options)
    assert (refused.reason, refused.retryable) == ("forbidden_function", False)
    assert "add_up, fails" in refused.error
    unset = await run(database_function, {"function": "secret"}, client)
    assert (unset.reason, unset.retryable) == ("not_configured", False)


@pytest.mark.usefixtures("functions")
@pytest.mark.parametrize(
    ("code", "expected"), [("P0001", ("database_p0001", False)), ("40P01", ("retry", True)), ("55P03", ("retry", True))]
)
async def test_a_function_that_fails_is_tried_again_if_that_may_help(client, code, expected):
    """After conflicts, locks and lost connections."""
    options = {"database_functions": {"fails"}}
    failed = await run(database_function, {"function": "fails", "arguments": {"code": code}}, client, options=options)
    assert (failed.reason, failed.retryable) == expected
    assert "as asked" in failed.error


@pytest.fixture
def queues(sql: Connection[DictRow]) -> Iterator[None]:
    """Have a queue."""
    sql.execute(QUEUES)
    yield
    sql.execute("drop schema pgmq cascade")


@pytest.mark.usefixtures("queues")
async def test_a_message_gets_into_a_queue_that_is_there(client, sql):
    """With the run's key in its headers, where pgmq has them."""
    payload = {"queue": "orders", "message": {"a": 1}, "delay_seconds": 5}
    outcome = await run(queue_message, payload, client)
    assert outcome == Completed({"queue": "orders", "message_id": 1})
    sql.execute(HEADERS)
    await run(queue_message, payload, client)
    old, new = sql.execute("select message, headers, delay from pgmq.q_orders order by msg_id").fetchall()
    assert old == {"message": {"a": 1}, "headers": None, "delay": 5}
    assert new["headers"] == {"idempotency_key": "1:2026-01-05T12:00:00+00:00"}
    failed = await run(queue_message, {**payload, "queue": "none"}, client)
    assert (failed.reason, failed.retryable) == ("unknown_queue", False)
    assert "there is no queue 'none'" in failed.error


async def test_without_queues_the_run_says_what_to_enable(client):
    """No attempt helps."""
    failed = await run(queue_message, {"queue": "orders", "message": {}}, client)
    assert (failed.reason, failed.retryable) == ("not_configured", False)
    assert "Enable Queues" in failed.error
