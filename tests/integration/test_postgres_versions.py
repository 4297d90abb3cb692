"""The project on the PostgreSQL versions that Supabase projects run, 15 and 17; the stack brings a newer one along."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from listener.local.installation import installed_postgres

pytestmark = pytest.mark.stack
ROOT = Path(__file__).parents[2]
CLIENTS = "tests/integration/service/test_stock_clients.py"
ESSENCE = [
    f"{Path(__file__).relative_to(ROOT)}::test_the_stack_runs_the_installation_that_was_chosen",
    "tests/property/test_life_of_a_job.py",
    f"{CLIENTS}::test_a_client_sees_every_step_of_its_jobs[supabase-py-signed-in user]",
]


def test_the_stack_runs_the_installation_that_was_chosen(embedded_stack) -> None:
    """The one that `LISTENER_POSTGRES_BIN` names, where it names one."""
    programs = Path(os.environ.get("LISTENER_POSTGRES_BIN") or installed_postgres().programs)
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    with psycopg.connect(embedded_stack.admin_dsn) as connection:
        version = connection.execute("show server_version").fetchone()[0]
    assert version.split()[0] == said.split()[2]  # packagers write more behind it


@pytest.mark.parametrize("major", [15, 17])
def test_jobs_live_the_same_life_on_the_versions_that_projects_run(major) -> None:
    """From the migrations to what a client receives of its job; `make test-postgres POSTGRES=15` tries much more."""
    programs = ROOT / "tests" / "postgres" / "node_modules" / f"postgres-{major}" / "native" / "bin"
    reported = {**os.environ, "LISTENER_POSTGRES_BIN": str(programs), "LIFE_EXAMPLES": "10"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *ESSENCE]
    done = subprocess.run(command, cwd=ROOT, env=reported, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
