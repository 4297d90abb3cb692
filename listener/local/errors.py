"""What can go wrong with the embedded stack, each error built from the facts that it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.errors import ListenerError

if TYPE_CHECKING:
    from pathlib import Path


class StateFolderInUseError(ListenerError):
    """Another stack holds the state folder."""

    def __init__(self, folder: Path, owner: str) -> None:
        self.folder, self.owner = folder, owner
        super().__init__(f"{folder} is in use by {owner}; stop it, or choose another folder with --state-dir")


class MissingProgramError(ListenerError):
    """A program that the stack consists of is not installed."""

    def __init__(self, program: str, remedy: str) -> None:
        self.program, self.remedy = program, remedy
        super().__init__(f"{program} is not installed: {remedy}")


class ProgramFailedError(ListenerError):
    """A program of the stack ended, or never became ready."""

    def __init__(self, program: str, what: str, log: Path) -> None:
        self.program, self.what, self.log = program, what, log
        super().__init__(f"{program} {what}; its last lines are in {log}{_last_line(log)}")


class NoStackError(ListenerError):
    """The state folder holds no keys: no stack has been started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} holds no stack; start one with `listener up --state-dir {folder}`")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return f" ({lines[-1].strip()})" if lines else ""
