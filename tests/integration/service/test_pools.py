"""Listeners with different handlers: pools, rolling deploys, a laptop beside production. No run is on a wrong one."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import count, pairwise

import pytest
from patience import allowed

LATE_SECONDS = allowed(1.0, patient=5.0)


@pytest.fixture
def pool(listeners):
    """Start a listener that has just these handlers."""

    def start(*names, **settings):
        return listeners.start(handlers="pool_handlers", POOL_HANDLERS=",".join(names), **settings)

    return start


@pytest.fixture
def catalogue(project):
    """Let jobs be inserted for handlers that no listener has published yet."""

    def publish(*names):
        query = "insert into public.job_handlers (name) select unnest(%s::text[]) on conflict do nothing"
        project.sql.execute(query, [list(names)])

    return publish


def runs_of(project, jobs):
    """Give the ledger of jobs, with their handlers."""
    query = """
        select e.*, j.handler
        from public.job_executions as e join public.scheduled_jobs as j on j.id = e.scheduled_job_id
        where j.id = any(%s) order by e.scheduled_for, e.attempt
    """
    return project.rows(query, jobs)


def all_ended(project, jobs):
    """Whether all these jobs have ended."""
    query = "select count(*) as n from public.scheduled_jobs where id = any(%s) and status in ('completed', 'failed')"
    return project.rows(query, jobs)[0]["n"] == len(jobs)


def assert_each_ran_once_where_its_handler_is(project, jobs):
    """Return the pools of each handler, as sets of names."""
    runs = runs_of(project, jobs)
    assert Counter(run["scheduled_job_id"] for run in runs) == Counter(jobs)
    assert {(run["status"], run["reason"], run["attempt"]) for run in runs} == {("completed", None, 1)}
    assert all(run["handler"] in run["result"] for run in runs)
    pools = defaultdict(Counter)
    for run in runs:
        pools[run["handler"]][" ".join(run["result"])] += 1
    lateness = max(run["lateness_ms"] for run in runs) / 1000
    print(f"{len(runs)} runs, worst lateness {lateness:.3f} s, by handler and pool: {json.dumps(pools)}")  # noqa: T201 - what was measured
    return pools, lateness


def insert_spread(project, handlers, number, seconds, start):
    """Insert so many jobs of each handler, due over that many seconds, the first after `start`."""
    begin = datetime.fromisoformat(project.soon(start))
    return project.insert_many(
        [
            {"handler": name, "run_date": (begin + timedelta(seconds=seconds) * n / number).isoformat()}
            for n in range(number)
            for name in handlers
        ]
    )


def knows(listener, number):
    """Whether a listener knows of so many, itself among them."""
    return len(listener.describe()["listeners"]) == number


def test_three_pools_share_only_what_they_have_in_common(project, pool, eventually):
    """300 jobs for each handler: each runs in time, on one of the two pools that have it, and both get some."""
    pools = [pool("red", "green"), pool("green", "blue"), pool("blue", "red"), pool("lone")]
    for each in pools:
        eventually(lambda each=each: knows(each, 4), "all are known", 30)
    jobs = insert_spread(project, ["red", "green", "blue", "lone"], 250, 3, 1.5)
    jobs += project.insert_many([{"handler": name} for name in ("red", "green", "blue", "lone") for _ in range(50)])
    eventually(lambda: all_ended(project, jobs), "all end", 40)
    seen, lateness = assert_each_ran_once_where_its_handler_is(project, jobs)
    assert {name: len(of) for name, of in seen.items()} == {"red": 2, "green": 2, "blue": 2, "lone": 1}
    assert min(min(of.values()) for of in seen.values()) > 30
    assert lateness < LATE_SECONDS


@contextlib.contextmanager
def load(project, handlers):
    """Insert a job for each of `handlers`, which may change meanwhile, every 25 ms; gives the list of jobs."""
    jobs, stop, pause = [], threading.Event(), 0.2

    def insert():
        begin = datetime.fromisoformat(project.soon(1))
        for n in count():
            due = [(begin + timedelta(seconds=n * pause + k * 0.025)).isoformat() for k in range(8)]
            rows = [{"handler": name, "run_date": at} for at in due for name in tuple(handlers)]
            jobs.extend(project.insert_many(rows))
            if stop.wait(pause):
                return

    thread = threading.Thread(target=insert)
    thread.start()
    try:
        yield jobs
    finally:
        stop.set()
        thread.join()


def test_a_rolling_deploy_that_adds_and_removes_a_handler_loses_nothing(project, pool, eventually):
    """A new handler may be scheduled once a new listener is ready; jobs of the removed one wait for a rollback."""
    old, new = ("kept", "removed"), ("kept", "added")
    serving, scheduled = [pool(*old, drain_seconds=5), pool(*old, drain_seconds=5)], ["kept", "removed"]
    with load(project, scheduled) as jobs:
        for leaving in list(serving):
            serving.append(pool(*new, drain_seconds=5))
            if "added" not in scheduled:
                scheduled.append("added")
            assert leaving.stop() == 0
            serving.remove(leaving)
        scheduled.remove("removed")
    removed = project.insert_many([{"handler": "removed"}] * 20)
    jobs += removed
    waiting = (
        "select count(*) as n from public.scheduled_jobs where id = any(%s) and status = 'scheduled' and error ~ %s"
    )
    reported = '^no live listener has the handler "removed"'
    eventually(lambda: project.rows(waiting, removed, reported)[0]["n"] == len(removed), "they say that they wait", 30)
    pool(*old)
    eventually(lambda: all_ended(project, jobs), "they run once it is back", 40)
    seen, _ = assert_each_ran_once_where_its_handler_is(project, jobs)
    assert seen.keys() == {"kept", "removed", "added"}
    assert project.rows("select count(*) as n from public.scheduled_jobs where error is not null")[0]["n"] == 0


def test_a_laptop_beside_production_runs_its_own_jobs_and_some_of_the_others(project, pool, eventually):
    """Production neither fails those of the laptop's handler nor waits for it; when the laptop goes, they wait."""
    production, laptop = pool("kept"), pool("kept", "experiment")
    for each in (production, laptop):
        eventually(lambda each=each: knows(each, 2), "both are known", 30)
    jobs = insert_spread(project, ["kept", "experiment"], 100, 2, 1)
    eventually(lambda: all_ended(project, jobs), "all end", 40)
    seen, lateness = assert_each_ran_once_where_its_handler_is(project, jobs)
    assert (len(seen["kept"]), seen["experiment"]) == (2, Counter({"kept experiment": 100}))
    assert lateness < LATE_SECONDS
    assert laptop.stop() == 0
    waiting, other = project.insert("experiment"), project.insert("kept")
    assert project.wait(other)["status"] == "completed"
    eventually(lambda: project.job(waiting)["error"], "it says that it waits", 30)
    assert (project.job(waiting)["status"], project.ledger(waiting)) == ("scheduled", [])
    pool("experiment")
    job = project.wait(waiting)
    assert (job["status"], job["error"]) == ("completed", None)


