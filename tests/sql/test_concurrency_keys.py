"""Batches that need several concurrency keys, in whatever order their jobs come."""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from answered_rows import runs_of
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = ["printer", "scanner"]
LOCK_KEY = "select pg_advisory_lock(job_scheduler.key_lock(j)) from public.scheduled_jobs as j where id = %s"
LOCK_JOB = "select from public.scheduled_jobs where id = %s for update"


class Batch(threading.Thread):
    """A call of a service's function in a transaction of its own, on a thread of its own."""

    def __init__(self, url: str, function: str, request: dict[str, Any]) -> None:
        super().__init__()
        self._url, self._function = url, function
        self._request = {"listener": str(uuid.uuid4()), "lease_seconds": 30, "ahead_seconds": 1, **request}
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        with psycopg.connect(self._url, autocommit=True, row_factory=dict_row) as connection:
            query = f"select public.{self._function}(%s) as answer"
            while self.answer is None:
                try:
                    self.answer = connection.execute(query, [json.dumps(self._request)]).fetchone()["answer"]
                except psycopg.errors.LockNotAvailable:
                    continue  # as a listener does
                except psycopg.Error as error:
                    self.answer = error

    def ended(self) -> Any:
        """The answer of the call."""
        self.join(20)
        assert not isinstance(self.answer, psycopg.Error), self.answer
        return self.answer


def keyed_jobs(database: psycopg.Connection[Any], keys: list[str]) -> list[int]:
    """One job for each key, with a run that was asked for."""
    ids = []
    for key in keys:
        job = database.execute(
            "insert into public.scheduled_jobs (handler, status, concurrency_key) "
            "values ('noop', 'paused', %s) returning id",
            [key],
        ).fetchone()["id"]
        database.execute("select public.run_job_now(%s)", [job])
        ids.append(job)
    return ids


@contextmanager
def held_up(url: str, jobs: list[int]) -> Iterator[None]:
    """Claims of these jobs wait meanwhile."""
    with psycopg.connect(url) as connection:
        connection.execute("select from public.job_executions where scheduled_job_id = any(%s) for update", [jobs])
        yield


def wait_until_waiting(database: psycopg.Connection[Any], count: int) -> None:
    """Return when that many transactions of this database wait for a lock."""
    query = "select count(*) as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    deadline = time.monotonic() + 15
    while database.execute(query).fetchone()["n"] < count:
        assert time.monotonic() < deadline, f"{count} transactions wait"
        time.sleep(0.01)


def claims(jobs: list[int]) -> dict[str, Any]:
    """Ask for the runs that wait."""
    return {"claims": [{"id": job, "due": None} for job in jobs]}


def test_batches_that_need_the_same_keys_in_another_order_wait_for_each_other_in_one_order(
    database: psycopg.Connection[Any], migrated_database: str
) -> None:
    """Each is held up between the first of its keys and the second; one is claimed, then the other finds them taken."""
    one, other = keyed_jobs(database, KEYS), keyed_jobs(database, KEYS[::-1])
    with held_up(migrated_database, [one[0], other[0]]):
        batches = [Batch(migrated_database, "claim_runs_v1", claims(jobs)) for jobs in (one, other)]
        wait_until_waiting(database, 2)
    granted = [len(runs_of(batch.ended())) for batch in batches]
    assert sorted(granted) == [0, 2]


def test_the_end_of_runs_and_a_claim_that_need_the_same_keys_do_not_block_each_other(
    database: psycopg.Connection[Any], migrated_database: str
) -> None:
    """The keys of runs that end are released in the order in which claims take them."""
    me = str(uuid.uuid4())
    running, waiting = keyed_jobs(database, KEYS), keyed_jobs(database, KEYS[::-1])
    blocked = keyed_jobs(database, KEYS)
    first = runs_of(Batch(migrated_database, "claim_runs_v1", {"listener": me, **claims(running)}).ended())
    assert runs_of(Batch(migrated_database, "claim_runs_v1", claims(blocked)).ended()) == []  # they wait for the keys
    results = [
        {
            "id": run["execution_id"],
            "fence": run["fence"],
            "status": "completed",
            "completed_at": run["scheduled_for"],
        }
        for run in first
    ]
    with held_up(migrated_database, [waiting[0], *blocked]):
        claim = Batch(migrated_database, "claim_runs_v1", claims(waiting))
        wait_until_waiting(database, 1)
        finish = Batch(migrated_database, "finish_runs_v1", {"listener": me, "results": results, "logs": []})
        wait_until_waiting(database, 2)
    claim.ended()
    assert len(finish.ended()["taken"]) == 2


