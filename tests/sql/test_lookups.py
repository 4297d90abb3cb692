"""A listener's requests for one run are looked up by key, also in tables that nobody has analyzed yet."""

from __future__ import annotations

import json
import uuid

import pytest
from answered_rows import jobs_of, runs_of

ROWS = 2000
"""Jobs whose one run is over."""
FEW = 50
"""Rows that a call for one run may read, of jobs and ledger together."""
ROUNDS = 10
"""After five, PostgreSQL keeps a plan for the rest of the connection."""
INSTANT = "2026-11-21T10:00:00Z"
ME = str(uuid.uuid4())
HISTORY = """
    insert into public.job_executions (scheduled_job_id, scheduled_for, cause, status)
    select %s, now() - n * interval '1 minute', 'schedule', 'completed' from generate_series(1, %s) as n
"""
READ = """
    select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) as rows from pg_stat_xact_user_tables
    where relname in ('scheduled_jobs', 'job_executions')
"""


@pytest.fixture(params=[False, True], ids=["never analyzed", "analyzed while empty"])
def short(request, database):
    """Leave the tables without statistics, or with those of empty tables, and the connection without plans."""
    database.execute("discard plans")
    for table in ("scheduled_jobs", "job_executions"):
        database.execute(f"alter table public.{table} set (autovacuum_enabled = off)")
        if request.param:
            database.execute(f"vacuum analyze public.{table}")


@pytest.fixture
def ask(database):
    """Give what asks in a transaction of its own: the answer, and how many rows were read for it."""

    def ask(query, *arguments):
        with database.transaction():
            before = database.execute(READ).fetchone()["rows"]
            answer = database.execute(f"select {query} as answer", arguments).fetchone()["answer"]
            return answer, int(database.execute(READ).fetchone()["rows"] - before)

    return ask


@pytest.fixture
def call(ask):
    """Give what calls a function of the service."""
    return lambda function, **request: ask(f"public.{function}(%s::jsonb)", json.dumps({"listener": ME, **request}))


def insert(database, count, workspace=None):
    """Insert jobs that are due; the claims of them."""
    query = """
        insert into public.scheduled_jobs (handler, run_date, workspace_id)
        select 'noop', now(), %s from generate_series(1, %s) returning id, due_at::text as due
    """
    return database.execute(query, [workspace, count]).fetchall()


def claim(call, claims):
    """Claim jobs; their runs, and how many rows that read."""
    answer, read = call("claim_runs_v1", claims=claims, lease_seconds=60, ahead_seconds=0, key_concurrency=1)
    assert len(runs_of(answer)) == len(claims)
    return runs_of(answer), read


def run_results(runs, **how):
    """Make the ends of runs."""
    end = {"status": "completed", "started_at": INSTANT, "completed_at": INSTANT, **how}
    return [{"id": run["execution_id"], "fence": run["fence"], **end} for run in runs]


def one_run(database, call):
    """Let a run begin, log and end; how many rows each call read."""
    (run,), read = claim(call, insert(database, 1))
    reads = {"claim": read}
    mine = [run["execution_id"], run["fence"]]
    answer, reads["extend"] = call("extend_leases_v1", name="me", lease_seconds=60, executions=[mine])
    assert (answer["lost"], answer["unsure"]) == ([], [])
    note = {"id": mine[0], "fence": mine[1], "progress": 0.5}
    _, reads["note"] = call("note_runs_v1", notes=[note], logs=[])
    answer, reads["finish"] = call("finish_runs_v1", results=run_results([run]), logs=[])
    assert answer["taken"] == [mine[0]]
    again, reads["finish again"] = call("finish_runs_v1", results=run_results([run]), logs=[])
    assert again["taken"] == [mine[0]]
    return reads


def one_retry(database, call):
    """Let a run fail, be tried again and end; how many rows each call read."""
    (job,) = insert(database, 1)
    (run,), _ = claim(call, [job])
    failure = run_results([run], status="failed", error="it failed", retry_at=INSTANT)
    _, failed = call("finish_runs_v1", results=failure, logs=[])
    (run,), read = claim(call, [{"id": job["id"], "due": None}])
    assert run["attempt"] == 2
    answer, retried = call("finish_runs_v1", results=run_results([run]), logs=[])
    assert answer["taken"] == [run["execution_id"]]
    return {"fail": failed, "claim again": read, "finish the retry": retried}


def test_one_run_costs_the_same_however_many_there_are(short, database, call):
    """A join with the request alone read the whole ledger for each end of a run, by plans made when it was short."""
    for _ in range(ROUNDS):
        one_run(database, call)
        one_retry(database, call)
    runs, _ = claim(call, insert(database, ROWS))
    call("finish_runs_v1", results=run_results(runs), logs=[])
    reads = one_run(database, call) | one_retry(database, call)
    assert {what: read for what, read in reads.items() if read > FEW} == {}


def test_a_run_of_a_job_with_a_long_history_reads_none_of_it(short, database, call):
    """Plans are made once for a connection, here while the ledger is short."""
    for _ in range(ROUNDS):
        one_run(database, call)
    (job,) = insert(database, 1)
    database.execute(HISTORY, [job["id"], ROWS])
    (run,), claimed = claim(call, [job])
    answer, ended = call("finish_runs_v1", results=run_results([run]), logs=[])
    assert answer["taken"] == [run["execution_id"]]
    assert max(claimed, ended) <= FEW


