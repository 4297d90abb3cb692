"""The real pg_cron calls `job_scheduler.watch()` each minute: `make test-cron`, with Debian's packages."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from child_listener import free_port
from mortal_parts import Postgres
from patience import until

from listener.migrate.files import migrations_folder
from listener.migrate.migrator import apply_migrations

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.cron
SETTINGS = (
    ["alter system set shared_preload_libraries = 'pg_cron'", "alter system set max_worker_processes = 20"],
    ["alter system set cron.use_background_workers = on"],  # a parameter that exists once the library is loaded
)
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
HEARTBEAT = {"listener": "5a6f8f8e-8f0b-4c0f-9a52-3f3f3d0f0c11", "name": "one", "lease_seconds": 30, "executions": []}


def test_a_killed_listener_is_an_alert_within_two_minutes(tmp_path: Path) -> None:
    """Counted from its last heartbeat; the next listener is a recovery at the next minute."""
    postgres = Postgres(tmp_path / "state", free_port())
    postgres.make()
    try:
        for statements in SETTINGS:
            for statement in statements:
                postgres.do(statement)
            postgres.stop()
            postgres.start()
        postgres.do(f"create extension pg_cron; {PG_NET}")
        apply_migrations(postgres.dsn, migrations_folder())
        _watch(postgres)
    finally:
        postgres.stop()


def _watch(postgres: Postgres) -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("select job_scheduler.watch_every_minute('https://hooks.example.com/')")
        statuses = lambda: [  # noqa: E731 - asked often
            status for (status,) in connection.execute("select body ->> 'status' from net.sent order by id")
        ]
        heartbeat = [json.dumps(HEARTBEAT)]
        connection.execute("select public.extend_leases_v1(%s)", heartbeat)
        until(lambda: statuses() == ["firing"], "the alert is sent", MINUTES)
        seconds = (
            "select extract(epoch from s.at - l.heartbeat_at)::float from net.sent as s, public.job_listeners as l"
        )
        (after,) = connection.execute(seconds).fetchone()
        began = time.monotonic()

        def beats_until_recovered() -> bool:
            connection.execute("select public.extend_leases_v1(%s)", heartbeat)
            return statuses() == ["firing", "resolved"]

        until(beats_until_recovered, "the recovery is sent", MINUTES)
        print(f"alert {after:.1f} s after the last heartbeat, recovery {time.monotonic() - began:.1f} s after the next")  # noqa: T201 - a figure
        runs = connection.execute(
            "select distinct status, return_message from cron.job_run_details where end_time is not null"
        )
        assert {status for status, _ in runs} == {"succeeded"}
        connection.execute("select job_scheduler.stop_watching()")
        assert connection.execute("select count(*) from cron.job").fetchone() == (0,)
        if "STRICT_TIMES" in os.environ:
            assert after <= 2 * 60
