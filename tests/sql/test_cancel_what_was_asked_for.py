"""A job that has ended may still have runs that somebody asked for: they can be cancelled, too."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from listener.domain.messages import ClaimRequest, RunResult
from tests.support.life_database import LifeDatabase

ME = str(uuid.uuid4())


@pytest.fixture
def life(stack):
    """Connections by role."""
    with LifeDatabase(stack) as database:
        yield database


@pytest.fixture(params=["completed", "failed", "cancelled"])
def ended(life, request):
    """A job in a final status, which it keeps."""
    due = life.now()
    job = life.insert("service", {"schedule": {}, "run_date": due})
    if request.param == "cancelled":
        life.call("service", "cancel_job", job)
    else:
        (run,) = life.claim(ME, [ClaimRequest(job, due)], 1, 1)
        life.finish(ME, [RunResult(run.execution_id, request.param, life.now(), run.fence, started_at=due)], 1)
    yield job
    assert life.read()[0][job]["status"] == request.param


def asked_for(life, job):
    """Read the run that was asked for."""
    (run,) = (run for (_, cause, _), run in life.read()[1][job].items() if cause == "manual")
    return run


def sent(life):
    """Read the runs that listeners were requested to stop."""
    query = "select message -> 'rows' as rows from job_scheduler.signals where message ->> 'table' = 'cancelled_runs'"
    return [row["rows"] for row in life._fate.execute(query).fetchall()]


def test_a_run_that_goes_on_is_stopped_by_name(life, ended) -> None:
    """The listener is notified; how it ends is entered, and nothing is tried again."""
    life._fate.execute("delete from job_scheduler.signals")
    life.run_now("service", ended)
    (run,) = life.claim(ME, [ClaimRequest(ended, None)], 1, 1)
    life.call("service", "cancel_job", ended)
    assert sent(life) == [[run.execution_id]]
    broken = RunResult(run.execution_id, "failed", life.now(), run.fence, started_at=life.now(), retry_at=life.now())
    assert life.finish(ME, [broken], 1)["taken"] == [run.execution_id]
    assert asked_for(life, ended)["status"] == "failed"


def test_a_run_that_waits_is_cancelled(life, ended) -> None:
    """And the job is not looked at again for it."""
    life.run_now("service", ended)
    life.call("service", "cancel_job", ended)
    run, job = asked_for(life, ended), life.read()[0][ended]
    assert (run["status"], run["reason"], job["queued_runs"], job["next_run_at"]) == ("cancelled", "cancelled", 0, None)


def test_an_edit_of_a_job_that_has_ended_stops_nothing(life, ended) -> None:
    """Also where a client writes the status along, as it is."""
    life.run_now("service", ended)
    status = life.read()[0][ended]["status"]
    life.update("service", ended, {"name": "another"} if status == "cancelled" else {"name": "x", "status": status})
    assert asked_for(life, ended)["status"] == "queued"


def test_with_nothing_to_stop_the_answer_is_as_before(life, ended) -> None:
    """A job that completed or failed cannot be cancelled; one that was cancelled is answered as it is."""
    if life.read()[0][ended]["status"] == "cancelled":
        life.call("service", "cancel_job", ended)
        return
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="cannot be cancelled"):
        life.call("service", "cancel_job", ended)


def test_who_may_not_change_the_job_stops_nothing(life, ended) -> None:
    """A signed-in user does not even learn that it is there."""
    life.run_now("service", ended)
    tenant = next(name for name in life._clients if name != "service")
    with pytest.raises(psycopg.Error, match="no job"):
        life.call(tenant, "cancel_job", ended)
    assert asked_for(life, ended)["status"] == "queued"
