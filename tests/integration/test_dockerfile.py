"""The image does what it should, as far as that shows without an engine: its steps are carried out in a folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from shipped import SHIPPED

from listener.settings import setting_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listener.local.stack import Stack

pytestmark = pytest.mark.stack
REPOSITORY = Path(__file__).parents[2]
NO_CACHES = shutil.ignore_patterns("__pycache__", "node_modules", "_dashboard")


@dataclass
class Image:
    """The result of a build: the last stage's files below `root`, and how it is to be run."""

    root: Path
    base: Path
    stage: str = ""
    folder: str = "/"
    variables: dict[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)

    def inside(self, text: str) -> str:
        """Move the absolute paths of a text below `root`."""
        return re.sub(r"(?<![\w:/.])/(?=(src|opt|app)\b)", f"{self.root}/", text)

    def environment(self, **more: str) -> dict[str, str]:
        """The image's variables, and no others."""
        path = f"{self.inside(self.variables.get('PATH', ''))}:{self.base}/bin:/usr/bin:/bin"
        return {**self.variables, "PATH": path, "HOME": str(self.root), **more}

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the image."""
        where = Path(self.inside(self.folder))
        return subprocess.run(
            command, cwd=where, env=self.environment(**more), capture_output=True, text=True, timeout=60, check=False
        )


def _instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (REPOSITORY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in lines) if name]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Build it, with a fresh environment of this Python in the place of the base image's."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", folder / "base"], check=True)
    image = Image(folder / "root", folder / "base")
    for name, rest in _instructions():
        _carry_out(image, name, rest)
    return image


def _carry_out(image: Image, name: str, rest: str) -> None:
    if name == "FROM":
        _begin_stage(image, rest.partition(" AS ")[2])
    elif name == "WORKDIR":
        image.folder = rest
        Path(image.inside(rest)).mkdir(parents=True, exist_ok=True)
    elif name == "ENV":
        image.variables.update(part.split("=", 1) for part in shlex.split(rest))
    elif name == "COPY":
        _copy(image, rest.split())
    elif name == "RUN":
        # with the cache that the project's own installation has filled: an image has none
        done = image.run("sh", "-ec", image.inside(rest.replace(" --no-cache ", " ")), **_caches())
        assert done.returncode == 0, f"{rest}\n{done.stdout}{done.stderr}"
    else:
        image.last[name] = rest


def _begin_stage(image: Image, name: str) -> None:
    """Put the stage before aside; the next has the same paths, because scripts name the interpreter by its path."""
    if image.root.exists():
        image.root.rename(image.root.with_name(image.stage))
    image.root.mkdir()
    image.stage, image.folder, image.variables = name, "/", {}


def _copy(image: Image, words: list[str]) -> None:
    from_stage = words[0].startswith("--from=")
    *sources, target = words[1:] if from_stage else words
    for source in sources:
        stage = words[0].removeprefix("--from=")
        origin = image.root.with_name(stage) / source.lstrip("/") if from_stage else REPOSITORY / source
        onto = Path(image.inside(target)) if target.startswith("/") else Path(image.inside(image.folder)) / target
        if origin.is_dir():
            ignore = None if from_stage else NO_CACHES
            shutil.copytree(origin, onto, symlinks=True, ignore=ignore, dirs_exist_ok=True)
        else:
            if target.endswith("/"):
                onto.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, onto)


def _caches() -> dict[str, str]:
    """The settings of this machine's installers for indexes and caches."""
    names = [name for name in os.environ if name.startswith(("UV_", "PIP_", "SSL_")) or "proxy" in name.lower()]
    return {"HOME": str(Path.home()), **{name: os.environ[name] for name in names}}


def test_the_command_line_is_there(image: Image):
    """And the commands of the embedded stack say that it is not."""
    assert "run" in image.run("listener", "--help").stdout
    up = image.run("listener", "up")
    assert up.returncode == 1
    assert "not installed" in up.stderr


def test_the_image_runs_what_was_copied_and_not_this_checkout(image: Image):
    """The package is installed, not linked."""
    reported = image.run(
        "python", "-c", "import listener, listener.handlers as shipped; print(listener.__file__, shipped.__file__)"
    ).stdout
    assert all(path.startswith(str(image.root)) for path in reported.split())


