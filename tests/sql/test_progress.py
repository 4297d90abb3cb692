"""The progress of a run is in the ledger and in its job's row: what the handler reported, and 1 once it completed."""

from __future__ import annotations

import uuid

import pytest
from life_database import LifeDatabase

from listener.domain.messages import ClaimRequest, RunResult

ME = str(uuid.uuid4())


@pytest.fixture
def life(stack):
    """Connections by role."""
    with LifeDatabase(stack) as database:
        yield database


def claim(life, job, due):
    """Claim; the run."""
    (run,) = life.claim(ME, [ClaimRequest(job, due)], 1, 1)
    return run


def shown(life, job):
    """Give the progress in the job's row, and in its ledger by attempt."""
    query = """
        select j.progress, array_agg(e.progress order by e.attempt) as runs
        from scheduled_jobs as j inner join job_executions as e on j.id = e.scheduled_job_id
        where j.id = %s group by j.id
    """
    row = life._fate.execute(query, [job]).fetchone()
    return row["progress"], row["runs"]


@pytest.mark.parametrize("reported", [None, 0.5, 1])
def test_a_completed_run_shows_1_whatever_its_handler_reported(life, reported) -> None:
    """Also if it reported nothing, or stopped reporting half-way; each attempt begins without progress."""
    due = life.now()
    job = life.insert("service", {"trigger_type": "once", "schedule": {}, "run_date": due})
    run = claim(life, job, due)
    note = {"id": run.execution_id, "fence": run.fence, "progress": 0.25}
    life.service("note_runs_v1", {"listener": ME, "notes": [note], "logs": []})
    assert shown(life, job) == (0.25, [0.25])
    now = life.now()
    failed = RunResult(run.execution_id, "failed", now, run.fence, started_at=now, progress=0.5, retry_at=now)
    life.finish(ME, [failed], 1)
    assert shown(life, job) == (0.5, [0.5, None])
    run = claim(life, job, None)
    assert shown(life, job) == (None, [0.5, None])
    life.finish(ME, [RunResult(run.execution_id, "completed", now, run.fence, started_at=now, progress=reported)], 1)
    assert shown(life, job) == (1, [0.5, 1])


def test_a_job_shows_the_step_of_its_run_until_the_next_run(life) -> None:
    """The message of the last report: a report without one keeps it, and so does the end of the run."""

    def step() -> str | None:
        return life._fate.execute("select step from scheduled_jobs where id = %s", [job]).fetchone()["step"]

    due = life.now()
    job = life.insert("service", {"trigger_type": "once", "schedule": {}, "run_date": due})
    run = claim(life, job, due)
    for progress, said in ((0.25, {"step": "page 1"}), (0.25, {"step": "page 2"}), (0.5, {})):
        note = {"id": run.execution_id, "fence": run.fence, "progress": progress, **said}
        life.service("note_runs_v1", {"listener": ME, "notes": [note], "logs": []})
        assert (shown(life, job), step()) == ((progress, [progress]), said.get("step", "page 2"))
    now = life.now()
    life.finish(ME, [RunResult(run.execution_id, "failed", now, run.fence, started_at=now, retry_at=now)], 1)
    assert step() == "page 2"
    claim(life, job, None)
    assert step() is None
