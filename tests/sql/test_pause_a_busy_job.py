"""A job that is due every second shows as running for a good part of it: it can be paused all the same."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import timedelta

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


def running(life, late_seconds):
    """Give a recurring job, and its run that was due so long ago."""
    row = {"trigger_type": "interval", "schedule": {"seconds": 3600}, "run_date": life.now()}
    job = life.insert("service", row)
    (planned,) = life.rows()
    due = life.now() - timedelta(seconds=late_seconds)
    life.service("plan_jobs_v1", {"plans": [{"id": job, "revision": planned.revision, "due": due}]})
    (run,) = life.claim(ME, [ClaimRequest(job, due, next_due=due + timedelta(hours=1))], 1, 1)
    return job, run


def test_a_run_that_is_about_to_begin_is_waited_for(life, stack) -> None:
    """It ends while the call waits: nothing is locked against that."""
    job, run = running(life, -0.2)
    answers = []

    def pause():
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            answers.append(connection.execute("select status from pause_job(%s)", [job]).fetchone()[0])

    pausing = threading.Thread(target=pause)
    pausing.start()
    time.sleep(0.1)
    ended = RunResult(run.execution_id, "completed", life.now(), run.fence, started_at=life.now())
    assert life.finish(ME, [ended], 1)["taken"] == [run.execution_id]
    pausing.join(10)
    assert answers == ["paused"]


def test_a_run_that_goes_on_is_not_waited_for(life) -> None:
    """The call is refused at once, and says why."""
    job, _ = running(life, 5)
    began = time.monotonic()
    with pytest.raises(psycopg.errors.InvalidParameterValue, match='is "running" and cannot be paused'):
        life.call("service", "pause_job", job)
    assert time.monotonic() - began < 10
