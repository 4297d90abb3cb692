"""`listener up` starts the listener too: a row that a client inserts runs, with nothing else to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from patience import allowed, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.stack


@pytest.fixture(params=[[], ["--direct"]], ids=["", "direct"])
def up(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """Give the running command and what its env file says."""
    with tempfile.TemporaryDirectory(prefix="listener-up-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        env_file = folder / ".listener" / "env"
        with (folder / "output").open("wb") as output:
            command = [sys.executable, "-m", "listener.cli", "up", *request.param]
            process = subprocess.Popen(command, stdout=output, cwd=folder)
        try:
            deadline = time.monotonic() + 60
            while not env_file.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            settings = dict(line.split("=", 1) for line in env_file.read_text().splitlines())
            assert ("LISTENER_DATABASE_URL" in settings) is ("--direct" in request.param)
            yield process, settings
        finally:
            process.terminate()
            process.wait(timeout=20)


def test_a_row_runs_and_ctrl_c_ends_everything_within_five_seconds(
    up: tuple[subprocess.Popen[bytes], dict[str, str]],
) -> None:
    """The env file appears only when the listener is ready."""
    process, settings = up
    assert httpx.get(settings["LISTENER_HTTP_URL"] + "/readyz").status_code == 200
    with httpx.Client(
        base_url=settings["SUPABASE_URL"], headers={"apikey": settings["SUPABASE_SERVICE_ROLE_KEY"]}
    ) as client:
        prefer = {"prefer": "return=representation"}
        job = client.post("/rest/v1/scheduled_jobs", json={"handler": "noop"}, headers=prefer).json()[0]
        one = {"id": f"eq.{job['id']}", "select": "status"}
        until(lambda: client.get("/rest/v1/scheduled_jobs", params=one).json() == [{"status": "completed"}], "it runs")
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 5
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert time.monotonic() - began < allowed(5, 30)
    assert not any(child.is_running() for child in children)


def test_a_file_of_the_users_own_is_refused_at_once(tmp_path: Path) -> None:
    """One line says so; the file is as it was, and nothing was started."""
    mine = tmp_path / ".env.local"
    mine.write_text("NEXT_PUBLIC_KEY=mine\n")
    command = [sys.executable, "-m", "listener.cli", "up", "--env-file", ".env.local"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("listener: .env.local was not written by `listener up`")
    assert done.stderr.count("\n") == 1
    assert mine.read_text() == "NEXT_PUBLIC_KEY=mine\n"
    assert [path.name for path in (tmp_path / ".listener").iterdir()] == ["lock"]


def test_a_slip_in_the_handlers_is_what_the_command_reports(tmp_path: Path) -> None:
    """One line has the module's own error; the listener could not start, so neither does the stack stay up."""
    tmp_path.chmod(0o711)
    environment = {**os.environ, "LISTENER_HANDLERS": "handlers,my_jobz"}
    command = [sys.executable, "-m", "listener.cli", "up"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 1
    assert "handlers of my_jobz: the import failed with ModuleNotFoundError: No module named 'my_jobz'" in done.stderr
    assert done.stderr.count("\n") == 1
