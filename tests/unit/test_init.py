"""`listener init` writes a project that passes its own test, and overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from listener.handler_api.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

WRITTEN = {
    ".env.example", ".gitignore", "Dockerfile", "README.md", "compose.yaml", "pyproject.toml",
    "handlers/__init__.py", "handlers/greeting.py", "tests/test_greeting.py",
}  # fmt: skip


def _init(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "listener.cli", "init", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_project_passes_its_own_test_under_plain_pytest(tmp_path: Path):
    """In a new folder, with no plugin's option and nothing of this checkout on the path."""
    done = _init(tmp_path, "jobs")
    assert (done.returncode, done.stderr) == (0, "")
    assert "cd jobs" in done.stdout
    assert _files(tmp_path / "jobs") == WRITTEN
    command = [sys.executable, "-m", "pytest", "-q"]
    passed = subprocess.run(command, cwd=tmp_path / "jobs", capture_output=True, text=True, check=False)
    assert passed.returncode == 0, passed.stdout
    assert "2 passed" in passed.stdout


@pytest.mark.parametrize("kind", ["file", "link"])
def test_nothing_is_overwritten(tmp_path: Path, kind: str):
    """One file of the project's own is enough, also a link that leads nowhere; then nothing is written."""
    mine = tmp_path / "README.md"
    if kind == "file":
        mine.write_text("mine\n")
    else:
        mine.symlink_to(tmp_path / "nowhere")
    done = _init(tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "listener: README.md would be overwritten; nothing was written; "
        "name an empty or a new folder, such as `listener init jobs`\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_folder_that_cannot_be_made_is_named_in_one_line(tmp_path: Path):
    """A file is in its way."""
    (tmp_path / "jobs").touch()
    done = _init(tmp_path, "jobs")
    assert done.returncode == 1
    assert done.stderr.startswith("listener: jobs cannot be written (")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_listener_finds_its_handlers_without_a_setting(tmp_path: Path):
    """The default of `LISTENER_HANDLERS` is enough."""
    _init(tmp_path)
    code = "from listener.handler_api.registry import Registry; print(*Registry.load(['handlers']).names)"
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) == {"greet", *Registry.load(["listener.handlers"]).names}
