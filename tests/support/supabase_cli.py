"""Supabase's own CLI on a project folder, aimed at a database."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

CLI = Path(__file__).parents[2] / "node_modules" / ".bin" / "supabase"


@dataclass(frozen=True)
class SupabaseCli:
    """Call it with the words of a command.

    Args:
        project: The folder that holds `supabase/`.
        database_url: The database.
    """

    project: Path
    database_url: str

    @property
    def migrations(self) -> Path:
        """Where the project's own migrations lie."""
        return self.project / "supabase" / "migrations"

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        command = [str(CLI), *words, f"--remote={self.database_url}?sslmode=disable", "--workdir", str(self.project)]
        quiet = {**os.environ, "DO_NOT_TRACK": "1", "SUPABASE_TELEMETRY_DISABLED": "1"}
        return subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=120, check=False)
