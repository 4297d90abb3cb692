"""A poll brings each change once it is committed, and reads no other row: whatever stays open, whoever wrote it."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from answered_rows import jobs_of, runs_of
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Iterator

Database = psycopg.Connection[dict[str, Any]]
INSERT = """
    insert into public.scheduled_jobs (handler, status)
    select 'noop', 'paused' from generate_series(1, %s) returning id
"""
READ = """
    select coalesce(idx_tup_fetch, 0) + seq_tup_read as rows
    from pg_stat_xact_user_tables where relname = 'scheduled_jobs'
"""
FAR = 10**12
"""A transaction of another cluster, which this one has not reached."""
MANY = 500
ME = str(uuid.uuid4())


def poll(database: Database, snapshot: str | None = None, *, limit: int = 100, **request: Any) -> dict[str, Any]:
    """Poll once."""
    asked = {"snapshot": snapshot, "cursor": 1, "until": "2100-01-01", "limit": limit, **request}
    query = "select public.poll_jobs_v1(%s::jsonb) as answer"
    return database.execute(
        query, [json.dumps({key: each for key, each in asked.items() if each is not None})]
    ).fetchone()["answer"]


def ids_of(answer: dict[str, Any]) -> list[int]:
    """Name the jobs of an answer."""
    return [row["id"] for row in jobs_of(answer)]


def insert(database: Database, count: int = 1) -> list[int]:
    """Insert paused jobs."""
    return [row["id"] for row in database.execute(INSERT, [count]).fetchall()]


def edit(database: Database, job: int) -> None:
    """Change a job as a client does."""
    database.execute("update public.scheduled_jobs set priority = priority + 1 where id = %s", [job])


def restore(database: Database, transaction: int = FAR) -> None:
    """Let all rows be from another cluster, as after a restore of its dump."""
    with database.transaction():
        database.execute("select set_config('job_scheduler.stage', 'service', true)")
        query = "update public.scheduled_jobs set changed_in = %(xid)s + id, revision = %(xid)s + id"
        database.execute(query, {"xid": transaction})


def forget(database: Database) -> int:
    """Forget transactions of another cluster, as a part of a rescue; of how many rows."""
    with database.transaction():
        database.execute("select set_config('job_scheduler.stage', 'service', true)")
        return database.execute("select job_scheduler.forget_transactions(5) as count").fetchone()["count"]


def service(database: Database, function: str, **request: Any) -> dict[str, Any]:
    """Call a function as a listener does."""
    query = f"select public.{function}(%s::jsonb) as answer"
    return database.execute(query, [json.dumps({"listener": ME, **request})]).fetchone()["answer"]


@contextmanager
def another(migrated_database: str) -> Iterator[Database]:
    """Connect once more, without autocommit."""
    with psycopg.connect(migrated_database, row_factory=dict_row) as connection:
        yield connection


def test_a_poll_brings_what_committed_since_the_last_one_and_nothing_twice(database) -> None:
    """However often it is repeated from the same snapshot."""
    first, second = insert(database, 2)
    seen = poll(database)["snapshot"]
    assert ids_of(poll(database, seen)) == []
    edit(database, second)
    answer = poll(database, seen)
    assert ids_of(answer) == ids_of(poll(database, seen)) == [second]
    assert ids_of(poll(database, answer["snapshot"])) == []
    edit(database, first)
    assert ids_of(poll(database, answer["snapshot"])) == [first]


def test_a_listener_that_knows_no_snapshots_polls_by_its_cursor(database) -> None:
    """Old and new listeners live together during a deploy."""
    job, _ = insert(database, 2)
    cursor = poll(database)["cursor"]
    edit(database, job)
    assert ids_of(poll(database, cursor=cursor)) == [job]


def test_a_transaction_that_stays_open_is_read_when_it_ends_and_costs_nothing_before(
    database, migrated_database
) -> None:
    """Rows that others changed since it began are not read again at each poll."""
    with another(migrated_database) as open_one:
        (late,) = insert(open_one)
        jobs = insert(database, MANY)
        answer = poll(database, limit=1000)
        assert ids_of(answer) == jobs
        with database.transaction():
            before = database.execute(READ).fetchone()["rows"]
            seen = poll(database, answer["snapshot"], limit=1000)
            assert database.execute(READ).fetchone()["rows"] - before < MANY / 10
        assert ids_of(seen) == []
        open_one.commit()
    assert ids_of(poll(database, seen["snapshot"])) == [late]
    assert ids_of(poll(database, answer["snapshot"])) == [late]


def test_an_older_transaction_may_change_what_a_younger_one_changed_before(database, migrated_database) -> None:
    """Its revision is higher than its number then, and a poll goes by the number."""
    job, other = insert(database, 2)
    with another(migrated_database) as older:
        edit(older, other)
        edit(database, job)
        seen = poll(database)["snapshot"]
        edit(older, job)
        edit(older, job)
        edit(database, insert(database)[0])
        later = poll(database, seen)["snapshot"]
        older.commit()
    assert sorted(ids_of(poll(database, later))) == sorted([job, other])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_have_each_change_once(database, migrated_database, size) -> None:
    """Those of a transaction that was open, then those of later ones."""
    with another(migrated_database) as open_one:
        late = insert(open_one, 3)
        seen = poll(database)["snapshot"]
        jobs = insert(database, 4)
        seen, later = poll(database, seen)["snapshot"], insert(database, 3)
        open_one.commit()
    found, after = [], None
    while True:
        answer = poll(database, seen, limit=size, after=after)
        found += ids_of(answer)
        after = answer["after"]
        if after is None:
            break
    assert found == late + later
    assert not set(found) & set(jobs)


def test_a_poll_brings_stops_of_a_transaction_that_was_open(database, migrated_database) -> None:
    """Once, as with rows."""
    (job,) = insert(database)
    with another(migrated_database) as open_one:
        open_one.execute("delete from public.scheduled_jobs where id = %s", [job])
        insert(database)
        seen = poll(database)["snapshot"]
        assert poll(database, seen)["signals"] == []
        open_one.commit()
    answer = poll(database, seen)
    assert [(each["table"], each["rows"]) for each in answer["signals"]] == [("deleted_jobs", [[job]])]
    assert poll(database, answer["snapshot"])["signals"] == []


def test_rows_of_another_cluster_are_not_read_at_each_poll_and_their_edits_are(database) -> None:
    """Its counter was far ahead of this one's; so are their revisions, which go on from there."""
    jobs = insert(database, MANY)
    restore(database)
    seen = poll(database, limit=1000)["snapshot"]
    with database.transaction():
        before = database.execute(READ).fetchone()["rows"]
        assert ids_of(poll(database, seen, limit=1000)) == []
        assert database.execute(READ).fetchone()["rows"] - before < MANY / 10
    edit(database, jobs[3])
    (row,) = jobs_of(poll(database, seen))
    assert (row["id"], row["revision"]) == (jobs[3], FAR + jobs[3] + 1)


