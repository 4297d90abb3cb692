"""A state folder belongs to one stack at a time and remembers its ports."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

from listener.local.errors import NoStackError, StateFolderInUseError
from listener.local.reach import reachable_by, reachable_copy
from listener.local.stale import runs_on
from listener.local.state import SERVICES, StateFolder

STRANGER = (65534, 65534)


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


def test_programs_that_a_stranger_cannot_reach_are_copied_once(tmp_path: Path) -> None:
    """Libraries go along, headers do not."""
    programs, copy = tmp_path / "closed" / "pg", tmp_path / "copy"
    (programs / "include").mkdir(parents=True)
    (programs / "postgres").write_text("binary")
    (tmp_path / "closed").chmod(0o700)
    assert reachable_copy(programs, copy, STRANGER) == copy
    assert [path.name for path in copy.iterdir()] == ["postgres"]
    (copy / "postgres").write_text("kept")
    reachable_copy(programs, copy, STRANGER)
    assert (copy / "postgres").read_text() == "kept"
    assert reachable_copy(programs, copy, None) == programs


def test_a_process_that_is_no_server_on_the_folder_is_not_taken_for_one(tmp_path: Path) -> None:
    """Process ids are used again, in containers soon: a stale note may name anybody."""
    assert not runs_on(os.getpid(), tmp_path)
    assert not runs_on(2**22 + 1, tmp_path)