def test_a_job_that_nobody_can_run_ends_after_the_setting(project, pool, catalogue, eventually):
    """One-time jobs and queued runs fail as no_handler; a recurring job goes on to its next instants."""
    catalogue("gone")
    pool("kept", no_handler_seconds=1, rescue_seconds=0.3)
    pool("kept", no_handler_seconds=1, rescue_seconds=0.3)
    once = project.insert("gone", misfire="skip", misfire_grace_seconds=0)
    manual = project.insert("gone", run_date=project.soon(3600))
    project.call("run_job_now", job=manual)
    often = project.insert("gone", trigger_type="interval", schedule={"seconds": 1}, misfire="skip")
    hourly = project.insert("gone", trigger_type="interval", schedule={"seconds": 3600})
    job = project.wait(once, within=30)
    assert (job["status"], job["error"]) == ("failed", 'no live listener had the handler "gone" for 00:00:01')
    assert project.states(once) == [("failed", "no_handler")]
    for each, number in ((manual, 1), (hourly, 1), (often, 3)):
        project.wait_for_runs(each, number, 30)
        job = project.job(each)
        assert job["status"] == "scheduled"
        assert set(project.states(each)) == {("failed", "no_handler")}
    due = [run["scheduled_for"] for run in project.ledger(often)]
    assert {later - sooner for sooner, later in pairwise(due)} == {timedelta(seconds=1)}, "no instant is left out"
    pool("gone")
    eventually(lambda: ("completed", None) in project.states(often), "it runs once a listener has the handler", 30)
    project.delete(often)
