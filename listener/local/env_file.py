"""The file with which clients reach a stack, while the stack is up. Nobody else's file is touched."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from typing import TYPE_CHECKING

from listener.errors import ListenerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MARK = b"# written by `listener up`, and removed by it unless edited; sha256="


class EnvFileTakenError(ListenerError):
    """The file cannot be written: another program or a person has written it, or another stack has it."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path} {why}; it stays as it is: name another file, or leave --env-file out")


def remove_stale(path: Path) -> None:
    """Remove the file of a stack that was killed: a program that waits for the file must not read that one.

    Raises:
        EnvFileTakenError: It is somebody else's, or belongs to a stack that is up.
    """
    try:
        with path.open("rb") as file:
            if not _is_ours(file.read()):
                raise EnvFileTakenError(path, "was not written by `listener up`, or was edited since")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except FileNotFoundError:
        if path.is_symlink() or not path.parent.is_dir():
            raise EnvFileTakenError(path, "leads nowhere") from None
    except BlockingIOError:
        raise EnvFileTakenError(path, "belongs to another stack that is up") from None
    except OSError as fault:
        raise EnvFileTakenError(path, f"cannot be read ({fault.strerror})") from fault


@contextlib.contextmanager
def written(path: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Write one `NAME=value` a line, complete at once and readable by the owner alone; remove the file after the block.

    Raises:
        EnvFileTakenError: There is a file by now.
    """
    text = "".join(f"{name}={value}\n" for name, value in variables.items()).encode()
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(MARK + _digest(text) + b"\n" + text)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)  # held while the stack is up; the kernel lets go of it when this process dies
        try:
            os.link(beside, path)  # unlike a rename, never in place of another file
        except FileExistsError:
            raise EnvFileTakenError(path, "was written while the stack started") from None
        finally:
            beside.unlink()
        try:
            yield
        finally:
            _remove(path, os.fstat(file.fileno()))


def _remove(path: Path, ours: os.stat_result) -> None:
    with contextlib.suppress(OSError):
        if os.path.samestat(path.lstat(), ours) and _is_ours(path.read_bytes()):
            path.unlink()


def _is_ours(content: bytes) -> bool:
    """Return whether `written` wrote it and nobody has changed it."""
    first, _, rest = content.partition(b"\n")
    return first == MARK + _digest(rest)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
