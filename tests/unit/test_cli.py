"""The console script loads what a command needs, no more, and says in one line what it lacks."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from importlib.resources import files

import httpx

WITHOUT = "import sys; sys.modules.update(dict.fromkeys({missing!r})); sys.argv = {argv!r}; "
MAIN = "from listener.cli import main; main()"
LOADED = "; print(*sorted(name for name in sys.modules if name.startswith(('listener.local', 'psycopg', 'supabase'))))"


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_service_does_not_load_the_embedded_stack() -> None:
    """It is for development; production need not have what it needs."""
    done = _python("import sys, listener.cli, listener.commands.run" + LOADED)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_help_lists_every_command_where_the_embedded_stack_cannot_be_loaded() -> None:
    """As in a production image."""
    done = _python(WITHOUT.format(missing=["jwt", "httptools"], argv=["listener", "--help"]) + MAIN)
    assert done.returncode == 0, done.stderr
    for command in ("run", "up", "migrate", "token", "preview"):
        assert f" {command} " in done.stdout


def test_a_command_that_lacks_a_library_says_which_and_how_to_get_it() -> None:
    """One line, not a traceback."""
    argv = ["listener", "token", "--user", "alice"]
    done = _python(WITHOUT.format(missing=["jwt"], argv=argv) + MAIN)
    assert done.returncode == 1
    assert done.stderr == "listener: jwt is not installed: pip install 'supabase-job-listener[local]'\n"


def test_an_unknown_command_is_refused() -> None:
    """With the exit code of a wrong command line."""
    done = _python(WITHOUT.format(missing=[], argv=["listener", "nonsense"]) + MAIN)
    assert done.returncode == 2
    assert "nonsense" in done.stderr


def test_a_taken_port_is_refused_before_the_service_starts() -> None:
    """One line, which names the setting; it could claim otherwise, and end with what it claimed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = {
            "SUPABASE_URL": "http://127.0.0.1:1",
            "SUPABASE_SECRET_KEY": "sb_secret_x",
            "LISTENER_HTTP_BIND": address,
        }
        done = subprocess.run(
            [sys.executable, "-m", "listener.cli", "run"],
            env={**os.environ, **settings}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"listener: LISTENER_HTTP_BIND: '{address}' is not allowed; expected an address")
    assert done.stderr.count("\n") == 1


def test_it_says_its_version() -> None:
    """That of the installed package, without a command, a setting or the embedded stack."""
    done = _python(WITHOUT.format(missing=["jwt", "httptools"], argv=["listener", "--version"]) + MAIN)
    assert (done.stdout, done.stderr, done.returncode) == (f"listener {version('supabase-job-listener')}\n", "", 0)


def test_the_installed_types_are_found() -> None:
    """Type checkers believe the annotations of a package that says so (PEP 561)."""
    assert (files("listener") / "py.typed").is_file()


def test_a_project_that_does_not_answer_is_reported_once_with_the_remedy() -> None:
    """The retries go on without a line each; `/readyz` says why it is not ready."""
    settings = {
        "SUPABASE_URL": "http://127.0.0.1:1",
        "SUPABASE_SECRET_KEY": "sb_secret_x",
        "LISTENER_HTTP_BIND": f"127.0.0.1:{_free_port()}",
        "LISTENER_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "listener.cli", "run"]
    with subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True) as process:
        _wait_for_failed_polls(settings["LISTENER_HTTP_BIND"])
        process.terminate()
        lines = [json.loads(line) for line in process.stderr]
    faults = [line for line in lines if line["level"] in {"warning", "error"}]
    assert [line["event"] for line in faults] == ["service.project_unfit"]
    assert "SUPABASE_URL" in faults[0]["advice"]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for_failed_polls(address: str) -> None:
    """Wait until the service has tried in vain, by its metrics."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            text = httpx.get(f"http://{address}/readyz").text
            if "database" in text:
                return
        time.sleep(0.1)
    raise AssertionError(text)
