"""Whatever a handler does, its run ends in the ledger with a plain reason, and no run beside it notices."""

from __future__ import annotations

import functools
import importlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from child_listener import listeners_on
from emptying import empty
from patience import until
from supabase_project import connected

from listener.handler_api.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from child_listener import Listener
    from supabase_project import Project

JOBS = Path(__file__).parent / "jobs"
sys.path.insert(0, str(JOBS))  # where the listener finds them, too
Registry.load(["zoo"])
ANIMALS = importlib.import_module("zoo").ANIMALS
LINGERING = [name for name, expected in ANIMALS.items() if expected.lingers]
KINDS = sorted({expected.kind for expected in ANIMALS.values()})
THREADS, PROCESSES = 16, 4
BESIDE = ["innocent", "innocent", "innocent_with_a_client", "innocent_in_thread", "innocent_in_process"]
AFTER = (
    ["innocent"] * 4
    + ["innocent_with_a_client"]
    + ["innocent_in_thread"] * THREADS
    + ["innocent_in_process"] * PROCESSES
)
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
        yield listeners.start(handlers="zoo", thread_concurrency=THREADS, process_concurrency=PROCESSES)


@pytest.fixture(scope="module")
def lingering(listener, project, tmp_path_factory) -> dict[str, int]:
    """Let those in first that take long to end; they are beside all others."""
    return insert(project, LINGERING, tmp_path_factory.mktemp("lingering"))


@pytest.fixture(scope="module")
def herds(project, lingering, tmp_path_factory) -> Callable[[str], tuple[dict[str, int], list[int]]]:
    """Give a kind's animals, let in together beside innocents, whose mark comes once all animals have ended."""

    @functools.cache
    def herd(kind: str) -> tuple[dict[str, int], list[int]]:
        folder = tmp_path_factory.mktemp(kind)
        beside = innocents(project, BESIDE, folder / "ended")
        for job in beside:
            project.wait(job, "running", within=WITHIN_SECONDS)
        names = [name for name, expected in ANIMALS.items() if expected.kind == kind and not expected.lingers]
        animals = insert(project, names, folder)
        for job in animals.values():
            project.wait(job, within=WITHIN_SECONDS)
        (folder / "ended").touch()
        return animals, beside + innocents(project, AFTER, folder / "ended")

    return herd


def insert(project: Project, names: list[str], folder: Path) -> dict[str, int]:
    """Insert jobs that are tried once."""
    rows = [{"handler": name, "metadata": {"mark": str(folder / name)}, "max_attempts": 1} for name in names]
    return dict(zip(names, project.insert_many(rows), strict=True))


def innocents(project: Project, handlers: list[str], mark: Path) -> list[int]:
    """Insert innocents that stay until the mark exists."""
    return project.insert_many([{"handler": each, "metadata": {"mark": str(mark)}} for each in handlers])


def check(project: Project, name: str, job: int) -> None:
    """Compare the only row of the ledger with what is expected of an animal."""
    project.wait(job, within=WITHIN_SECONDS)
    expected, (row,) = ANIMALS[name], project.ledger(job)
    assert (row["status"], row["reason"]) == (expected.status, expected.reason), row["error"]
    assert expected.error in (row["error"] or "")


@pytest.mark.parametrize("name", [name for name in ANIMALS if name not in LINGERING])
def test_an_end_of_its_own(project, herds, name) -> None:
    """The ledger says what an animal did, whatever others of its kind do at the same time."""
    check(project, name, herds(ANIMALS[name].kind)[0][name])


@pytest.mark.parametrize("kind", KINDS)
def test_no_innocent_notices(project, herds, kind) -> None:
    """Runs that began before the animals and went on beside them, or came after them, ran once and in peace."""
    for job in herds(kind)[1]:
        assert project.wait(job, within=WITHIN_SECONDS)["status"] == "completed", project.ledger(job)
        assert [row["result"] for row in project.ledger(job)] == [[]]


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


def test_the_service_ends_at_sigterm(project, listener, herds) -> None:
    """Whatever was done to its signals, and whatever does not end by itself; nothing of it is the service's failure."""
    herds("surroundings")
    until(lambda: listener.describe()["runs_executing"] == 0, "all have ended", within=WITHIN_SECONDS)
    assert listener.stop() == 0
    assert "service.left_behind" in listener.log.read_text()


def test_there_are_enough_of_them() -> None:
    """Sixty at least, on the loop, in threads and in processes."""
    assert len(ANIMALS) >= 60


def time_used(listener: Listener) -> float:
    """Give the seconds of processor time that the listener has used."""
    fields = Path(f"/proc/{listener.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
