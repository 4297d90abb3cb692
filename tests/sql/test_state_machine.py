"""One state machine, stated three times: in Python, in the database, and for people."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from listener.domain.status import TRANSITIONS, JobStatus

PAGE = Path(__file__).parents[2] / "docs" / "state_machine.md"
TRIGGER = "select pg_get_triggerdef(oid) as definition from pg_trigger where tgname = 't40_check_status'"
STATED = {(str(before), str(after)) for before, follows in TRANSITIONS.items() for after in follows}


def test_the_database_lets_pass_what_the_code_states(database: psycopg.Connection[Any]):
    """The list inside of the trigger, as the database has it."""
    definition = database.execute(TRIGGER).fetchone()["definition"]
    assert set(re.findall(r"'(\w+) > (\w+)'", definition)) == STATED


def test_the_diagram_shows_what_the_code_states():
    """Each arrow, and none too many."""
    diagram = PAGE.read_text(encoding="utf-8").split("```mermaid")[1].split("```")[0]
    arrows = re.findall(r"^ +(\w+) --> (\w+)$", diagram, re.MULTILINE)
    assert set(arrows) == STATED
    assert len(arrows) == len(STATED)


def test_a_job_begins_as_the_diagram_shows(database: psycopg.Connection[Any]):
    """`scheduled` and `paused` are taken from an insert, all others refused."""
    diagram = PAGE.read_text(encoding="utf-8").split("```mermaid")[1].split("```")[0]
    for status in JobStatus:
        insert = ("insert into public.scheduled_jobs (handler, status) values ('noop', %s)", (status,))
        if f"[*] --> {status}\n" in diagram:
            database.execute(*insert)
        else:
            with pytest.raises(psycopg.errors.InvalidParameterValue, match="status"):
                database.execute(*insert)


@pytest.mark.parametrize("before", JobStatus)
@pytest.mark.parametrize("after", JobStatus)
def test_no_other_transition_passes_whoever_asks(
    database: psycopg.Connection[Any], before: JobStatus, after: JobStatus
):
    """Not even the service's own functions may, which announce themselves by the stage."""
    row = database.execute("insert into public.scheduled_jobs (handler) values ('noop') returning id").fetchone()
    with database.transaction(force_rollback=True):
        database.execute("select set_config('job_scheduler.stage', 'service', true)")
        for status in _path_to(before):
            _write(database, row["id"], status)
        if after == before or after in TRANSITIONS[before]:
            _write(database, row["id"], after)
        else:
            with pytest.raises(
                psycopg.errors.InvalidParameterValue, match=f'"{after}" is not allowed after "{before}"'
            ):
                _write(database, row["id"], after)


def _path_to(status: JobStatus) -> list[JobStatus]:
    if status is JobStatus.SCHEDULED:
        return []
    return [status] if status in TRANSITIONS[JobStatus.SCHEDULED] else [JobStatus.RUNNING, status]


def _write(database: psycopg.Connection[Any], job: int, status: JobStatus) -> None:
    database.execute("update public.scheduled_jobs set status = %s where id = %s", (status, job))
