"""A listener with a newer zone database than the last one's moves planned instants to where its rules put them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from importlib.resources import files

import pytest
from patience import until

from listener.domain.job import Trigger, TriggerType
from listener.domain.schedule import first_run

PLACE, OTHER = "Europe/Berlin", "Etc/GMT-9"
NEWER = "2999a"
INSERT = """
    insert into public.scheduled_jobs (handler, trigger_type, schedule, timezone, run_date)
    values ('noop', 'daily', '{"time": "12:00"}', %s, date_trunc('day', now(), 'UTC') + interval '5 days 12 hours')
    returning id, revision, run_date
"""
"""Days before it is due, and so that both rules have it due on the day after."""
DUE = "select due_at from public.scheduled_jobs where id = %s"


@pytest.fixture
def newer_zones(tmp_path):
    """A zone database of later years, in which Berlin's clocks are nine hours ahead of UTC."""
    zone = tmp_path / "zoneinfo" / PLACE
    zone.parent.mkdir(parents=True)
    zone.write_bytes(files("tzdata").joinpath("zoneinfo", *OTHER.split("/")).read_bytes())
    (tmp_path / "zoneinfo" / "tzdata.zi").write_text(f"# version {NEWER}\n")
    return str(tmp_path / "zoneinfo")


@pytest.fixture
def plans(project):
    """Forget afterwards which database made the plans: no other test has this one."""
    project.sql.execute("truncate job_scheduler.planned_by, job_scheduler.zone_databases")
    yield
    project.sql.execute("truncate job_scheduler.planned_by, job_scheduler.zone_databases")


def call(project, function, request):
    """Call a function as a listener does."""
    project.sql.execute(f"select public.{function}(%s::jsonb)", [json.dumps(request, default=datetime.isoformat)])


def test_new_rules_of_a_zone_move_what_was_planned(project, listeners, newer_zones, plans) -> None:
    """By as much as the clocks differ; a job in UTC stays."""
    due = {}
    for place in (PLACE, "UTC"):
        (job,) = project.rows(INSERT, place)
        first = first_run(Trigger(TriggerType.DAILY, job["run_date"], {"time": "12:00"}, place), job["run_date"])
        call(project, "plan_jobs_v1", {"plans": [{"id": job["id"], "revision": job["revision"], "due": first}]})
        due[place] = job["id"], first
    call(project, "zone_database_v1", {"listener": "00000000-0000-0000-0000-000000000001", "version": "2000a"})
    project.sql.execute("delete from job_scheduler.zone_databases")
    listener = listeners.start(PYTHONTZPATH=newer_zones)
    until(lambda: "zones.replanned" in listener.log.read_text(), listener.log.read_text)
    job, was = due[PLACE]
    assert was - project.rows(DUE, job)[0]["due_at"] in {timedelta(hours=7), timedelta(hours=8)}
    job, was = due["UTC"]
    assert project.rows(DUE, job)[0]["due_at"] == was
    until(lambda: project.rows("select version from job_scheduler.planned_by") == [{"version": NEWER}], "it is noted")
