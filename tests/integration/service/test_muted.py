"""While more changes than Realtime should bring for long, listeners poll: nothing is lost, and no message is sent."""

from __future__ import annotations

import httpx
import pytest
from billed import messages

from listener.scheduling.muter import BURST

QUIET = {"probe_seconds": 0, "poll_seconds": 0.5, "lease_seconds": 60}
"""No probe is counted with what the tests count."""
MUTE = (
    "insert into job_scheduler.mute (until) values (now() + '10 min') "
    "on conflict (is_only) do update set until = excluded.until"
)
MEETING = (
    "insert into public.meetings (title, start_time, end_time, status) "
    "values ('over', now() - interval '2 h', now() - interval '1 h', 'upcoming') returning id"
)
MUTED = 150
PER_STATEMENT = 5
"""Messages for two listeners: a broadcast that was sent and received twice, a change that was received twice."""


@pytest.fixture
def spent(embedded_stack):
    """Return how many messages were sent and received since the last call."""
    port = embedded_stack.ports["realtime"]
    seen = sum(messages(port).values())

    def count() -> int:
        nonlocal seen
        before, seen = seen, sum(messages(port).values())
        return seen - before

    return count


@pytest.fixture
def settled(spent, project):
    """Wait until the messages of earlier statements have been counted: a change is delivered after its commit."""

    def wait() -> None:
        spent()
        project.sql.execute("select pg_sleep(1)")
        while spent():
            project.sql.execute("select pg_sleep(1)")

    return wait


@pytest.fixture(autouse=True)
def nothing_is_muted(project):
    """A mute is the database's, and would outlast the test."""
    yield
    project.sql.execute("delete from job_scheduler.mute")


def granted(listener) -> float:
    """Read how many mutes a listener was granted."""
    lines = httpx.get(f"{listener.url}/metrics").text.splitlines()
    named = [line for line in lines if line.startswith('listener_feed_mutes_total{answer="granted"}')]
    return float(named[0].split()[1]) if named else 0.0


def test_muted_changes_are_noticed_and_cost_nothing(project, listeners, eventually, spent, settled) -> None:
    """New jobs, edits, cancelled runs, manual runs and rows of sources; none of these listeners asked for the mute."""
    for _ in range(2):
        listeners.start(**QUIET)
    project.sql.execute(MUTE)
    settled()
    lone = project.insert()
    assert project.wait(lone)["status"] == "completed"
    moved = project.insert(run_date=project.soon(3600))
    project.update(moved, run_date=project.soon(0))
    assert project.wait(moved)["status"] == "completed"
    stopped = project.insert("rest", metadata={"seconds": 600})
    project.wait(stopped, "running")
    project.update(stopped, status="cancelled")
    assert project.wait_for_runs(stopped, 1)[0]["reason"] == "cancelled"
    project.call("run_job_now", job=lone)
    project.wait_for_runs(lone, 2)
    meeting = project.rows(MEETING)[0]["id"]
    eventually(
        lambda: project.rows("select status from public.meetings where id = %s", meeting)[0]["status"] == "done",
        "the meeting is done",
    )
    assert spent() == 0


def test_a_burst_of_single_inserts_is_muted_beyond_the_allowance(project, listeners, eventually, spent) -> None:
    """Each of them runs; what the listeners write themselves costs nothing."""
    running = [listeners.start(**QUIET) for _ in range(2)]
    one = "insert into public.scheduled_jobs (handler, name) values ('noop', 'many')"
    spent()
    count = 0
    while not sum(granted(each) for each in running):
        assert count < 20 * BURST, "it is never muted"
        for _ in range(10):
            project.sql.execute(one)
        count += 10
    for _ in range(MUTED):
        project.sql.execute(one)
    count += MUTED
    ended = "select count(*) as n from public.scheduled_jobs where name = 'many' and status = 'completed'"
    eventually(lambda: project.rows(ended)[0]["n"] == count, "all ran")
    assert count >= BURST
    assert spent() < PER_STATEMENT * count
