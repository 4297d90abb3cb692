"""`listener up` writes one file for its clients, and touches none that it did not write."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from listener.local.env_file import EnvFileTakenError, remove_stale, written

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = {"SUPABASE_URL": "http://127.0.0.1:1", "DATABASE_URL": "postgresql://a=b"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be."""
    return tmp_path / ".env.local"


def test_it_is_there_while_the_stack_is_up_for_its_owner_alone(path: Path) -> None:
    """One `NAME=value` a line, the mark at its head included."""
    with written(path, VARIABLES):
        lines = dict(line.split("=", 1) for line in path.read_text().splitlines())
        assert lines.items() >= VARIABLES.items()
        assert path.stat().st_mode & 0o777 == 0o600
        assert list(path.parent.iterdir()) == [path]
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("content", ["NEXT_PUBLIC_KEY=mine\n", "", "# written by `listener up`\nA=b\n"])
def test_a_file_of_somebody_else_stays_as_it_is(path: Path, content: str) -> None:
    """Before the stack starts, and once it is ready; the message says what to do."""
    path.write_text(content)
    with pytest.raises(
        EnvFileTakenError, match=r"local was not written by .*: name another file, or leave --env-file out$"
    ):
        remove_stale(path)
    with pytest.raises(EnvFileTakenError, match="while the stack started"), written(path, VARIABLES):
        pytest.fail("the file is taken")
    assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("edit", ["edited in place", "replaced"])
def test_a_file_that_was_edited_is_kept(path: Path, edit: str) -> None:
    """When the stack stops, and at the next start, whatever way the editor writes."""
    with written(path, VARIABLES):
        mine = path.read_text() + "MINE=1\n"
        if edit == "replaced":
            path.unlink()
        path.write_text(mine)
    assert path.read_text() == mine
    with pytest.raises(EnvFileTakenError, match="or was edited since"):
        remove_stale(path)
    assert path.read_text() == mine


def test_the_file_of_a_killed_stack_is_removed(path: Path) -> None:
    """Nobody has to look after it."""
    code = (
        "import os, pathlib, listener.local.env_file as e\n"
        f"with e.written(pathlib.Path({str(path)!r}), {VARIABLES!r}): os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert path.exists()
    remove_stale(path)
    assert not path.exists()
    remove_stale(path)


def test_the_file_of_a_running_stack_stays(path: Path) -> None:
    """Another stack gets a message that says so."""
    with written(path, VARIABLES):
        with pytest.raises(EnvFileTakenError, match="belongs to another stack that is up"):
            remove_stale(path)
        assert path.exists()


def test_a_path_that_leads_nowhere_is_refused_before_the_stack_starts(path: Path, tmp_path: Path) -> None:
    """A folder that is not there, a link without its target, a folder instead of a file."""
    path.symlink_to(tmp_path / "gone")
    for wrong in (path, tmp_path / "none" / "env"):
        with pytest.raises(EnvFileTakenError, match="leads nowhere"):
            remove_stale(wrong)
    with pytest.raises(EnvFileTakenError, match=r"cannot be read \(Is a directory\)"):
        remove_stale(tmp_path)
