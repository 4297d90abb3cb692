"""A mute spares Realtime what listeners poll; the database grants it for what it has sent itself, for a while only."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx
    import psycopg

INSERT = "insert into public.scheduled_jobs (handler, run_date) values ('noop', now() + '1 h') returning id"
SENT = "select count(*)::int as n from job_scheduler.signals"
RUNNING = (
    "insert into public.job_executions "
    "(scheduled_job_id, scheduled_for, cause, status, listener_id, lease_expires_at, started_at) "
    "values (%s, now(), 'schedule', 'running', gen_random_uuid(), now() + '1 h', now()) returning id"
)


NOTHING = "delete from job_scheduler.signals; delete from job_scheduler.stops; delete from job_scheduler.mute"


@pytest.fixture(autouse=True)
def nothing_is_muted(database: psycopg.Connection[Any]) -> Iterator[None]:
    """Nothing was sent and nothing is muted, before and after each test."""
    database.execute(NOTHING)
    yield
    database.execute(NOTHING)


@pytest.fixture
def sent(database: psycopg.Connection[Any]) -> Callable[[], int]:
    """Return how many signals were sent since the last call."""
    seen = 0

    def count() -> int:
        nonlocal seen
        before, seen = seen, database.execute(SENT).fetchone()["n"]
        return seen - before

    count()
    return count


def polled(ask: Callable[..., Any], cursor: int = 0) -> dict[str, Any]:
    """Poll."""
    return ask("poll_jobs_v1", cursor=cursor, until="2999-01-01T00:00:00Z", after=None, limit=100)


def test_a_mute_is_granted_for_what_was_sent_and_lasts_no_longer_than_a_minute(database, ask):
    """Forged notifications, which only listeners count, are no reason; nor are probes."""
    for _ in range(4):
        ask("send_probe_v1", listener="any")
        assert ask("mute_v1", seconds=10)["muted_until"] is None
    for _ in range(3):
        assert ask("mute_v1", seconds=10)["muted_until"] is None
        database.execute(INSERT)
    answer = ask("mute_v1", seconds=10_000)
    until, now = (datetime.fromisoformat(answer[key]) for key in ("muted_until", "now"))
    assert 58 < (until - now).total_seconds() <= 60
    assert ask("mute_v1", seconds=1)["muted_until"] == answer["muted_until"]
    assert polled(ask)["muted_until"] == answer["muted_until"]


def test_old_notifications_are_no_reason(database, ask):
    """A notification of an hour ago says nothing of the next minute."""
    for _ in range(5):
        database.execute(INSERT)
    database.execute("update job_scheduler.signals set at = at - interval '61 seconds'")
    assert ask("mute_v1", seconds=10)["muted_until"] is None


def test_muted_statements_send_nothing_and_polls_show_what_they_did(database, ask, sent):
    """Inserted, edited and deleted jobs, stopped runs and changed rows of sources; probes are sent all the same."""
    database.execute(INSERT)
    cursor = polled(ask)["cursor"]
    database.execute("insert into job_scheduler.mute (until) values (now() + '1 min')")
    sent()
    job = database.execute(INSERT).fetchone()["id"]
    database.execute("update public.scheduled_jobs set name = 'edited'")
    run = database.execute(RUNNING, [job]).fetchone()["id"]
    database.execute("insert into public.meetings (title, start_time, end_time) values ('m', now(), now() + '1 h')")
    database.execute("select job_scheduler.notify_stopped(%s)", [job])
    database.execute("delete from public.scheduled_jobs where id = %s", [job])
    assert sent() == 0
    signals = polled(ask, cursor)["signals"]
    assert [(each["table"], each["rows"]) for each in signals] == [
        ("cancelled_runs", [str(run)]),
        ("deleted_jobs", [[job]]),
        ("sources", None),
    ]
    ask("send_probe_v1", listener="any")
    assert sent() == 1


def test_after_a_mute_statements_notify_again(database, sent):
    """Its end needs nobody."""
    database.execute("insert into job_scheduler.mute (until) values (clock_timestamp())")
    sent()
    database.execute(INSERT)
    assert sent() == 1


@pytest.mark.parametrize("who", ["anon", "alice"])
def test_only_the_service_mutes(client_for: Callable[[str], httpx.Client], who: str):
    """A browser that could would slow every job down."""
    answer = client_for(who).post("/rpc/mute_v1", json={"request": {"seconds": 60}})
    assert answer.status_code in {401, 403, 404}
