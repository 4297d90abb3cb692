"""The IANA zone database that `zoneinfo` reads here, by the version that its publishers give it, such as 2026a."""

from __future__ import annotations

import re
import zoneinfo
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SAMPLE = "Europe/Berlin"
"""A zone of every database: `zoneinfo` reads a zone in the first folder that has it."""
VERSION = re.compile(r"\b(\d{4}[a-z]{1,2})\b")
FILES = ("+VERSION", "tzdata.zi", "version")
"""Files of a database that begin with its version, by system: BSD and macOS, Linux, and databases made from source."""


def installed_version(folders: Iterable[str] | None = None) -> str | None:
    """Return the version of the database in the first of these folders that has one, else of the package tzdata.

    None: the database does not say. Versions of the same length order as texts do.

    Args:
        folders: where to look; by default where `zoneinfo` does.
    """
    for folder in map(Path, zoneinfo.TZPATH if folders is None else folders):
        if (folder / SAMPLE).is_file():
            return _version_in(folder)
    return str(import_module("tzdata").IANA_VERSION)


def _version_in(folder: Path) -> str | None:
    for name in FILES:
        try:
            with (folder / name).open(encoding="utf-8", errors="replace") as file:
                found = VERSION.search(file.readline())
        except OSError:
            continue
        if found:
            return found[1]
    return None
