"""A job whose handler no live listener has waits, says so, and ends as no_handler in the end; no other claims it."""

from __future__ import annotations

import json
import uuid

import pytest
from answered_rows import jobs_of, runs_of

ME, OTHER = str(uuid.uuid4()), str(uuid.uuid4())
LEASE = {"lease_seconds": 30}
HOUR = 3600
DUE_LONG_AGO = "now() - interval '2 hours'"


@pytest.fixture
def ask(database):
    """Call one of the service's functions."""
    database.execute("delete from public.job_listeners")
    database.execute("delete from job_scheduler.missing_handlers")
    database.execute("delete from public.job_handlers")

    def call(function, **request):
        query = f"select public.{function}(%s) as answer"
        return database.execute(query, [json.dumps({"listener": ME, **LEASE, **request})]).fetchone()["answer"]

    return call


@pytest.fixture
def rescue(ask):
    """Look for jobs that nobody handles; give those whose instants are to end."""
    return lambda handlers=("mine",), seconds=HOUR, limit=1000: [
        row["id"]
        for row in ask("rescue_runs_v1", handlers=list(handlers), no_handler_seconds=seconds, limit=limit)["unhandled"]
    ]


@pytest.fixture
def insert(database):
    """Insert a job that is due; give its claim."""

    def insert(handler, due="now() - interval '5 seconds'", **columns):
        names = "".join(f", {name}" for name in columns)
        marks = ", %s" * len(columns)
        query = (
            f"insert into public.scheduled_jobs (handler, run_date{names}) values (%s, {due}{marks}) "  # noqa: S608 - written here
            "returning id, due_at::text as due"
        )
        return database.execute(query, [handler, *columns.values()]).fetchone()

    return insert


def error_of(database, job):
    """Return what a job's row says."""
    return database.execute("select error from public.scheduled_jobs where id = %s", [job["id"]]).fetchone()["error"]


def ledger(database, job):
    """Return status and reason of the executions of a job."""
    query = "select status, reason from public.job_executions where scheduled_job_id = %s order by scheduled_for"
    return [(row["status"], row["reason"]) for row in database.execute(query, [job["id"]]).fetchall()]


def end(ask, claims, seconds=HOUR, handlers=("mine",)):
    """End instants that nobody handles; give how many were."""
    return ask("end_unhandled_v1", handlers=list(handlers), no_handler_seconds=seconds, claims=claims)["ended"]


def long_missing(database):
    """Let all missing handlers be missing for two hours."""
    database.execute("update job_scheduler.missing_handlers set since = now() - interval '2 hours'")


def test_a_listener_is_granted_only_jobs_whose_handlers_it_has(database, ask, insert):
    """Also of those that are claimed one by one; the answer shows the handler, so that they are not tried again."""
    jobs = [insert(handler, **keyed) for handler in ("mine", "foreign") for keyed in ({}, {"concurrency_key": "k"})]
    answer = ask("claim_runs_v1", handlers=["mine"], ahead_seconds=1, claims=jobs)
    assert {run["handler"] for run in runs_of(answer)} == {"mine"}
    assert len(runs_of(answer)) == 1 + 1
    assert [row["id"] for row in answer["rows"] if row["handler"] == "foreign"] == [job["id"] for job in jobs[2:]]
    assert len(runs_of(ask("claim_runs_v1", handlers=["foreign"], ahead_seconds=1, claims=jobs[2:3]))) == 1


def test_a_list_has_only_jobs_whose_handlers_the_listener_has(ask, insert):
    """Also where memory is short: what others run takes nobody's share."""
    foreign = [insert("foreign", due=DUE_LONG_AGO) for _ in range(20)]
    mine = [insert("mine") for _ in range(3)]
    for limit in (50, 3, 2):
        answer = ask("due_jobs_v1", handlers=["mine"], until="2999-01-01T00:00:00Z", limit=limit)
        assert answer["ids"] == [job["id"] for job in mine[:limit]]
        assert answer["left_out"] == max(0, 3 - limit)
    assert len(ask("due_jobs_v1", until="2999-01-01T00:00:00Z", limit=50)["ids"]) == len(foreign + mine)


def test_rows_and_signals_name_the_handler(database, ask, insert):
    """So that a listener arms no job that it cannot run."""
    once, hourly = insert("mine"), insert("mine", trigger_type="interval", schedule='{"seconds": 3600}')
    rows = jobs_of(ask("jobs_v1", ids=[once["id"], hourly["id"]], limit=9))
    assert [row["handler"] for row in rows] == ["mine", "mine"]
    query = "select message -> 'rows' -> 0 as row from job_scheduler.signals order by id desc offset 1 limit 1"
    assert database.execute(query).fetchone()["row"][6] == "mine"


