"""Which folders another user can enter: a checkout below /root is closed to the user that PostgreSQL must run as."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ENTER = 0o001


def reachable_by(owner: tuple[int, int] | None, folder: Path) -> bool:
    """Say whether the user `owner`, who owns nothing of it, can enter `folder` and all folders above it."""
    return owner is None or all(above.stat().st_mode & ENTER for above in (folder, *folder.parents))


def reachable_copy(programs: Path, copy: Path, owner: tuple[int, int] | None) -> Path:
    """Return `programs` if `owner` can enter it, else a copy of it at `copy`, made when it is not there."""
    if reachable_by(owner, programs):
        return programs
    if not copy.exists():
        draft = copy.with_name(f"{copy.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(programs, draft, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
        draft.rename(copy)
    return copy