def test_transactions_of_another_cluster_are_forgotten_some_rows_at_a_time(database, migrated_database) -> None:
    """Else each row would look changed when the counter passes it. A change of this cluster is kept, and none waits."""
    jobs = insert(database, 10)
    restore(database)
    edit(database, jobs[0])
    query = "select id from public.scheduled_jobs where changed_in <> 0 order by id"
    with another(migrated_database) as busy:
        edit(busy, jobs[1])
        forgotten = [forget(database) for _ in range(3)]
        busy.commit()
    assert forgotten == [5, 3, 0]
    assert [row["id"] for row in database.execute(query).fetchall()] == jobs[:2]


def test_a_change_of_the_transaction_that_forgets_is_not_forgotten(database, migrated_database) -> None:
    """Its number is ahead of the snapshot, too, where an older transaction is open."""
    jobs = insert(database, 2)
    restore(database)
    seen = poll(database)["snapshot"]
    with another(migrated_database) as open_one:
        insert(open_one)
        with database.transaction():
            edit(database, jobs[1])
            forget(database)
    assert jobs[1] in ids_of(poll(database, seen))


@pytest.mark.parametrize("how", ["manual run", "retry", "parked"])
def test_a_poll_brings_what_the_service_changed(database, how) -> None:
    """Another listener may have to act on it: the one that wrote it may not be there then."""
    query = "insert into public.scheduled_jobs (handler) values ('noop') returning id, due_at::text as due"
    job = database.execute(query).fetchone()
    claims = [{"id": job["id"], "due": job["due"]}]
    (run,) = runs_of(service(database, "claim_runs_v1", claims=claims, lease_seconds=60, ahead_seconds=0))
    seen = poll(database)["snapshot"]
    if how == "manual run":
        database.execute("select public.run_job_now(%s)", [job["id"]])
    elif how == "retry":
        end = {"id": run["execution_id"], "fence": run["fence"], "status": "failed", "completed_at": job["due"]}
        service(database, "finish_runs_v1", results=[{**end, "retry_at": job["due"]}], logs=[])
    else:
        refused = {"id": run["execution_id"], "fence": run["fence"], "error": "it is refused"}
        service(database, "park_runs_v1", runs=[refused], jobs=[])
        query = "update public.scheduled_jobs set next_run_at = now() where id = %s"
        with database.transaction():  # else no poll would be interested in a job that failed
            database.execute("select set_config('job_scheduler.stage', 'service', true)")
            database.execute(query, [job["id"]])
    assert ids_of(poll(database, seen)) == [job["id"]]