def test_heartbeats_show_the_handlers_of_listeners_that_have_others(ask):
    """Listeners that are alike learn nothing."""
    beat = {"name": "a test", "executions": []}
    ask("extend_leases_v1", **{**beat, "listener": OTHER}, handlers=["b", "c"])
    answer = ask("extend_leases_v1", **beat, handlers=["a", "b"])
    assert (set(answer["listeners"]), answer["handlers"]) == ({ME, OTHER}, {OTHER: ["b", "c"]})
    assert ask("extend_leases_v1", **beat, handlers=["b", "c"])["handlers"] == {ME: ["a", "b"]}
    ask("leave_v1", listener=OTHER)
    assert ask("extend_leases_v1", **beat, handlers=["a", "b"])["handlers"] is None


def test_a_rescue_counts_the_due_jobs_that_wait_for_a_handler(ask, insert):
    """Due ones only, and no more than a thousand; the names are of handlers that no live listener has."""
    for handler in ("b", "a", "a", "mine", "theirs"):
        insert(handler)
    insert("later", due="now() + interval '1 hour'")
    ask("extend_leases_v1", name="a test", executions=[], listener=OTHER, handlers=["theirs"])
    request = {"handlers": ["mine"], "no_handler_seconds": HOUR, "limit": 9}
    assert ask("rescue_runs_v1", **request)["waiting"] == {"jobs": 3, "handlers": ["a", "b"]}
    assert ask("rescue_runs_v1", **{**request, "handlers": ["a", "b"]})["waiting"] == {"jobs": 1, "handlers": ["mine"]}
    assert ask("rescue_runs_v1", limit=9)["waiting"] is None, "a listener that names no handlers runs all"


def test_the_doctor_is_shown_handlers_of_all_active_jobs(database, ask, insert):
    """Those that are due later included; a paused job needs none."""
    for handler, due in (("a", "now()"), ("a", "now() + interval '1 hour'"), ("theirs", "now()"), ("paused", "now()")):
        insert(handler, due=due)
    database.execute("update public.scheduled_jobs set status = 'paused' where handler = 'paused'")
    assert ask("missing_handlers_v1")["missing"] == [{"name": "a", "jobs": 2}, {"name": "theirs", "jobs": 1}]
    ask("extend_leases_v1", name="a test", executions=[], listener=OTHER, handlers=["theirs"])
    answer = ask("missing_handlers_v1")
    assert (answer["listeners"], answer["missing"]) == (1, [{"name": "a", "jobs": 2}])


def test_a_waiting_job_says_why_once_and_no_more_when_it_runs(database, ask, insert, rescue):
    """Its row changes once, however often and by how many listeners it is looked at."""
    waiting, mine, later = insert("foreign"), insert("mine"), insert("foreign", due="now() + interval '1 hour'")
    assert rescue() == []
    reported = 'no live listener has the handler "foreign"; the job waits until one has it'
    assert [error_of(database, job) for job in (waiting, mine, later)] == [reported, None, None]
    query = "select xmin::text as version from public.scheduled_jobs where id = %s"
    version = database.execute(query, [waiting["id"]]).fetchone()["version"]
    assert rescue() == []
    assert database.execute(query, [waiting["id"]]).fetchone()["version"] == version
    assert len(runs_of(ask("claim_runs_v1", handlers=["foreign"], ahead_seconds=1, claims=[waiting]))) == 1
    assert error_of(database, waiting) is None


def test_a_queued_run_waits_and_says_so_too(database, ask, insert, rescue):
    """A retry, or a manual run; its claim clears the error as well."""
    job = insert("foreign", due="now() + interval '1 hour'")
    database.execute("select public.run_job_now(%s)", [job["id"]])
    database.execute("update public.job_executions set run_at = now() - interval '5 s'")
    database.execute("select job_scheduler.refresh_wake(%s)", [job["id"]])
    rescue()
    assert error_of(database, job).startswith("no live listener has")
    assert (
        runs_of(ask("claim_runs_v1", handlers=["mine"], ahead_seconds=1, claims=[{"id": job["id"], "due": None}])) == []
    )
    claim = {"handlers": ["foreign"], "ahead_seconds": 1, "claims": [{"id": job["id"], "due": None}]}
    assert len(runs_of(ask("claim_runs_v1", **claim))) == 1
    assert error_of(database, job) is None


