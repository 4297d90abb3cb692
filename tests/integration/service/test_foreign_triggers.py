"""A project's own trigger that raises for one job stops that job, says why, and no other job notices."""

from __future__ import annotations

from contextlib import contextmanager

import psycopg
import pytest
from patience import allowed, until

LISTENER = {"lease_seconds": 5, "rescue_seconds": 1}
EACH_SECOND = """
insert into public.scheduled_jobs (handler, trigger_type, schedule, run_date)
values ('noop', 'interval', '{"seconds": 1}', now() + interval '2 seconds') returning id
"""
TRIGGER = """
create function public.wrong() returns trigger language plpgsql as $$
begin
    if new.{column} = {job} {condition} then
        perform new.no_such_column;
    end if;
    return new;
end
$$;
create trigger zzz_wrong before {event} on public.{table} for each row execute function public.wrong();
"""
CASES = {
    "its run cannot end": ("update", "job_executions", "scheduled_job_id", ""),
    "its run cannot begin": ("insert", "job_executions", "scheduled_job_id", ""),
    "its row cannot be written": ("update", "scheduled_jobs", "id", ""),
    "its row cannot be moved on": (
        "update",
        "scheduled_jobs",
        "id",
        "and old.status = 'running' and new.status <> 'failed'",
    ),
    "its row cannot end": ("update", "scheduled_jobs", "id", "and old.status = 'running'"),
}


@contextmanager
def wrong_for_one(stack, case):
    """Insert a job, and in the same transaction somebody's trigger that is wrong for it alone; give the job's id."""
    with psycopg.connect(stack.admin_dsn, autocommit=True) as owner:
        event, table, column, condition = case
        with owner.transaction():
            (job,) = owner.execute(EACH_SECOND).fetchone()
            owner.execute(TRIGGER.format(job=job, event=event, table=table, column=column, condition=condition))
        try:
            yield job
        finally:
            owner.execute("drop function public.wrong cascade")


@pytest.mark.parametrize("case", CASES)
def test_one_job_ends_or_rests_with_an_explanation_and_the_others_go_on(listener, project, embedded_stack, case):
    """It does not run over and over; neighbours that are due at the same time end as always."""
    every = {"trigger_type": "interval", "schedule": {"seconds": 1}}
    with wrong_for_one(embedded_stack, CASES[case]) as guilty:
        neighbours = [project.insert(**every, run_date=project.soon(1)) for _ in range(3)]
        one_time = [project.insert() for _ in range(20)]
        for job in one_time:
            assert project.wait(job, within=allowed(5, 20))["status"] == "completed"
        for job in neighbours:
            runs = project.wait_for_runs(job, 3, within=allowed(15, 60))
            assert {run["status"] for run in runs} <= {"completed", "running"}
        until(lambda: explained(project, guilty), lambda: str((project.job(guilty), project.ledger(guilty))), within=40)
        before = len(runs_of(project, guilty))
        for job in neighbours:
            project.wait_for_runs(job, len(project.ledger(job)) + 2, within=allowed(15, 60))
        ledger = runs_of(project, guilty)
    assert len(ledger) == before <= 1
    assert all(run["status"] == "failed" or run["completed_at"] is None for run in ledger)
    for job in (guilty, *neighbours):
        project.delete(job)


def runs_of(project, job):
    """Give the runs of a job without its skipped instants: a run whose row was locked is ended with its lease."""
    return [run for run in project.ledger(job) if run["status"] != "skipped"]


def explained(project, guilty):
    """Whether the job or its run says what is wrong; a job that nothing can be written of, at least has not run."""
    row, ledger = project.job(guilty), project.ledger(guilty)
    reported = [row["error"] or "", *(run["error"] or "" for run in ledger)]
    return any("no_such_column" in each for each in reported) or (row["status"] == "scheduled" and not ledger)
