"""Whatever a handler does, its run ends in the ledger with a plain reason, and no run beside it notices."""

from __future__ import annotations

import runpy
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from child_listener import listeners_on
from emptying import empty
from patience import until
from supabase_project import connected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from child_listener import Listener
    from supabase_project import Project

JOBS = Path(__file__).parent / "jobs"
MODULE = "zoo_handlers"
ANIMALS = runpy.run_path(str(JOBS / f"{MODULE}.py"), run_name=MODULE)["ANIMALS"]
LINGERING = [name for name, expected in ANIMALS.items() if expected.lingers]
INNOCENTS = {"loop": "innocent", "thread": "innocent_in_thread", "process": "innocent_in_process"}
WITHIN_SECONDS = 60.0


@pytest.fixture(scope="module")
def project(embedded_stack, tables_to_empty) -> Iterator[Project]:
    """Give the project, empty."""
    with connected(embedded_stack) as project:
        empty(project.sql, tables_to_empty)
        yield project


@pytest.fixture(scope="module")
def listener(embedded_stack, project, tmp_path_factory) -> Iterator[Listener]:
    """Run one listener, which is to survive all of the zoo."""
    with listeners_on(embedded_stack, tmp_path_factory.mktemp("zoo"), JOBS) as listeners:
        yield listeners.start(handlers=MODULE, thread_concurrency=16, process_concurrency=3)


@pytest.fixture(scope="module")
def lingering(listener, project, tmp_path_factory) -> dict[str, int]:
    """Let those in first that take long to end; they are beside all others."""
    folder = tmp_path_factory.mktemp("lingering")
    return {name: insert(project, name, folder / name) for name in LINGERING}


def insert(project: Project, name: str, mark: Path) -> int:
    """Insert a job that is tried once."""
    return project.insert(name, metadata={"mark": str(mark)}, max_attempts=1)


def end_of(project: Project, job: int) -> tuple[str, str | None, str]:
    """Give what the ledger says at the end of a job's only run."""
    project.wait(job, within=WITHIN_SECONDS)
    (row,) = project.ledger(job)
    return row["status"], row["reason"], row["error"] or ""


def check(project: Project, name: str, job: int) -> None:
    """Compare the ledger with what is expected of an animal."""
    expected, (status, reason, error) = ANIMALS[name], end_of(project, job)
    assert (status, reason) == (expected.status, expected.reason), error
    assert expected.error in error


def check_innocent(project: Project, jobs: list[int]) -> None:
    """Nothing has reached them, and each ran once."""
    for job in jobs:
        assert end_of(project, job)[0] == "completed", project.ledger(job)
        assert project.ledger(job)[0]["result"] == []


@pytest.mark.parametrize("name", [name for name in ANIMALS if name not in LINGERING])
def test_an_end_of_its_own(project, listener, lingering, tmp_path, name) -> None:
    """Runs that began before it, go on beside it and come after it know nothing of it."""
    mark = tmp_path / "mark"
    beside = project.insert_many([{"handler": each, "metadata": {"mark": str(mark)}} for each in INNOCENTS.values()])
    for job in beside[:2]:
        project.wait(job, "running", within=WITHIN_SECONDS)
    check(project, name, insert(project, name, mark))
    after = [insert(project, INNOCENTS[ANIMALS[name].mode], mark)]
    check_innocent(project, beside + after)


@pytest.mark.parametrize("name", LINGERING)
def test_an_end_that_takes_long(project, listener, lingering, name) -> None:
    """What does not stop is reported all the same."""
    check(project, name, lingering[name])


def test_the_service_has_not_noticed(project, listener, lingering) -> None:
    """No stage has failed, nothing is left of any run, and the process is the one that was started."""
    for name in LINGERING:
        check(project, name, lingering[name])
    until(lambda: listener.describe()["runs_executing"] == 0, "all have ended", within=WITHIN_SECONDS)
    assert listener.process.poll() is None
    assert "service.stage_failed" not in listener.log.read_text()
    assert "Traceback" not in httpx.get(f"{listener.url}/readyz").text
    until(listener.ready, "it is ready")
    before = time_used(listener)
    time.sleep(0.5)
    assert time_used(listener) - before < 0.3, "nothing turns the loop without a pause"


def test_there_are_enough_of_them() -> None:
    """Sixty at least, on the loop, in threads and in processes."""
    assert len(ANIMALS) >= 60


def time_used(listener: Listener) -> float:
    """Give the seconds of processor time that the listener has used."""
    fields = Path(f"/proc/{listener.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
