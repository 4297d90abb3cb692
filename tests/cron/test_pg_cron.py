"""The real pg_cron calls `job_scheduler.watch()` each minute: `make test-cron`, with Debian's packages."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from child_listener import listeners_on
from patience import STRICT, until

from listener.local import postgres
from listener.local.stack import temporary_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from listener.local.stack import Stack

pytestmark = pytest.mark.cron
SETTINGS = {"shared_preload_libraries": "pg_cron", "cron.use_background_workers": "on", "max_worker_processes": "20"}
PG_NET = """
create schema net;
create table net.sent (id bigint generated always as identity, body jsonb, at timestamptz default clock_timestamp());
create function net.http_post(
    url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
    timeout_milliseconds integer default 2000
) returns bigint language sql as $$ insert into net.sent (body) values (body) returning id $$;
"""
"""Debian has no pg_net."""
MINUTES = 3 * 60.0
PROMISED_SECONDS = 2 * 60.0


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Run a stack whose PostgreSQL has pg_cron."""
    for name, value in SETTINGS.items():
        monkeypatch.setitem(postgres.SETTINGS, name, value)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(temporary_stack()) as stack:
        yield stack


def test_a_killed_listener_is_an_alert_within_two_minutes(stack: Stack, tmp_path: Path) -> None:
    """Counted from the kill; the next listener is a recovery at the next minute."""
    with (
        listeners_on(stack, tmp_path, tmp_path) as listeners,
        psycopg.connect(stack.admin_dsn, autocommit=True) as connection,
    ):

        def value(query: str) -> float:
            return connection.execute(query).fetchone()[0]

        connection.execute(f"create extension pg_cron; {PG_NET}")
        connection.execute("select job_scheduler.watch_every_minute('https://hooks.example.com/')")
        killed = listeners.start(handlers="handlers")
        killed.stop(signal.SIGKILL)
        killed_at = value("select extract(epoch from clock_timestamp())::float8")
        sent = lambda status: value(f"select count(*) from net.sent where body ->> 'status' = '{status}'")  # noqa: E731, S608 - ours
        until(lambda: sent("firing"), "the alert is sent", MINUTES)
        alert = value("select extract(epoch from max(at))::float8 from net.sent") - killed_at
        listeners.start(handlers="handlers")
        ready_at = value("select extract(epoch from clock_timestamp())::float8")
        until(lambda: sent("resolved"), "the recovery is sent", MINUTES)
        recovery = value("select extract(epoch from max(at))::float8 from net.sent") - ready_at
        print(f"alert {alert:.1f} s after the kill, recovery {recovery:.1f} s after the next listener was ready")  # noqa: T201 - a figure
        assert (sent("firing"), sent("resolved")) == (1, 1)
        runs = "select distinct status from cron.job_run_details where end_time is not null"
        assert connection.execute(runs).fetchall() == [("succeeded",)]
        connection.execute("select job_scheduler.stop_watching()")
        assert value("select count(*) from cron.job") == 0
        if STRICT:
            assert alert <= PROMISED_SECONDS
