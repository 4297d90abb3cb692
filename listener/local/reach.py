"""Checks which files another user can read: a checkout below /root is closed to the user that runs PostgreSQL."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from listener.local.installation import Installation

ENTER, READ = 0o001, 0o004
OWNER_RUNS = 0o100
OPEN_PROGRAM, OPEN_FILE = 0o755, 0o644  # whatever our umask: others may read and run, never write
NEEDLESS = shutil.ignore_patterns("include", "*.a")


def reachable_by(owner: tuple[int, int] | None, folder: Path) -> bool:
    """Return whether the user `owner`, who owns none of them, can enter `folder` and all folders above it."""
    return owner is None or all(above.stat().st_mode & ENTER for above in (folder, *folder.parents))


def reachable_copy(found: Installation, home: Path, owner: tuple[int, int] | None) -> Installation:
    """Return `found` if `owner` can run it, else a copy of it in `home`, made when it is not there.

    `home` is ours alone to write. A copy appears complete or not at all.
    """
    if _can_run(owner, found):
        return found
    copy = found.at(home / found.name)
    if not copy.base.exists():
        draft = found.at(home / f"{found.name}.new")
        shutil.rmtree(draft.base, ignore_errors=True)
        for part in found.parts:
            shutil.copytree(found.base / part, draft.base / part, symlinks=True, ignore=NEEDLESS)
        _open(draft.base)
        draft.base.rename(copy.base)
    return copy


def _can_run(owner: tuple[int, int] | None, found: Installation) -> bool:
    """Return whether `owner` can read folders and files: a package unpacked under umask 077 has closed files."""
    folders = [found.base / part for part in found.parts] + [file.parent for file in found.sample_files]
    return owner is None or (
        all(reachable_by(owner, folder) for folder in folders)
        and all(file.stat().st_mode & READ for file in found.sample_files)
    )


def _open(folder: Path) -> None:
    for name, _, files in os.walk(folder):
        Path(name).chmod(OPEN_PROGRAM)
        for file in (Path(name, each) for each in files):
            if not file.is_symlink():
                file.chmod(OPEN_PROGRAM if file.stat().st_mode & OWNER_RUNS else OPEN_FILE)
