"""The walls between the packages hold: an import of each forbidden kind is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
PLANTED = {
    "the domain reads a clock": ("listener/domain/job.py", "import time"),
    "the wheel logs": ("listener/wheel/level.py", "import structlog"),
    "scheduling knows execution": ("listener/scheduling/agenda.py", "import listener.execution.completer"),
    "the domain knows the ports": ("listener/domain/retry.py", "import listener.ports"),
    "runs know scheduling": ("listener/runs/held_runs.py", "import listener.scheduling.agenda"),
    "execution knows the service": ("listener/execution/claimer.py", "import listener.app.service"),
    "a stage knows an adapter": ("listener/scheduling/reflector.py", "import listener.supabase.rows"),
    "a stage reads settings": ("listener/execution/dispatcher.py", "import listener.settings"),
    "a stage knows a network library": ("listener/maintenance/cleaner.py", "import httpx"),
    "an adapter knows a stage": ("listener/supabase/store.py", "import listener.execution.completer"),
    "the service knows the embedded stack": ("listener/app/service.py", "import listener.local.keys"),
    "the client knows the service": ("listener/client/jobs.py", "import listener.app.stages"),
    "a plan knows its client": ("listener/client/ledger.py", "import httpx"),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what the contracts are about."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copytree(ROOT / "listener", folder / "listener", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(folder: Path) -> int:
    """Check the contracts of a copy, whatever is installed."""
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {LINT}"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode


def test_the_sources_keep_every_contract(sources: Path):
    """Else the refusals below would prove nothing."""
    assert lint(sources) == 0


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_import_is_refused(sources: Path, planted: str):
    """One line is enough."""
    name, line = PLANTED[planted]
    module = sources / name
    text = module.read_text(encoding="utf-8")
    module.write_text(f"{text}\n{line}\n", encoding="utf-8")
    try:
        assert lint(sources) != 0
    finally:
        module.write_text(text, encoding="utf-8")
