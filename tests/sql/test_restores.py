"""A database that was restored from a dump runs nothing until somebody says so; no other database waits."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from answered_rows import jobs_of, runs_of
from anyio.from_thread import start_blocking_portal
from migration import made_database
from psycopg.rows import dict_row

from listener.local.installation import _wheel
from listener.local.postgres import bootstrap, cluster_in, create_cluster, postgres_program
from listener.local.program import running
from listener.local.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from listener.local.stack import Stack

Database = psycopg.Connection[dict[str, Any]]
ME = str(uuid.uuid4())
RESTORED = "select job_scheduler.is_restored() as so"
CONFIRM = "select job_scheduler.confirm_restore()"
COPY = """
    create temporary table dumped as table job_scheduler.this_database;
    delete from job_scheduler.this_database;
    insert into job_scheduler.this_database table dumped;
    drop table dumped;
"""
"""Change the row as a restore does."""


def is_restored(database: Database) -> bool:
    """Ask the database."""
    return database.execute(RESTORED).fetchone()["so"]


def call(database: Database, function: str, **request: Any) -> dict[str, Any]:
    """Call a function as a listener does."""
    query = f"select public.{function}(%s::jsonb) as answer"
    return database.execute(query, [json.dumps({"listener": ME, **request})]).fetchone()["answer"]


def claim(database: Database, **request: Any) -> list[dict[str, Any]]:
    """Claim all jobs that are due; the runs."""
    query = "select id, due_at::text as due from public.scheduled_jobs where due_at <= now() order by id"
    claims = database.execute(query).fetchall()
    return runs_of(call(database, "claim_runs_v1", claims=claims, lease_seconds=60, ahead_seconds=0, **request))


@pytest.fixture
def own(database: Database) -> Iterator[Database]:
    """The database, which is its own again after the test."""
    yield database
    database.execute(CONFIRM)


@pytest.fixture
def copied(own: Database) -> Database:
    """The database with two due jobs, as if it had been restored."""
    own.execute("insert into public.scheduled_jobs (handler) select 'noop' from generate_series(1, 2)")
    own.execute(COPY)
    return own


def test_a_database_that_was_migrated_runs_its_jobs_and_upkeep_changes_nothing(own: Database) -> None:
    """Neither does the row's being frozen or moved."""
    assert not is_restored(own)
    own.execute("vacuum (full, freeze) job_scheduler.this_database")
    own.execute("vacuum freeze job_scheduler.this_database")
    assert not is_restored(own)


def test_the_jobs_of_a_restored_database_wait_until_somebody_confirms_it(copied: Database) -> None:
    """Nothing is claimed, rescued or deleted; the message says what to do."""
    for function, request in {"claim_runs_v1": {"claims": []}, "rescue_runs_v1": {"limit": 10}}.items():
        with pytest.raises(psycopg.Error) as refused:
            call(copied, function, lease_seconds=60, ahead_seconds=0, **request)
        assert refused.value.sqlstate == "JS001"
        assert "select job_scheduler.confirm_restore()" in refused.value.diag.message_hint
    with copied.transaction():
        copied.execute("select set_config('job_scheduler.stage', 'service', true)")
        copied.execute("update public.scheduled_jobs set status = 'running'")
        copied.execute(
            "update public.scheduled_jobs set status = 'failed', "
            "created_at = now() - interval '1 year', updated_at = now() - interval '1 year'"
        )
    clean = {"retention_days": 7, "limit": 10}
    assert call(copied, "clean_ledger_v1", **clean)["deleted"] == 0
    copied.execute(CONFIRM)
    assert not is_restored(copied)
    assert call(copied, "clean_ledger_v1", **clean)["deleted"] == 2
    copied.execute("insert into public.scheduled_jobs (handler) values ('noop')")
    assert len(claim(copied)) == 1


