"""Builds the dashboard into `listener/_dashboard` for a wheel or an sdist that is made from a checkout without it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MISSING = "the dashboard needs npm (Node 20.19 or later): install it, or run `make install` in a checkout first"


class DashboardHook(BuildHookInterface[Any]):
    """Leaves editable installations alone, and what lies there already: an sdist has it, and needs no npm."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's protocol
        """Build the dashboard where it lacks."""
        root = Path(self.root)
        source = root / "dashboard"
        if version == "editable" or (root / "listener/_dashboard/index.html").is_file() or not source.is_dir():
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(MISSING)
        for words in (["ci", "--no-audit", "--no-fund", "--loglevel=error"], ["run", "--silent", "build"]):
            subprocess.run([npm, *words], cwd=source, check=True)  # noqa: S603 - the project's own script
