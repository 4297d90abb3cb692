"""The demo leaves its logs where it failed, and nothing where it did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from listener.demo import show
from listener.errors import ListenerError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's folder, as a stack has filled it."""
    folder = tmp_path / "demo"
    (folder / "cluster").mkdir(parents=True)
    for name in ("cluster/data", "secrets.json", "postgres.log"):
        (folder / name).write_text("text")
    monkeypatch.setattr(show, "_new_folder", lambda: folder)
    return folder


@pytest.mark.parametrize("code", [0, 1])
def test_a_demo_that_failed_keeps_its_logs_only(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """By its outcomes."""

    async def end(*_: object) -> int:
        return code

    monkeypatch.setattr(show, "_on_stage", end)
    assert anyio.run(show.play) == code
    assert [path.name for path in folder.glob("*")] == (["postgres.log"] if code else [])
    assert folder.exists() == bool(code)


@pytest.mark.parametrize("logs", [["postgres.log"], []])
def test_a_demo_that_did_not_start_keeps_no_database(
    folder: Path, monkeypatch: pytest.MonkeyPatch, logs: list[str]
) -> None:
    """The fault is raised all the same."""

    async def fail(*_: object) -> int:
        if not logs:
            (folder / "postgres.log").unlink()
        raise ListenerError

    monkeypatch.setattr(show, "_on_stage", fail)
    with pytest.raises(ListenerError):
        anyio.run(show.play)
    assert [path.name for path in folder.glob("*")] == logs