def test_a_handler_of_a_live_listener_is_not_missing(database, ask, insert, rescue):
    """Of one that is gone it is."""
    job = insert("foreign")
    ask("extend_leases_v1", listener=OTHER, name="a test", executions=[], handlers=["foreign"])
    rescue()
    assert error_of(database, job) is None
    database.execute("update public.job_listeners set heartbeat_at = now() - interval '16 seconds'")
    rescue()
    assert error_of(database, job) is not None


def test_an_instant_that_waited_too_long_ends_as_no_handler(database, ask, insert, rescue):
    """A one-time job fails; whoever asks again, or asks for another job, ends nothing."""
    old, young, mine = insert("foreign", due=DUE_LONG_AGO), insert("foreign"), insert("mine", due=DUE_LONG_AGO)
    assert rescue() == []
    long_missing(database)
    assert rescue() == [old["id"]]
    assert end(ask, [old, young, mine]) == 1
    assert end(ask, [old, young, mine]) == 0
    assert rescue() == []
    assert [ledger(database, job) for job in (old, young, mine)] == [[("failed", "no_handler")], [], []]
    row = database.execute("select * from public.scheduled_jobs where id = %s", [old["id"]]).fetchone()
    assert (row["status"], row["total_runs"], row["failed_runs"]) == ("failed", 1, 1)
    assert row["error"] == 'no live listener had the handler "foreign" for 01:00:00'


def test_a_recurring_job_goes_on(database, ask, insert, rescue):
    """Its next instant waits as long."""
    job = insert("foreign", due=DUE_LONG_AGO, trigger_type="interval", schedule='{"seconds": 60}')
    database.execute(
        "select set_config('job_scheduler.stage', 'service', false)",
    )
    query = "update public.scheduled_jobs set due_at = run_date, next_run_at = run_date where id = %s returning due_at"
    due = database.execute(query, [job["id"]]).fetchone()["due_at"].isoformat()
    rescue()
    long_missing(database)
    assert rescue() == [job["id"]]
    assert end(ask, [{"id": job["id"], "due": due, "next": "2999-01-01T00:00:00Z"}]) == 1
    row = database.execute("select * from public.scheduled_jobs where id = %s", [job["id"]]).fetchone()
    assert (row["status"], row["due_at"].year, row["next_run_at"].year) == ("scheduled", 2999, 2999)
    assert ledger(database, job) == [("failed", "no_handler")]


def test_nothing_ends_when_the_handler_comes_or_nobody_looked(database, ask, insert, rescue):
    """After a long pause of all listeners, the first to start does not end the jobs of the others."""
    job = insert("foreign", due=DUE_LONG_AGO)
    rescue()
    long_missing(database)
    database.execute("update job_scheduler.missing_handlers set seen_at = now() - interval '61 minutes'")
    assert rescue() == []
    long_missing(database)
    ask("extend_leases_v1", listener=OTHER, name="a test", executions=[], handlers=["foreign"])
    assert end(ask, [job]) == 0
    assert rescue() == []
    ask("leave_v1", listener=OTHER)
    assert rescue() == []
    assert ledger(database, job) == []


def test_a_row_that_cannot_be_written_delays_no_other(database, ask, insert, rescue):
    """The others say that they wait."""
    jobs = [insert("foreign", name=f"job {n}") for n in range(3)]
    database.execute(
        "create function public.refuse() returns trigger language plpgsql as "
        "$$ begin raise exception 'not this one'; end $$"
    )
    database.execute(
        "create trigger refuse before update on public.scheduled_jobs for each row "
        "when (old.name = 'job 1') execute function public.refuse()"
    )
    try:
        rescue()
    finally:
        database.execute("drop function public.refuse cascade")
    assert [error_of(database, job) is None for job in jobs] == [False, True, False]


def test_a_job_whose_instants_cannot_be_computed_keeps_that_reason(database, ask, insert, rescue):
    """It cannot end either, since nobody knows what follows."""
    job = insert("foreign", due=DUE_LONG_AGO)
    reported = "no due instant can be computed: ZoneInfoNotFoundError"
    ask("park_runs_v1", runs=[], jobs=[{"id": job["id"], "error": reported}])
    rescue()
    long_missing(database)
    assert rescue() == []
    assert error_of(database, job) == reported
