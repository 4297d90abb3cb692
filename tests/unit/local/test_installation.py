"""The stack chooses one of the installed PostgreSQL versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from listener.local import keys
from listener.local.errors import MissingProgramError, UnsuitablePostgresError
from listener.local.installation import installed_postgres
from listener.local.postgres import cluster_in, create_cluster
from listener.local.state import StateFolder
from listener.migrate.migrator import OLDEST

if TYPE_CHECKING:
    from pathlib import Path


def _installation(folder: Path, answer: str) -> Path:
    """Return a folder of programs of which `postgres --version` says `answer`."""
    programs = folder / "programs"
    programs.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        program = programs / name
        program.write_text(f"#!/bin/sh\necho '{answer}'\n")
        program.chmod(0o755)
    return programs


@pytest.mark.parametrize(
    ("answer", "version", "major"),
    [
        ("postgres (PostgreSQL) 17.10", "17.10", 17),
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-1.pgdg120+1)", "15.18", 15),
        ("postgres (PostgreSQL) 19beta2", "19", 19),
    ],
)
def test_the_folder_that_the_environment_names_is_taken(tmp_path, monkeypatch, answer, version, major):
    """The folder may have any name; the version is the one that its server states."""
    programs = _installation(tmp_path, answer)
    monkeypatch.setenv("LISTENER_POSTGRES_BIN", str(programs))
    found = installed_postgres()
    assert (found.programs, found.version, found.major) == (programs, version, major)
    assert found.at(tmp_path / "copy").programs == tmp_path / "copy" / "programs"


def test_an_empty_name_is_none(monkeypatch):
    """As everywhere in the environment: the wheel's PostgreSQL is taken."""
    monkeypatch.delenv("LISTENER_POSTGRES_BIN", raising=False)
    usual = installed_postgres()
    monkeypatch.setenv("LISTENER_POSTGRES_BIN", "")
    assert installed_postgres() == usual


@pytest.mark.parametrize(("left", "lacks"), [((), "no initdb and no postgres"), (("postgres",), "no initdb")])
def test_a_folder_without_the_programs_is_named_with_what_it_lacks(tmp_path, monkeypatch, left, lacks):
    """The message names the variable and the folder."""
    programs = _installation(tmp_path, "postgres (PostgreSQL) 17.10")
    for program in programs.iterdir():
        if program.name not in left:
            program.unlink()
    monkeypatch.setenv("LISTENER_POSTGRES_BIN", str(programs))
    with pytest.raises(MissingProgramError) as refusal:
        installed_postgres()
    assert str(refusal.value) == (
        "PostgreSQL is not installed: LISTENER_POSTGRES_BIN names the folder of initdb and postgres; "
        f"{programs} has {lacks}"
    )


def test_a_server_that_does_not_say_its_version_is_refused(tmp_path, monkeypatch):
    """It is something else, or lacks a library; what it wrote is shown."""
    programs = _installation(tmp_path, "")
    (programs / "postgres").write_text("#!/bin/sh\necho 'libxml2.so.2: cannot open' >&2\nexit 127\n")
    monkeypatch.setenv("LISTENER_POSTGRES_BIN", str(programs))
    with pytest.raises(MissingProgramError, match=r"does not say its version \(libxml2.so.2: cannot open\)"):
        installed_postgres()


def test_a_version_that_lacks_what_the_migrations_need_is_refused(tmp_path, monkeypatch):
    """Before anything is made, rather than by a syntax error in a migration."""
    programs = _installation(tmp_path, f"postgres (PostgreSQL) {OLDEST - 1}.9")
    monkeypatch.setenv("LISTENER_POSTGRES_BIN", str(programs))
    with pytest.raises(UnsuitablePostgresError, match=rf"{OLDEST - 1}\.9 in .* the oldest that will do is {OLDEST}"):
        installed_postgres()


async def test_a_data_folder_of_another_version_is_refused_and_left_alone(tmp_path, monkeypatch):
    """PostgreSQL itself would refuse it too, in a log file."""
    monkeypatch.setenv("LISTENER_POSTGRES_BIN", str(_installation(tmp_path, "postgres (PostgreSQL) 15.18")))
    state = StateFolder.at(tmp_path / "state")
    cluster = cluster_in(state, keys.create(), 5432)
    cluster.data.mkdir()
    (cluster.data / "PG_VERSION").write_text("18\n")
    with pytest.raises(UnsuitablePostgresError, match="was made by PostgreSQL 18; choose another folder"):
        await create_cluster(cluster)
    assert [path.name for path in cluster.data.iterdir()] == ["PG_VERSION"]
    state.discard_outside()
