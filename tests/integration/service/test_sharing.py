"""Three listeners share what is due, and whichever of them goes, in whatever way, nothing is late for long."""

from __future__ import annotations

import contextlib
import itertools
import re
import signal
import threading
import time
from collections import Counter
from datetime import datetime, timedelta

import httpx
import pytest
from patience import allowed

from listener.domain.rendezvous import seed, turn

LATE_SECONDS = allowed(1.0, patient=5.0)
"""How late a job may start while listeners come and go."""


@pytest.fixture
def three(listeners, eventually):
    """Give a starter of three listeners that know of one another."""

    def start(**settings):
        started = [listeners.launch(concurrency=200, **settings) for _ in range(3)]
        for each in started:
            each.wait_until_ready()
        know_one_another(started, eventually)
        return started

    return start


def know_one_another(listeners, eventually):
    """Wait until each of them counts on exactly these."""
    ids = sorted(each.describe()["listener_id"] for each in listeners)
    for each in listeners:
        eventually(lambda each=each: sorted(each.describe()["listeners"]) == ids, "all are known", 30)


def claims_of(listeners):
    """Give how many claims were granted and refused so far."""
    counted = Counter()
    for each in listeners:
        for result, count in re.findall(r'claims_total\{answer="(\w+)"\} (\d+)', httpx.get(f"{each.url}/metrics").text):
            counted[result] += int(count)
    return counted


def insert_spread(project, count, seconds, start):
    """Insert one-time jobs whose due instants are spread evenly over that many seconds, the first after `start`."""
    begin = datetime.fromisoformat(project.soon(start))
    due = [begin + timedelta(seconds=seconds) * n / count for n in range(count)]
    return project.insert_many([{"handler": "rest", "run_date": at.isoformat()} for at in due])


def ended(project, jobs):
    """Return how many of the jobs have ended."""
    query = "select count(*) as n from public.scheduled_jobs where id = any(%s) and status = 'completed'"
    return project.rows(query, jobs)[0]["n"]


def runs_of(project, jobs):
    """Give the ledger of jobs."""
    query = "select * from public.job_executions where scheduled_job_id = any(%s) order by scheduled_for, attempt"
    return project.rows(query, jobs)


def worst(runs):
    """Give the greatest lateness, in seconds."""
    return max(run["lateness_ms"] for run in runs if run["lateness_ms"] is not None) / 1000


def test_three_listeners_share_due_jobs_and_run_each_instant_once(project, three, eventually):
    """Each runs about a third, also of jobs that are due at once, and most claims are granted before others try."""
    started = three()
    jobs = insert_spread(project, 600, 3, 1.5)
    eventually(lambda: ended(project, jobs) == len(jobs), "all end", 30)
    jobs += [project.insert() for _ in range(60)]
    eventually(lambda: ended(project, jobs) == len(jobs), "all end", 30)
    runs = runs_of(project, jobs)
    assert Counter(run["scheduled_job_id"] for run in runs) == Counter(jobs)
    shares = Counter(str(run["listener_id"]) for run in runs)
    print(f"runs by listener: {shares}; claims: {claims_of(started)}; worst lateness {worst(runs):.3f} s")  # noqa: T201 - what was measured
    assert len(shares) == 3
    assert min(shares.values()) > len(runs) / 6
    seeds = {each: seed(each) for each in shares}
    by_the_first = sum(
        turn(run["scheduled_job_id"], seeds[runner], tuple(set(seeds.values()) - {seeds[runner]})) == 0
        for run in runs
        for runner in [str(run["listener_id"])]
    )
    assert by_the_first > 0.7 * len(runs), "most are claimed before others try"


