"""The image, built once by a container engine, and containers of it on the session's stack."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from child_listener import free_port
from container_engine import Engine, MissingEngineError, engine
from patience import until
from supabase_project import connected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from supabase_project import Project

    from listener.local.stack import Stack

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
IMAGE, OWN_IMAGE = "supabase-job-listener-test", "supabase-job-listener-test-own"
AS_IN_COMPOSE = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
START_SECONDS = 30.0
FIGURES = pytest.StashKey[dict[str, str]]()


@dataclass(frozen=True)
class Container:
    """A listener in a container on the host's network."""

    engine: Engine
    name: str
    url: str

    def ready(self) -> bool:
        """Whether `/readyz` says so."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz").is_success
        return False

    def logs(self) -> str:
        """Give all that the listener has said."""
        done = self.engine.attempt("logs", self.name)
        return done.stdout + done.stderr

    def status(self) -> dict[str, str]:
        """Give what the kernel says of the listener's process."""
        reported = self.engine.call("exec", self.name, "cat", "/proc/1/status")
        return dict(line.split(":\t", 1) for line in reported.splitlines() if ":\t" in line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the stack and an engine, and takes a minute."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.image)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured."""
    for name, value in config.stash.get(FIGURES, {}).items():
        terminalreporter.write_line(f"{name:<24}{value}")


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, str]:
    """Take what is measured, by name."""
    return pytestconfig.stash.setdefault(FIGURES, {})


@pytest.fixture(scope="session")
def container_engine(figures: dict[str, str]) -> Iterator[Engine]:
    """Give the engine, or end the run with what to install."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(engine())
        except MissingEngineError as error:
            pytest.exit(str(error), returncode=1)
        figures["engine"] = found.name
        yield found


@pytest.fixture(scope="session")
def image(container_engine: Engine, figures: dict[str, str]) -> Iterator[str]:
    """Build the image of this checkout."""
    began = time.monotonic()
    container_engine.build(REPOSITORY, IMAGE)
    figures["built in"] = f"{time.monotonic() - began:.1f} s"
    figures["size with its base"] = f"{container_engine.inspect('image', IMAGE)['Size'] / 1e6:.0f} MB"
    yield IMAGE
    container_engine.call("rmi", "--force", IMAGE)


@pytest.fixture(scope="session")
def own_image(container_engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build what docs/operations.md advises for handlers of one's own, on the image, with the package in `own`."""
    page = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    (advice,) = re.findall(r"```dockerfile\n(.*?)```", page, re.DOTALL)
    dockerfile = tmp_path_factory.mktemp("own") / "Dockerfile"
    dockerfile.write_text(advice.replace("FROM supabase-job-listener\n", f"FROM {image}\n"), encoding="utf-8")
    container_engine.build(HERE / "own", OWN_IMAGE, "--file", str(dockerfile))
    yield OWN_IMAGE
    container_engine.call("rmi", "--force", OWN_IMAGE)


@pytest.fixture
def project(stack: Stack) -> Iterator[Project]:
    """Give the project, empty."""
    with connected(stack) as project:
        yield project


@pytest.fixture
def start(container_engine: Engine, stack: Stack) -> Iterator[Callable[[str], Container]]:
    """Give what starts a container of an image and waits until it is ready."""
    with contextlib.ExitStack() as started:
        yield lambda image: started.enter_context(_running(container_engine, image, stack))


@contextlib.contextmanager
def _running(engine: Engine, image: str, stack: Stack) -> Iterator[Container]:
    port = free_port()
    container = Container(engine, f"{image}-{port}", f"http://127.0.0.1:{port}")
    environment = {
        "SUPABASE_URL": stack.url,
        "SUPABASE_SECRET_KEY": stack.keys.secret_key,
        "LISTENER_HTTP_BIND": f"127.0.0.1:{port}",
    }
    named = [f"--env={name}" for name in environment]
    own_check = "--no-healthcheck"  # the tests make it: Podman leaves that to systemd
    options = (*engine.run_options, "--network=host", own_check, *AS_IN_COMPOSE, *named)
    engine.call("run", "--detach", "--name", container.name, *options, image, **environment)
    try:
        until(container.ready, container.logs, START_SECONDS)
        yield container
    finally:
        engine.call("rm", "--force", container.name)
