"""Statements send a NOTIFY while a listener has asked for it, as small as PostgreSQL allows, and whatever is muted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

INSERT = "insert into public.scheduled_jobs (handler, run_date) values ('noop', now() + '1 h') returning id"
MANY = (
    "insert into public.scheduled_jobs (handler, run_date) "
    "select repeat('h', 200), now() + '1 h' from generate_series(1, %s)"
)
NOTHING = (
    "delete from job_scheduler.listening; delete from job_scheduler.signals; delete from job_scheduler.stops; "
    "delete from job_scheduler.mute"
)
LONGEST_BYTES = 7999


@pytest.fixture(autouse=True)
def nobody_listens(database: psycopg.Connection[Any]) -> Iterator[None]:
    """Nobody has asked for notifications, before and after each test."""
    database.execute(NOTHING)
    yield
    database.execute(NOTHING)


@pytest.fixture
def received(migrated_database: str) -> Iterator[Callable[[], list[Any]]]:
    """Listen; return the messages that came since the last call."""
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute("listen job_scheduler")

        def take() -> list[Any]:
            connection.execute("select")  # what was sent before arrives with its answer
            payloads = [each.payload for each in connection.notifies(timeout=0)]
            assert all(len(each.encode()) <= LONGEST_BYTES for each in payloads)
            return [json.loads(each) for each in payloads]

        yield take


def test_nobody_pays_for_what_nobody_receives(database, received):
    """Commits that send a NOTIFY wait for one another."""
    database.execute(INSERT)
    assert received() == []


def test_while_a_listener_listens_each_change_is_sent_in_the_form_of_every_signal(database, ask, received):
    """PostgreSQL itself brings the message that a channel of Realtime brings."""
    assert ask("listen_v1", seconds=60)["was_on"] is False
    assert ask("listen_v1", seconds=60)["was_on"] is True
    job = database.execute(INSERT).fetchone()["id"]
    database.execute("update public.scheduled_jobs set name = 'edited'")
    database.execute("delete from public.scheduled_jobs")
    messages = received()
    assert messages == [
        row["message"] for row in database.execute("select message from job_scheduler.signals order by id")
    ]
    assert [(each["table"], (each["rows"] or [[None]])[0][0]) for each in messages] == [
        ("scheduled_jobs", job),
        ("scheduled_jobs", None),
        ("deleted_jobs", job),
    ]


def test_a_request_ends_by_itself_in_two_minutes_at_most(database, ask, received):
    """A listener that died has nobody pay for it for long, and a shorter request does not end a longer one."""
    answer = ask("listen_v1", seconds=10_000)
    left = database.execute("select extract(epoch from until - clock_timestamp()) as left from job_scheduler.listening")
    assert 110 < left.fetchone()["left"] <= 120
    assert ask("listen_v1", seconds=1)["until"] == answer["until"]
    database.execute("update job_scheduler.listening set until = clock_timestamp()")
    database.execute(INSERT)
    assert received() == []


def test_a_message_that_is_too_long_causes_a_poll(database, ask, received):
    """PostgreSQL takes less than 8,000 bytes; the write succeeds, and other channels have all of it."""
    ask("listen_v1", seconds=60)
    database.execute(MANY, [30])
    database.execute(MANY, [20])
    database.execute("delete from public.scheduled_jobs where id in (select id from public.scheduled_jobs limit 30)")
    messages = received()
    assert [(each["table"], each["rows"] and len(each["rows"])) for each in messages] == [
        ("scheduled_jobs", None),
        ("scheduled_jobs", 20),
        ("deleted_jobs", 30),
    ]
    assert all(each["xid"] for each in messages)


def test_a_mute_is_of_realtime_alone(database, ask, received):
    """Its messages are what costs; a listener that receives NOTIFY goes on without polling at short intervals."""
    ask("listen_v1", seconds=60)
    database.execute("insert into job_scheduler.mute (until) values (now() + '1 min')")
    job = database.execute(INSERT).fetchone()["id"]
    assert [each["rows"][0][0] for each in received()] == [job]
    assert database.execute("select count(*)::int as n from job_scheduler.signals").fetchone()["n"] == 0


def test_a_mute_of_notify_lasts_no_longer_than_that_of_realtime_and_is_announced(database, ask, received):
    """Commits that send a NOTIFY wait for one another; the last one has every listener poll, and learn of it."""
    ask("listen_v1", seconds=60)
    assert ask("mute_v1", seconds=10, notify=True)["notify_muted_until"] is None, "three are no flood"
    for _ in range(3):
        database.execute(INSERT)
    ask("mute_v1", seconds=5)
    received()
    answer = ask("mute_v1", seconds=60, notify=True)
    assert answer["notify_muted_until"] == answer["muted_until"]
    assert ask("mute_v1", seconds=1, notify=True) | {"now": None} == answer | {"now": None}
    assert [(each["table"], each["rows"]) for each in received()] == [("scheduled_jobs", None)]
    database.execute(INSERT)
    assert received() == []
    polled = ask("poll_jobs_v1", cursor=0, until="2999-01-01T00:00:00Z", after=None, limit=1)
    assert polled["notify_muted_until"] == answer["notify_muted_until"]
    assert "notify" in ask("send_probe_v1", channels=["notify"])["channels"]
    assert [each["table"] for each in received()] == ["probe"]


def test_a_probe_takes_the_way_of_every_notification(ask, received):
    """Where nobody has asked for notifications there is no such way."""
    assert "notify" not in ask("send_probe_v1", channels=["notify"])["channels"]
    assert received() == []
    ask("listen_v1", seconds=60)
    assert "notify" in ask("send_probe_v1", channels=["notify"])["channels"]
    (probe,) = received()
    assert (probe["table"], probe["rows"]) == ("probe", ["notify"])


@pytest.mark.parametrize("who", ["anon", "alice"])
def test_only_the_service_asks_for_notifications(client_for: Callable[[str], httpx.Client], who: str):
    """A browser that could would slow every write down."""
    answer = client_for(who).post("/rpc/listen_v1", json={"request": {"seconds": 60}})
    assert answer.status_code in {401, 403, 404}
