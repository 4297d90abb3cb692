"""Listeners that all receive NOTIFY: nothing is sent through Realtime, whose channels wait for one that does not."""

from __future__ import annotations

import pytest

ALONE = pytest.mark.parametrize("way", ["direct"], indirect=True, scope="module")
NOTIFIED = {"poll_seconds": 600, "relist_seconds": 600}
"""Jobs run because a listener is notified of them, or because it knows that it is not."""
SPARED = (
    "select coalesce(bool_or(spared_until > clock_timestamp() and until > clock_timestamp()), false) as yes "
    "from job_scheduler.listening"
)
SENT = (
    "select (select count(*) from realtime.messages where payload ->> 'table' <> all(%s)) as broadcasts,"
    " (select count(*) from job_scheduler.signals where message ->> 'table' <> all(%s)) as changes"
)
ABOUT_LISTENERS = ["probe", "job_listeners"]
CUT = (
    "select count(pg_terminate_backend(pid, 5000)) as n from pg_stat_activity "
    "where application_name = 'supabase-job-listener' and query = 'listen job_scheduler'"
)


@pytest.fixture
def until_spared(project, eventually):
    """Wait until Realtime is spared."""
    return lambda: eventually(lambda: project.rows(SPARED)[0]["yes"], "Realtime is spared", 60)


@ALONE
def test_inserts_send_nothing_through_realtime_and_a_broken_connection_loses_no_job(
    project, listeners, until_spared, eventually
) -> None:
    """It polls at short intervals until it is notified again: through Realtime at first, then by NOTIFY alone."""
    listeners.start(**NOTIFIED)
    until_spared()
    before = project.rows(SENT, ABOUT_LISTENERS, ABOUT_LISTENERS)
    for _ in range(3):
        assert project.wait(project.insert())["status"] == "completed"
    moved = project.insert(run_date=project.soon(3600))
    project.update(moved, run_date=project.soon(0))
    assert project.wait(moved)["status"] == "completed"
    assert project.rows(SENT, ABOUT_LISTENERS, ABOUT_LISTENERS) == before
    assert project.rows(CUT)[0]["n"] == 1
    assert project.wait(project.insert())["status"] == "completed"
    eventually(lambda: project.rows(CUT)[0]["n"] == 1, "it has connected again", 60)
    until_spared()
    assert project.wait(project.insert())["status"] == "completed"


@ALONE
def test_a_listener_that_joins_without_notify_is_notified_and_one_that_leaves_costs_nothing_more(
    project, listeners, until_spared, eventually
) -> None:
    """It alone has the handler of the job, so that nobody else can run it: before its first heartbeat and after it."""
    listeners.start(LISTENER_HANDLERS="handlers", **NOTIFIED)
    until_spared()
    joined = listeners.start(LISTENER_DATABASE_URL="", **NOTIFIED)
    assert project.wait(project.insert("rest", metadata={"seconds": 0}))["status"] == "completed"
    eventually(lambda: not project.rows(SPARED)[0]["yes"], "Realtime is not spared any more", 60)
    assert project.wait(project.insert("rest", metadata={"seconds": 0}))["status"] == "completed"
    joined.stop()
    until_spared()
    assert project.wait(project.insert())["status"] == "completed"
