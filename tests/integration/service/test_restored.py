"""A listener on a restored database says so, and runs nothing until somebody confirms it."""

from __future__ import annotations

import anyio
import httpx
import pytest
from patience import until

from listener.doctor.restore_check import examine_restore
from listener.settings import Settings

AS_RESTORED = """
    create temporary table dumped as table job_scheduler.this_database;
    delete from job_scheduler.this_database;
    insert into job_scheduler.this_database table dumped;
    drop table dumped;
"""
CONFIRM = "select job_scheduler.confirm_restore()"
INSERT = "insert into public.scheduled_jobs (handler) values ('noop') returning id"
RUNS = "select status, total_runs from public.scheduled_jobs where id = %s"


@pytest.fixture
def examined(embedded_stack):
    """Give what `listener doctor` finds."""

    def examine(**settings):
        settings = Settings(supabase_url=embedded_stack.url, secret_key=embedded_stack.service_key, **settings)
        return anyio.run(examine_restore, settings)

    return examine


@pytest.fixture
def restored(project):
    """Let the database be a restored one, until the test is over or confirms it."""
    project.sql.execute(AS_RESTORED)
    yield
    project.sql.execute(CONFIRM)


def fault_of(listener):
    """Give the answer of `/readyz`, or nothing before the service serves it."""
    try:
        return httpx.get(f"{listener.url}/readyz").text
    except httpx.TransportError:
        return ""


def test_a_restored_database_is_reported_in_every_place_and_confirmed_by_one_statement(
    project, listeners, examined, restored
) -> None:
    """`/readyz`, the log and `doctor` say so, and the log and `doctor` have the statement."""
    (waits,) = project.rows(INSERT)
    listener = listeners.launch(rescue_seconds=0.3)
    until(lambda: CONFIRM in listener.log.read_text(), listener.log.read_text, 30)
    until(lambda: "restored from a dump" in fault_of(listener), lambda: fault_of(listener))
    assert not listener.ready()
    assert CONFIRM in examined().fix
    assert examined(run_restored=True).is_well
    assert project.rows(RUNS, waits["id"]) == [{"status": "scheduled", "total_runs": 0}]
    project.sql.execute(CONFIRM)
    assert examined().is_well
    until(listener.ready, lambda: fault_of(listener))
    (runs,) = project.rows(INSERT)
    until(lambda: project.rows(RUNS, runs["id"])[0]["status"] == "completed", "it runs")