def test_one_plan_costs_the_same_however_many_jobs_wait_for_theirs(short, database, call):
    """Unplanned jobs have an index, which a plan made when it was short prefers to the keys of the request."""
    query = """
        insert into public.scheduled_jobs (handler, trigger_type, schedule)
        select 'noop', 'daily', '{"time": "08:00"}' from generate_series(1, %s) returning id, revision
    """
    for count in (*[1] * ROUNDS, ROWS):
        job = database.execute(query, [count]).fetchall()[0]
        answer, read = call("plan_jobs_v1", plans=[{**job, "due": "2999-01-01T00:00:00Z"}])
        assert answer["planned"] == 1
    assert read <= FEW


def test_a_quota_costs_the_same_however_many_jobs_have_ended(short, database, ask, call):
    """It counts at each insert, and a workspace keeps what has ended for months."""
    workspace = database.execute("insert into public.job_workspaces (name) values ('Team') returning id").fetchone()[
        "id"
    ]
    for count in (*[1] * ROUNDS, ROWS):
        runs, _ = claim(call, insert(database, count, workspace))
        assert ask("job_scheduler.active_jobs(%s)", workspace)[0] == count
        call("finish_runs_v1", results=run_results(runs), logs=[])
        insert(database, 1, workspace)
        active, read = ask("job_scheduler.active_jobs(%s)", workspace)
        database.execute("update public.scheduled_jobs set status = 'cancelled' where status = 'scheduled'")
        assert active == 1
    assert read <= FEW


def test_a_page_costs_the_same_however_many_rows_of_its_transaction_were_read_before(short, database, call):
    """One statement may insert a million jobs: each page read all of the earlier ones again."""
    snapshot = database.execute("select pg_current_snapshot()::text as seen").fetchone()["seen"]
    insert(database, ROWS)
    last = database.execute("select changed_in, id from public.scheduled_jobs order by id desc limit 1").fetchone()
    until, after = "2999-01-01T00:00:00Z", None
    for nearly in (False, True):
        after = [last["changed_in"], last["id"] - 10] if nearly else None
        page, read = call("poll_jobs_v1", snapshot=snapshot, until=until, after=after, limit=10)
        assert len(jobs_of(page)) == 10
        assert read <= FEW


def test_a_poll_costs_the_same_however_many_jobs_one_statement_has_inserted(short, database, call):
    """By statistics in which all jobs have one transaction, a look for the rest of it read the whole table by id."""
    insert(database, ROWS)
    database.execute("analyze public.scheduled_jobs")
    seen = database.execute("select pg_current_snapshot()::text as seen").fetchone()["seen"]
    _, read = call("poll_jobs_v1", snapshot=seen, until="2999-01-01T00:00:00Z", after=None, limit=10)
    assert read <= FEW


def clean_beside_young(database, ask, call, old):
    """Delete so many old jobs with their runs, beside young ones; how many rows that read."""
    jobs = insert(database, old)
    runs, _ = claim(call, jobs) if old else ([], 0)
    call("finish_runs_v1", results=run_results(runs), logs=[])
    database.execute("alter table public.scheduled_jobs disable trigger user")
    database.execute("update public.scheduled_jobs set created_at = '2001-01-01', updated_at = '2001-01-01'")
    database.execute("alter table public.scheduled_jobs enable trigger user")
    young, _ = claim(call, insert(database, ROWS))
    now = database.execute("select now()::text as now").fetchone()["now"]
    call("finish_runs_v1", results=run_results(young, completed_at=now, started_at=now), logs=[])
    answer, read = ask("public.clean_ledger_v1(%s::jsonb)", json.dumps({"retention_days": 7, "limit": 500}))
    assert answer["deleted"] == 2 * old
    return read


@pytest.mark.parametrize("old", [0, 1], ids=["nothing", "one"])
def test_cleaning_costs_the_same_however_many_young_jobs_have_ended(short, database, ask, call, old):
    """It read all of them for each batch, to find those that are older than any index says."""
    assert clean_beside_young(database, ask, call, old) <= FEW


def test_cleaning_reads_no_young_run_by_statistics_of_a_ledger_of_one_job(short, database, ask, call):
    """Every run seemed to be of one job then, so that a look for locked ones read the index from end to end."""
    job = insert(database, 1)[0]["id"]
    database.execute(HISTORY, [job, ROWS])
    database.execute("analyze public.job_executions")
    database.execute("truncate public.scheduled_jobs cascade")
    assert clean_beside_young(database, ask, call, old=1) <= FEW


def test_new_rows_come_last_in_the_indexes_of_their_keys(database):
    """Random keys touch a page each: with a long ledger a claim wrote 6.7 kB of WAL after a checkpoint, not 1.5."""
    ids = [database.execute("select pg_sleep(0.002)") and insert(database, 1)[0]["id"] for _ in range(5)]
    rows = database.execute("select job_id from public.scheduled_jobs order by id").fetchall()
    query = "insert into public.job_executions (scheduled_job_id) select %s from pg_sleep(0.002) returning id::text"
    runs = [database.execute(query, [job]).fetchone()["id"] for job in ids]
    for keys in ([row["job_id"] for row in rows], runs):
        assert keys == sorted(keys)
        assert {(uuid.UUID(key).version, uuid.UUID(key).variant) for key in keys} == {(7, uuid.RFC_4122)}


def test_a_batch_is_joined_by_hash_whatever_the_statistics_say(database):
    """By statistics of a ledger in which nothing runs, a heartbeat with 2,000 claims took 1.5 s: all times all."""
    batches = {"claim_runs_v1", "finish_runs_v1", "move_jobs", "extend_claims", "note_runs_v1"}
    query = "select proname, proconfig from pg_proc where proname = any(%s)"
    settings = {row["proname"]: row["proconfig"] for row in database.execute(query, [list(batches)]).fetchall()}
    assert {name for name, set_ in settings.items() if "enable_nestloop=off" in set_} == batches