def test_a_killed_listeners_waiting_jobs_start_late_by_a_moment_and_its_running_ones_are_rescued(
    project, three, eventually
):
    """A queued run needs no lease to expire: the next listener in the order tries. A started one does."""
    lease = 6.0
    started = three(lease_seconds=lease)
    running = project.insert_many([{"handler": "rest", "metadata": {"seconds": 60}, "timeout_seconds": 90}] * 20)
    eventually(lambda: len(runs_of(project, running)) == len(running), "all run")
    ((killed, _),) = Counter(str(run["listener_id"]) for run in runs_of(project, running)).most_common(1)
    waiting = insert_spread(project, 300, 2, 3)
    next(each for each in started if each.describe()["listener_id"] == killed).stop(
        signal.SIGKILL
    )  # before they are near
    killed_at = time.monotonic()
    lost = [run["scheduled_job_id"] for run in runs_of(project, running) if str(run["listener_id"]) == killed]
    eventually(lambda: ended(project, waiting) == len(waiting), "those that waited end", 30)
    runs = runs_of(project, waiting)
    assert Counter(run["scheduled_job_id"] for run in runs) == Counter(waiting)
    print(f"waiting jobs: worst lateness {worst(runs):.3f} s")  # noqa: T201 - what was measured
    assert worst(runs) < min(LATE_SECONDS, lease)
    again = (
        "select * from public.job_executions where scheduled_job_id = any(%s) and attempt > 1 and status = 'running'"
    )
    eventually(
        lambda: len(project.rows(again, lost)) == len(lost),
        lambda: f"what ran is rescued: {runs_of(project, lost)}",
        lease + 5 + LATE_SECONDS,
    )
    print(f"rescued {time.monotonic() - killed_at:.1f} s after the death; lease {lease:g} s")  # noqa: T201 - what was measured
    assert [run["reason"] for run in runs_of(project, lost) if run["attempt"] == 1] == ["lease_lost"] * len(lost)


def test_jobs_that_were_left_to_a_listener_that_sleeps_are_run_by_the_others(project, three, eventually):
    """Each reads its share of thousands. One stops, with leases and heartbeats good for minutes; each job runs once."""
    started = three(lease_seconds=600, relist_seconds=600)
    query = """
        insert into public.scheduled_jobs (handler, metadata)
        select 'rest', '{"seconds": 0.4}' from generate_series(1, 4500) returning id
    """
    jobs = [row["id"] for row in project.rows(query)]
    sleeper = started[0].describe()["listener_id"]
    some = "select from public.job_executions where scheduled_job_id = any(%s) and listener_id = %s limit 1"
    eventually(lambda: project.rows(some, jobs, sleeper), "it runs some")
    started[0].process.send_signal(signal.SIGSTOP)
    try:
        left = "select count(*) as n from public.scheduled_jobs where id = any(%s) and status = 'scheduled'"
        eventually(lambda: project.rows(left, jobs)[0]["n"] == 0, "none waits", 60)
    finally:
        started[0].process.send_signal(signal.SIGCONT)
    eventually(lambda: ended(project, jobs) == len(jobs), "all end", 60)
    runs = runs_of(project, jobs)
    assert Counter(run["scheduled_job_id"] for run in runs) == Counter(jobs)
    assert {(run["status"], run["attempt"]) for run in runs} == {("completed", 1)}
    shares = Counter(str(run["listener_id"]) for run in runs)
    print(f"runs by listener: {shares}; claims: {claims_of(started)}; worst lateness {worst(runs):.3f} s")  # noqa: T201 - what was measured
    assert 0 < shares[sleeper] < len(jobs) / 3


@contextlib.contextmanager
def falling_due(project, every_seconds):
    """Let a job fall due every so often until the end of the block; gives the list of them, complete by then."""
    jobs, stop = [], threading.Event()

    def insert():
        begin = project.rows("select clock_timestamp() + interval '2 seconds' as at")[0]["at"]
        began = time.monotonic()
        for n in itertools.count():
            due = [begin + timedelta(seconds=1) * (n + k * every_seconds) for k in range(round(1 / every_seconds))]
            jobs.extend(project.insert_many([{"handler": "rest", "run_date": at.isoformat()} for at in due]))
            if stop.wait(began + n + 1 - time.monotonic()):
                return

    thread = threading.Thread(target=insert)
    thread.start()
    try:
        yield jobs
    finally:
        stop.set()
        thread.join()


def test_a_rolling_deploy_delays_nothing_loses_nothing_and_runs_nothing_twice(project, three, listeners, eventually):
    """Three listeners are replaced one after another while a job falls due every 25 ms."""
    serving = three(drain_seconds=5)
    with falling_due(project, 0.025) as jobs:
        for leaving in list(serving):
            assert leaving.stop() == 0
            serving.remove(leaving)
            serving.append(listeners.start(concurrency=200, drain_seconds=5))
        know_one_another(serving, eventually)
    eventually(lambda: ended(project, jobs) == len(jobs), "all end", 40)
    runs = runs_of(project, jobs)
    assert Counter(run["scheduled_job_id"] for run in runs) == Counter(jobs)
    assert {(run["status"], run["attempt"]) for run in runs} == {("completed", 1)}
    print(f"{len(jobs)} jobs during the deploy, worst lateness {worst(runs):.3f} s")  # noqa: T201 - what was measured
    assert worst(runs) < LATE_SECONDS