def test_what_is_not_to_come_is_null(database: psycopg.Connection[Any], migrated_database: str) -> None:
    """The time of a run whose key is taken, and the due instant after the last one: clients read both."""
    [holder, waiting] = keyed_jobs(database, ["printer", "printer"])
    insert = "insert into public.scheduled_jobs (handler) values ('noop') returning id, due_at"
    once = database.execute(insert).fetchone()
    assert len(runs_of(Batch(migrated_database, "claim_runs_v1", claims([holder])).ended())) == 1
    assert runs_of(Batch(migrated_database, "claim_runs_v1", claims([waiting])).ended()) == []
    due = {"claims": [{"id": once["id"], "due": once["due_at"].isoformat()}]}
    assert len(runs_of(Batch(migrated_database, "claim_runs_v1", due).ended())) == 1
    blocked = "select run_at, reason from public.job_executions where scheduled_job_id = %s"
    assert database.execute(blocked, [waiting]).fetchone() == {"run_at": None, "reason": "concurrency"}
    for table in ("scheduled_jobs", "job_executions"):
        rows = database.execute(f"select * from public.{table}").fetchall()  # noqa: S608 - the names are ours
        assert max(value for row in rows for value in row.values() if isinstance(value, datetime)).year < 3000


def test_a_run_that_is_released_before_its_time_waits_for_its_time(
    database: psycopg.Connection[Any], migrated_database: str
) -> None:
    """It was claimed ahead of its due instant, found its key taken, and the key became free at once."""
    [holder] = keyed_jobs(database, ["printer"])
    me = str(uuid.uuid4())
    [run] = runs_of(Batch(migrated_database, "claim_runs_v1", {"listener": me, **claims([holder])}).ended())
    near = database.execute(
        "insert into public.scheduled_jobs (handler, concurrency_key, run_date) "
        "values ('noop', 'printer', now() + interval '30 seconds') returning id, due_at"
    ).fetchone()
    wanted = {"claims": [{"id": near["id"], "due": near["due_at"].isoformat()}], "ahead_seconds": 60}
    assert runs_of(Batch(migrated_database, "claim_runs_v1", wanted).ended()) == []
    ended = {"id": run["execution_id"], "fence": run["fence"], "status": "completed", "completed_at": run["run_at"]}
    [row] = Batch(migrated_database, "finish_runs_v1", {"listener": me, "results": [ended], "logs": []}).ended()["rows"]
    assert (row["id"], datetime.fromisoformat(row["next_run_at"])) == (near["id"], near["due_at"])
    queued = database.execute(
        "select run_at from public.job_executions where scheduled_job_id = %s and status = 'queued'", [near["id"]]
    ).fetchone()
    assert queued["run_at"] == near["due_at"]


def test_a_run_that_is_blocked_while_its_key_becomes_free_is_released(
    database: psycopg.Connection[Any], migrated_database: str
) -> None:
    """The end of the run that held the key waits for the claim that found it taken, and sees what that one blocked."""
    me = str(uuid.uuid4())
    running, waiting = keyed_jobs(database, KEYS[:1]), keyed_jobs(database, KEYS[:1])
    (run,) = runs_of(Batch(migrated_database, "claim_runs_v1", {"listener": me, **claims(running)}).ended())
    result = {"id": run["execution_id"], "fence": run["fence"], "status": "completed"}
    result["completed_at"] = run["scheduled_for"]
    with held_up(migrated_database, waiting):
        claim = Batch(migrated_database, "claim_runs_v1", claims(waiting))
        wait_until_waiting(database, 1)
        finish = Batch(migrated_database, "finish_runs_v1", {"listener": me, "results": [result], "logs": []})
        time.sleep(0.5)  # long enough to overlook what is blocked, if it does not wait
    claim.ended()
    finish.ended()
    query = "select run_at is not null as is_released from public.job_executions where scheduled_job_id = any(%s)"
    assert database.execute(query, [waiting]).fetchone()["is_released"]
    assert len(runs_of(Batch(migrated_database, "claim_runs_v1", claims(waiting)).ended())) == 1


