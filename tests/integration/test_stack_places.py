"""The stack runs wherever its folder lies."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from listener.local.stack import running_stack
from listener.local.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.stack


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """Give a folder that only its owner can enter, with a path longer than sockets bear."""
    with tempfile.TemporaryDirectory(prefix="listener-places-") as name:
        folder = Path(name) / ("long" * 25)
        folder.mkdir(mode=0o700)
        yield folder
        shutil.rmtree(StateFolder(folder.resolve()).outside())


async def test_a_folder_that_is_closed_to_others_and_far_down_will_do(closed_folder: Path) -> None:
    """Root's home is one: PostgreSQL, which cannot run as root, then lives beside it, and keys stay inside."""
    async with running_stack(closed_folder) as stack, httpx.AsyncClient() as client:
        answer = await client.get(stack.url + "/rest/v1/", headers={"apikey": stack.keys.secret_key})
        assert answer.is_success
    assert (closed_folder / "secrets.json").exists()
    _empty(closed_folder)
    async with running_stack(closed_folder):  # a folder that was emptied is a new stack, whatever lies beside it
        pass


async def test_a_fault_within_the_block_comes_out_as_it_is(closed_folder: Path) -> None:
    """Not wrapped in the groups of the stack's own tasks."""
    with pytest.raises(ZeroDivisionError):
        async with running_stack(closed_folder):
            raise ZeroDivisionError


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