def test_handlers_and_migrations_are_inside(image: Image):
    """The image has the handlers that the service imports, and the files that `listener migrate` applies."""
    names = "from listener.handler_api.registry import Registry; print(*Registry.load(['handlers']).names)"
    assert image.run("python", "-c", names).stdout.split() == SHIPPED
    listed = (
        "from listener.migrate.files import *; print(*[each.path.name for each in migrations_in(migrations_folder())])"
    )
    migrations = sorted(path.name for path in (REPOSITORY / "migrations").glob("*.sql"))
    assert image.run("python", "-c", listed).stdout.split() == migrations


def test_the_dashboard_is_inside(image: Image):
    """Built in a stage of its own: the checkout's copy stays out, and so does npm."""
    found = "from listener.app.dashboard import BUILT; print(BUILT, *sorted(path.name for path in BUILT.iterdir()))"
    folder, *names = image.run("python", "-c", found).stdout.split()
    assert folder.startswith(str(image.root))
    assert {"assets", "index.html"} <= set(names)


def test_without_settings_it_says_what_is_missing(image: Image):
    """One line each, and no traceback."""
    done = image.run(*json.loads(image.last["CMD"]))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "listener: SUPABASE_URL is not set",
        "SUPABASE_SECRET_KEY or SUPABASE_SERVICE_ROLE_KEY is not set",
    ]


def test_it_runs_against_a_project_is_healthy_and_stops_at_sigterm(image: Image, stack: Stack):
    """With the command, the variables and the health check of the image; only the port is another."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    variables = {"SUPABASE_URL": stack.url, "SUPABASE_SECRET_KEY": stack.keys.secret_key}
    environment = image.environment(**variables, LISTENER_HTTP_BIND=_at(port, image.variables["LISTENER_HTTP_BIND"]))
    command = [image.inside("/opt/listener/bin/listener"), *json.loads(image.last["CMD"])[1:]]
    with subprocess.Popen(command, cwd=image.inside("/app"), env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while _health(image, port) != 0:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "not healthy"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert b'"event": "service.starting"' in process.stderr.read(), "logs are JSON"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_distinguishes_well_from_ill(image: Image, status: int, code: int):
    """By its exit code, which is all that an engine looks at."""
    with _answering(status) as port:
        assert _health(image, port) == code


def test_the_health_check_fails_where_nothing_answers(image: Image):
    """A process that hangs before it listens."""
    with _answering(200) as port:
        pass
    assert _health(image, port) == 1


def _at(port: str, text: str) -> str:
    assert "8787" in text
    return text.replace("8787", port)


def _health(image: Image, port: str) -> int:
    command = json.loads(_at(port, image.last["HEALTHCHECK"].partition("CMD ")[2]))
    return image.run(*command).returncode


@contextmanager
def _answering(status: int) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield str(server.server_port)
        finally:
            server.shutdown()
            thread.join()


def test_it_does_not_run_as_root(image: Image):
    """By number, so that an orchestrator can see it."""
    assert int(image.last["USER"].split(":")[0]) > 0


def test_the_build_context_has_what_is_copied_and_nothing_secret():
    """All is excluded; what is copied is named."""
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    let_in = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    copied = {
        source
        for name, rest in _instructions()
        if name == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert let_in == copied


def test_compose_reads_the_settings_and_waits_for_the_drain():
    """Longer than runs may take to finish."""
    service = yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8"))["services"]["listener"]
    assert service["env_file"] == ".env"
    assert service["build"] == "."
    drain_seconds = setting_names()["LISTENER_DRAIN_SECONDS"][1]
    assert int(service["stop_grace_period"].removesuffix("s")) >= drain_seconds + 5


def test_the_example_of_an_environment_names_settings_that_exist():
    """Commented ones, too."""
    text = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    known = {name for names in setting_names() for name in names.split(" or ")}
    assert set(re.findall(r"^(?:# )?([A-Z_]+)=", text, re.MULTILINE)) <= known