def test_a_key_that_was_edited_meanwhile_is_left_to_a_later_claim(
    database: psycopg.Connection[Any], migrated_database: str
) -> None:
    """A batch locks the keys that it sees; one that comes after that is not waited for while others are held."""
    (job,) = keyed_jobs(database, KEYS[:1])
    with psycopg.connect(migrated_database, autocommit=True) as printer, psycopg.connect(migrated_database) as scanner:
        printer.execute(LOCK_KEY, [job])
        batch = Batch(migrated_database, "claim_runs_v1", claims([job]))
        wait_until_waiting(database, 1)
        database.execute("update public.scheduled_jobs set concurrency_key = 'scanner' where id = %s", [job])
        scanner.execute(LOCK_KEY, [job])
        printer.execute("select pg_advisory_unlock_all()")
        answer = batch.ended()
    assert (runs_of(answer), [row["id"] for row in answer["rows"]]) == ([], [job])
    assert len(runs_of(Batch(migrated_database, "claim_runs_v1", claims([job])).ended())) == 1


@pytest.mark.parametrize("key_concurrency", [1, 2])
def test_no_more_runs_of_a_key_are_claimed_at_once_than_it_allows(
    database: psycopg.Connection[Any], migrated_database: str, key_concurrency: int
) -> None:
    """Six batches at once, each of one job with that key."""
    jobs = keyed_jobs(database, KEYS[:1] * 6)
    requests = [{"key_concurrency": key_concurrency, **claims([job])} for job in jobs]
    batches = [Batch(migrated_database, "claim_runs_v1", request) for request in requests]
    assert sum(len(runs_of(batch.ended())) for batch in batches) == key_concurrency


@pytest.mark.parametrize("lock", [LOCK_KEY, LOCK_JOB], ids=["a key", "an earlier claim"])
def test_a_claim_that_waited_is_good_from_when_it_was_granted(
    database: psycopg.Connection[Any], migrated_database: str, lock: str
) -> None:
    """It waits for longer than its lease; what it found free before is granted with the rest, and as long."""
    (keyed,) = keyed_jobs(database, KEYS[:1])
    plain = database.execute(
        "insert into public.scheduled_jobs (handler) values ('noop') returning id, due_at::text as due"
    ).fetchone()
    wanted = {"claims": [plain, {"id": keyed, "due": None, "again": lock == LOCK_JOB}], "lease_seconds": 0.5}
    with psycopg.connect(migrated_database) as other:
        other.execute(lock, [keyed])
        batch = Batch(migrated_database, "claim_runs_v1", wanted)
        wait_until_waiting(database, 1)
        other.execute("select pg_sleep(0.6)")
        (freed_at,) = other.execute("select clock_timestamp()").fetchone()
    assert len(runs_of(batch.ended())) == 2
    query = "select e.lease_expires_at as run, j.lease_expires_at as job from public.job_executions as e"
    leases = database.execute(f"{query} join public.scheduled_jobs as j on e.scheduled_job_id = j.id").fetchall()
    assert all(row["run"] >= freed_at + timedelta(seconds=0.5) for row in leases)
    assert all(row["run"] == row["job"] for row in leases)


def test_a_claim_gives_up_a_key_that_somebody_keeps_locked(
    database: psycopg.Connection[Any], migrated_database: str
) -> None:
    """The listener makes the batch smaller, and asks again: nobody relies on an answer that took a whole lease."""
    (job,) = keyed_jobs(database, KEYS[:1])
    request = {"listener": str(uuid.uuid4()), "lease_seconds": 30, "ahead_seconds": 1, **claims([job])}
    with psycopg.connect(migrated_database) as other:
        other.execute(LOCK_KEY, [job])
        with pytest.raises(psycopg.errors.LockNotAvailable):
            database.execute("select public.claim_runs_v1(%s)", [json.dumps(request)])
