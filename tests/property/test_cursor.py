"""Polls beside eight writers miss nothing: each change is read at the next poll after its commit at the latest.

`CURSOR_TRANSACTIONS=5000 pytest tests/property/test_cursor.py` looks longer.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from answered_rows import jobs_of
from migration import made_database
from psycopg.rows import dict_row

from listener.migrate.files import migrations_folder
from listener.migrate.migrator import apply_migrations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listener.local.stack import Stack

WRITERS = 8
TRANSACTIONS = int(os.environ.get("CURSOR_TRANSACTIONS", "60"))
"""Of each writer."""
JOBS = 40
"""That all of them change, so that older transactions meet the rows of younger ones."""
INSERT = "insert into public.scheduled_jobs (handler, status) values ('noop', 'paused') returning id"
CHANGES = (
    "update public.scheduled_jobs set priority = priority + 1 where id = %s",
    (
        "update public.scheduled_jobs set status = case status when 'paused' then 'scheduled' else 'paused' end"
        " where id = %s"
    ),
)
FAR = 10**12


@pytest.fixture
def url(embedded_stack: Stack) -> Iterator[str]:
    """A database of its own, so that no other test writes there."""
    with made_database(embedded_stack) as url:
        apply_migrations(url, migrations_folder())
        yield url


def write(url: str, seed: int, jobs: list[int]) -> None:
    """Change jobs in transactions of any length; some are rolled back, in whole or in part."""
    chance = random.Random(seed)  # noqa: S311 - a test's
    with psycopg.connect(url) as connection:
        connection.execute("set lock_timeout = '50ms'")
        for _ in range(TRANSACTIONS):
            try:
                for _ in range(chance.randint(1, 4)):
                    change(connection, chance, jobs)
                    time.sleep(chance.choice([0, 0, 0.001, 0.01]))
                (connection.commit if chance.random() < 0.9 else connection.rollback)()
            except (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
                connection.rollback()


def change(connection: psycopg.Connection[Any], chance: random.Random, jobs: list[int]) -> None:
    """Insert a job, or change one that there is."""
    kind = chance.random()
    if kind < 0.3:
        connection.execute(INSERT)
    elif kind < 0.4:
        with connection.transaction(force_rollback=chance.random() < 0.5):
            connection.execute(chance.choice(CHANGES), [chance.choice(jobs)])
    else:
        connection.execute(chance.choice(CHANGES), [chance.choice(jobs)])


def keep_forgetting(url: str, stopped: threading.Event) -> None:
    """Forget the transactions of another cluster, as rescues do."""
    with psycopg.connect(url) as connection:
        while not stopped.is_set():
            connection.execute("select set_config('job_scheduler.stage', 'service', true)")
            connection.execute("select job_scheduler.forget_transactions(3)")
            connection.commit()


def poll(connection: psycopg.Connection[Any], snapshot: str | None, known: dict[int, int]) -> str:
    """Poll page by page, and note the newest revision of each job; the next snapshot is the first page's."""
    request = {"snapshot": snapshot, "cursor": 1, "until": "2100-01-01", "limit": 7}
    following, after = None, None
    while following is None or after is not None:
        asked = json.dumps({key: each for key, each in {**request, "after": after}.items() if each is not None})
        answer = connection.execute("select public.poll_jobs_v1(%s::jsonb) as answer", [asked]).fetchone()["answer"]
        for row in jobs_of(answer):
            known[row["id"]] = max(row["revision"], known.get(row["id"], -1))
        following, after = following or answer["snapshot"], answer["after"]
    return following


@pytest.mark.parametrize("is_restored", [False, True], ids=["own rows", "rows of another cluster"])
def test_no_change_is_lost_beside_eight_writers(url: str, is_restored) -> None:
    """One more transaction stays open meanwhile, and changes at its end what the others changed."""
    known: dict[int, int] = {}
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection, psycopg.connect(url) as oldest:
        jobs = [connection.execute(INSERT).fetchone()["id"] for _ in range(JOBS)]
        if is_restored:
            with connection.transaction():
                connection.execute("select set_config('job_scheduler.stage', 'service', true)")
                connection.execute(
                    "update public.scheduled_jobs set changed_in = %(far)s + id, revision = %(far)s", {"far": FAR}
                )
        oldest.execute(CHANGES[0], [jobs.pop()])
        snapshot, stopped = poll(connection, None, known), threading.Event()
        with ThreadPoolExecutor(WRITERS + 1) as pool:
            writers = [pool.submit(write, url, seed, jobs) for seed in range(WRITERS)]
            forgetting = pool.submit(keep_forgetting, url, stopped)
            try:
                while not all(writer.done() for writer in writers):
                    snapshot = poll(connection, snapshot, known)
            finally:
                stopped.set()
        for done in (*writers, forgetting):
            done.result()
        snapshot = poll(connection, snapshot, known)
        oldest.execute(CHANGES[1], [jobs[0]])
        oldest.commit()
        poll(connection, snapshot, known)
        rows = connection.execute("select id, revision from public.scheduled_jobs").fetchall()
    written = {row["id"]: row["revision"] for row in rows}
    unchanged = {job for job, revision in written.items() if revision == FAR}
    assert len(written) > JOBS + WRITERS * TRANSACTIONS / 10
    assert {
        job: revision for job, revision in written.items() if known.get(job) != revision and job not in unchanged
    } == {}