def test_a_listener_that_may_run_restored_jobs_confirms_them(copied: Database) -> None:
    """So that others may run them too."""
    assert len(claim(copied, run_restored=True)) == 2
    assert not is_restored(copied)


def test_a_database_without_the_row_counts_as_restored(own: Database) -> None:
    """A dump may have left it out."""
    own.execute("delete from job_scheduler.this_database")
    assert is_restored(own)


def test_several_may_confirm_at_once(own: Database, migrated_database: str) -> None:
    """Each listener that has the setting does."""
    own.execute(COPY)

    def confirm(_: int) -> None:
        with psycopg.connect(migrated_database, row_factory=dict_row) as connection:
            claim(connection, run_restored=True)
            connection.execute(CONFIRM)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(confirm, range(8)))
    assert not is_restored(own)


def test_a_confirmation_counts_wherever_in_a_transaction_it_is_given(own: Database) -> None:
    """A part that may be rolled back alone has a number of its own, which is the one that rows have."""
    own.execute(COPY)
    with own.transaction(), own.transaction():
        own.execute("savepoint inner_part")
        own.execute(CONFIRM)
    assert not is_restored(own)


@contextlib.asynccontextmanager
async def _another_cluster() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="restored-") as folder:
        state = StateFolder.at(Path(folder))
        state.root.chmod(0o711)
        try:
            with state.held():
                cluster = cluster_in(state, state.keys(), state.choose_ports()["postgres"])
                await create_cluster(cluster)
                async with running(postgres_program(cluster)):
                    await bootstrap(cluster)
                    yield cluster.database_url
        finally:
            state.discard_outside()


@pytest.fixture
def another_cluster() -> Iterator[str]:
    """A database of a PostgreSQL of its own, which has counted few transactions."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_another_cluster()) as url:
        yield url


@pytest.fixture
def another_database(embedded_stack: Stack) -> Iterator[str]:
    """A database beside the one that is dumped."""
    with made_database(embedded_stack) as url:
        yield url


@pytest.mark.parametrize("place", ["another_database", "another_cluster"])
def test_a_dump_that_is_restored_elsewhere_is_noticed(
    own: Database, migrated_database: str, place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """By PostgreSQL's own programs; the original goes on. At rest no poll reads the other cluster's rows again."""
    url = request.getfixturevalue(place)
    own.execute("do 'begin for n in 1 .. 3000 loop perform pg_current_xact_id(); commit; end loop; end'")
    own.execute("insert into public.scheduled_jobs (handler, status) values ('noop', 'paused')")
    own.execute("insert into public.scheduled_jobs (handler) select 'noop' from generate_series(1, 3)")
    programs, dump = _wheel()[0], tmp_path / "dump"
    schemas = ["--schema=public", "--schema=job_scheduler"]
    subprocess.run([programs / "pg_dump", "-Fc", *schemas, f"--file={dump}", migrated_database], check=True, timeout=60)
    # Older servers do not know a setting that it begins with, and go on.
    restore = [programs / "pg_restore", "--no-owner", f"--dbname={url}", dump]
    subprocess.run(restore, check=False, timeout=60, capture_output=True)
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as elsewhere:
        assert is_restored(elsewhere)
        elsewhere.execute(CONFIRM)
        assert len(claim(elsewhere)) == 3
        poll = {"cursor": 1, "until": "2100-01-01", "limit": 100}
        seen = call(elsewhere, "poll_jobs_v1", **poll)["snapshot"]
        assert jobs_of(call(elsewhere, "poll_jobs_v1", snapshot=seen, **poll)) == []
        (edited,) = elsewhere.execute(
            "update public.scheduled_jobs set priority = 1 where status = 'paused' returning id"
        )
        rows = jobs_of(call(elsewhere, "poll_jobs_v1", snapshot=seen, **poll))
        assert [row["id"] for row in rows] == [edited["id"]]
    assert not is_restored(own)
    assert len(claim(own)) == 3
