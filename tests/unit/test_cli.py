"""The console script loads what a command needs, no more, and says in one line what it lacks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files

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
