"""A container engine: Docker or Podman as they are, or Podman with base images made from Debian's packages and Node."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE, NODE_BASE = "docker.io/library/python:3.11-slim", "docker.io/library/node:22-slim"
BUILD_SECONDS, COMMAND_SECONDS = 600, 60
MISSING = (
    "make image-test needs a running Docker, or podman; as root on Debian, where neither can fetch images: "
    "apt-get install --no-install-recommends podman runc mmdebstrap"
)
LIKE_PYTHON_SLIM = (
    'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
    'ln -s python3 "$1/usr/bin/python"',
    "copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs",  # this machine may trust an authority of its own
)
"""Packages that make Debian with its Python 3.11 stand in for the base image."""
WITH_NODE = f"""
FROM {BASE}
COPY node /usr/local/bin/
COPY npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
"""


class MissingEngineError(Exception):
    """Nothing here builds and runs images; the message says what to install."""


@dataclass(frozen=True)
class Engine:
    """A command line that builds and runs images, and what this machine makes it need."""

    name: str
    command: tuple[str, ...]
    build_options: tuple[str, ...] = ()
    run_options: tuple[str, ...] = ()

    def call(self, *words: str, within: float = COMMAND_SECONDS, **environment: str) -> str:
        """Give what a command of the engine prints; fail with all that it said."""
        done = self.attempt(*words, within=within, **environment)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def attempt(
        self, *words: str, within: float = COMMAND_SECONDS, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine that may fail."""
        return subprocess.run(
            [*self.command, *words],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def build(self, folder: Path, tag: str, *options: str) -> None:
        """Build an image anew: no layer of an earlier build is used."""
        options = (*self.build_options, "--network=host", *options)
        self.call("build", *options, "--tag", tag, str(folder), within=BUILD_SECONDS)

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """Give what the engine knows of an image or a container."""
        return json.loads(self.call(kind, "inspect", name))[0]


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """Find an engine; raises `MissingEngineError`."""
    podman = bool(shutil.which("podman"))
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        yield Engine("Docker", ("docker",), ("--no-cache",))
    elif podman and shutil.which("mmdebstrap") and shutil.which("runc") and os.geteuid() == 0:
        with _podman_of_its_own() as engine:
            yield engine
    elif podman:
        yield Engine("Podman", ("podman",), ("--layers=false", "--format=docker"))
    else:
        raise MissingEngineError(MISSING)


@contextlib.contextmanager
def _podman_of_its_own() -> Iterator[Engine]:
    """Run Podman without systemd, without fetching images, on a store that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="image-", dir="/var/tmp") as folder:  # a /tmp may be in memory
        store = (f"--root={folder}/store", f"--runroot={folder}/run")
        engine = Engine(
            "Podman, on a base image of Debian's packages",
            ("podman", *store, "--runtime=runc", "--cgroup-manager=cgroupfs"),
            ("--layers=false", "--format=docker", "--isolation=chroot", "--pull=never"),
            ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"),  # the default may be more than is allowed here
        )
        _make_base(Path(folder, "base.tar"))
        engine.call("import", f"{folder}/base.tar", BASE, within=BUILD_SECONDS)
        _build_node_base(engine, Path(folder, "node"))
        try:
            yield engine
        finally:
            engine.call("rmi", "--all", "--force")


def _make_base(archive: Path) -> None:
    hooks = [f"--customize-hook={each}" for each in LIKE_PYTHON_SLIM]
    packages = "--include=python3,python3-pip,python3-venv,ca-certificates"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", packages, *hooks, "bookworm", str(archive)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    assert made.returncode == 0, made.stderr


def _build_node_base(engine: Engine, folder: Path) -> None:
    """Put this machine's Node and npm, newer than Debian's, into an image."""
    node, npm = (Path(shutil.which(name) or name).resolve() for name in ("node", "npm"))
    folder.mkdir()
    shutil.copy(node, folder / "node")
    shutil.copytree(npm.parents[1], folder / "npm")
    (folder / "Dockerfile").write_text(WITH_NODE, encoding="utf-8")
    engine.build(folder, NODE_BASE)
