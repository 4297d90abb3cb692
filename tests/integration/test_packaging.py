"""Source distribution and wheel carry the built dashboard: whoever installs them needs no npm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
FIRST = "listener/_dashboard/index.html"


def _build(kind: str, source: Path, into: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [UV, "build", f"--{kind}", "--python", sys.executable, "--out-dir", into, source]
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of an unpacked source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    done = _build("sdist", REPOSITORY, folder)
    assert done.returncode == 0, done.stderr
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has none
        packed.extractall(folder)  # noqa: S202 - what this test has built
    return folder / archive.name.removesuffix(".tar.gz")


def test_a_wheel_made_from_the_source_distribution_needs_no_npm(unpacked: Path, tmp_path: Path) -> None:
    """All files of the build are in both."""
    done = _build("wheel", unpacked, tmp_path, PATH="/nowhere")
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        inside = {name for name in packed.namelist() if name.startswith("listener/_dashboard/")}
    built = REPOSITORY / "listener" / "_dashboard"
    assert inside == {path.relative_to(REPOSITORY).as_posix() for path in built.rglob("*") if path.is_file()}
    assert FIRST in inside


def test_a_checkout_without_a_built_dashboard_builds_it_or_says_what_it_needs(unpacked: Path, tmp_path: Path) -> None:
    """No wheel lacks it without a word."""
    checkout = tmp_path / "checkout"
    shutil.copytree(unpacked, checkout, ignore=shutil.ignore_patterns("_dashboard"))
    done = _build("wheel", checkout, tmp_path, PATH="/nowhere")
    assert done.returncode != 0
    assert "the dashboard needs npm" in done.stderr
