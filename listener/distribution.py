"""The name and version under which the project is installed."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

NAME: Final = "supabase-job-listener"


def installed_version() -> str:
    """Return the version that is installed, such as `0.1.0`."""
    return version(NAME)
