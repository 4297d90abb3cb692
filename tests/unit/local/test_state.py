"""A state folder belongs to one stack at a time and remembers its ports."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from listener.local.errors import NoStackError, StateFolderInUseError
from listener.local.installation import Installation
from listener.local.keys import open_private
from listener.local.reach import reachable_by, reachable_copy
from listener.local.stale import runs_on
from listener.local.state import SERVICES, StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

STRANGER = (65534, 65534)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that everybody can enter, unlike those that pytest gives."""
    with tempfile.TemporaryDirectory(prefix="listener-state-") as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


@pytest.fixture
def private_umask() -> Iterator[None]:
    """Let what is made be closed to everybody else."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_the_ports_of_the_last_start_are_taken_again(tmp_path: Path) -> None:
    """Each service has one of its own."""
    state = StateFolder.at(tmp_path)
    ports = state.choose_ports()
    assert set(ports) == set(SERVICES)
    assert len(set(ports.values())) == len(SERVICES)
    assert state.choose_ports() == ports


def test_a_port_that_somebody_took_meanwhile_is_replaced(tmp_path: Path) -> None:
    """The others stay."""
    state = StateFolder.at(tmp_path)
    before = state.choose_ports()
    with socket.create_server(("127.0.0.1", before["api"])):
        after = state.choose_ports()
    assert after["api"] != before["api"]
    assert {**after, "api": 0} == {**before, "api": 0}


def test_a_held_folder_is_refused_with_the_holders_name(tmp_path: Path) -> None:
    """Until it is let go of."""
    state = StateFolder.at(tmp_path)
    with state.held(), pytest.raises(StateFolderInUseError, match=f"process id {os.getpid()}"), state.held():
        pass
    with state.held():
        pass


def test_a_folder_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    """Reading keys must not make any."""
    with pytest.raises(NoStackError, match="start one with `listener up"):
        StateFolder(tmp_path).existing_keys()
    assert list(tmp_path.iterdir()) == []


def test_sockets_of_a_long_path_lie_elsewhere(tmp_path: Path) -> None:
    """The kernel takes 107 bytes of a socket's path."""
    state = StateFolder.at(tmp_path / ("x" * 120))
    sockets = state.sockets_below(state.root)
    assert len(str(sockets)) < 80
    assert sockets == state.sockets_below(state.root)
    with contextlib.suppress(OSError):
        state.outside().rmdir()


def test_a_closed_folder_above_keeps_a_stranger_out(tmp_path: Path) -> None:
    """But not ourselves."""
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    assert not reachable_by(STRANGER, inner)
    assert reachable_by(None, inner)
    assert reachable_by(STRANGER, Path("/usr/bin"))


def _installation(base: Path) -> Installation:
    """Make one that finds its library only beside its package, as wheels do."""
    for name in (
        "package/pg/bin/postgres",
        "package/pg/bin/initdb",
        "package/pg/include/postgres.h",
        "package.libs/libpq",
    ):
        file = base / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
        file.chmod(0o755 if file.parent.name == "bin" else 0o644)
    for folder in (base, *(path for path in base.rglob("*") if path.is_dir())):
        folder.chmod(0o755)  # whatever our umask
    return Installation(base / "package/pg/bin", "18.1", base, ("package/pg", "package.libs"))


@pytest.mark.parametrize(("closed", "mode"), [(".", 0o700), ("package.libs", 0o700), ("package/pg/bin/initdb", 0o711)])
def test_programs_that_a_stranger_cannot_run_are_copied_once(open_folder: Path, closed: str, mode: int) -> None:
    """Libraries go along, headers do not; whatever was closed, the copy is open, and nobody else can write it."""
    found = _installation(open_folder / "original")
    assert reachable_copy(found, open_folder, STRANGER) == found
    (found.base / closed).chmod(mode)
    copy = reachable_copy(found, open_folder, STRANGER)
    files = {str(path.relative_to(copy.base)): path for path in copy.base.rglob("*") if path.is_file()}
    assert set(files) == {"package/pg/bin/postgres", "package/pg/bin/initdb", "package.libs/libpq"}
    assert {oct(path.stat().st_mode & 0o777) for path in copy.base.rglob("*") if path.is_dir()} == {"0o755"}
    assert [oct(files[name].stat().st_mode & 0o777) for name in sorted(files)] == ["0o644", "0o755", "0o755"]
    (copy.programs / "postgres").write_text("kept")
    assert reachable_copy(found, open_folder, STRANGER) == copy
    assert (copy.programs / "postgres").read_text() == "kept"
    assert reachable_copy(found, open_folder, None) == found


def test_what_lies_outside_can_be_entered_whatever_the_umask(tmp_path: Path, private_umask: None) -> None:
    """By the user that PostgreSQL runs as; nobody else can list it."""
    outside = StateFolder.at(tmp_path).outside()
    assert outside.stat().st_mode & 0o777 == 0o711
    outside.rmdir()


@pytest.mark.parametrize("name", ["with space", "with,comma", "with'quote"])
def test_sockets_of_an_odd_path_lie_elsewhere(open_folder: Path, name: str) -> None:
    """Those characters end the name of a host, or the entry of a list."""
    state = StateFolder.at(open_folder / name)
    assert state.sockets_below(state.root) == state.outside() / "sockets"
    state.outside().rmdir()
    state = StateFolder.at(open_folder / "plain")
    assert state.sockets_below(state.root) == state.root / "sockets"


def test_a_process_that_is_no_server_on_the_folder_is_not_taken_for_one(tmp_path: Path) -> None:
    """Process ids are used again, in containers soon: a stale note may name anybody."""
    assert not runs_on(os.getpid(), tmp_path)
    assert not runs_on(2**22 + 1, tmp_path)


def test_what_the_stack_writes_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Logs have statements and tokens in them; whatever the umask, and also where a file was open to others before."""
    before = os.umask(0)
    try:
        state = StateFolder.at(tmp_path / "state")
        state.log("postgres").write_text("older")
        with open_private(state.log("postgres")) as log, state.held():
            log.write(b" and newer")
        state.choose_ports()
        state.keys()
    finally:
        os.umask(before)
    assert state.log("postgres").read_text() == "older and newer"
    assert state.root.stat().st_mode & 0o066 == 0
    assert {path.name: path.stat().st_mode & 0o777 for path in state.root.iterdir()} == dict.fromkeys(
        ("postgres.log", "lock", "ports.json", "secrets.json"), 0o600
    )
