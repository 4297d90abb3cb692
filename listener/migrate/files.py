"""The files of `migrations/`: what each executes and makes in `public`, and their copies in `supabase/migrations`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from listener.errors import ListenerError

FILE_NAME = re.compile(r"(?P<version>\d{14})_(?P<name>[a-z0-9_]+)\.sql")
NAMING = "a migration is called YYYYMMDDHHMMSS_verb_object.sql"
VERSION = "%Y%m%d%H%M%S"
BODY = re.compile(r"\$file\$(.*?)\$file\$", re.DOTALL)
TABLE = re.compile(r"create table (?:if not exists )?(public\.\w+)")
FUNCTION = re.compile(r"create or replace function (public\.\w+)\(([^()]*)\)")
ARGUMENT = re.compile(r"\w+ (.*?)(?: default .*)?", re.DOTALL)


class MigrationError(ListenerError):
    """A migration cannot be applied: its file (or "the database") and why."""

    def __init__(self, subject: str, reason: str) -> None:
        self.subject, self.reason = subject, reason
        super().__init__(f"{subject}: {reason}")


@dataclass(frozen=True)
class Migration:
    """One file, which applies what it executes once and records that in `job_scheduler.migrations`."""

    version: str
    name: str
    path: Path

    @property
    def text(self) -> str:
        """The text of the file."""
        return self.path.read_text(encoding="utf-8")

    @property
    def body(self) -> str:
        """The statements that it executes where it has not been applied.

        Raises:
            MigrationError: The file has no such part, so it could not be recorded.
        """
        found = BODY.search(self.text)
        if found is None:
            raise MigrationError(self.path.name, "executes no $file$ … $file$; `make migration` writes such files")
        return found[1]

    @property
    def checksum(self) -> str:
        """SHA-256 of the body, as the file itself records it."""
        return hashlib.sha256(self.body.encode()).hexdigest()


def migrations_folder() -> Path:
    """Return the project's own migrations: in the installed package, or in the checkout."""
    package = Path(__file__).parents[1]
    packed = package / "_migrations"
    return packed if packed.is_dir() else package.parent / "migrations"


def migrations_in(folder: Path) -> list[Migration]:
    """Return the migrations of `folder`, the oldest first.

    Raises:
        MigrationError: A file's name has no version, or two have the same.
    """
    found = [_migration(path) for path in sorted(folder.glob("*.sql"))]
    for earlier, later in pairwise(found):
        if earlier.version == later.version:
            raise MigrationError(later.path.name, f"has the same version as {earlier.path.name}")
    return found


def tables_made(text: str) -> list[str]:
    """Return the tables of `public` that `text` creates, in their order."""
    return TABLE.findall(text)


def functions_made(text: str) -> list[str]:
    """Return the functions of `public` that `text` creates, as in `public.retry_job(bigint)`."""
    return list(dict.fromkeys(f"{name}({_types(arguments)})" for name, arguments in FUNCTION.findall(text)))


def export(folder: Path, destination: Path) -> list[Path]:
    """Copy the migrations of `folder` to a project's `supabase/migrations`; return the copies that were written.

    A copy is called like its file with job_scheduler before the name. It gets a later version where the project has
    later files, because `supabase db push` refuses files that come before those it has pushed.

    Raises:
        MigrationError: A copy is there with another content.
    """
    destination.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for migration in migrations_in(folder):
        ending = f"_job_scheduler_{migration.name}.sql"
        copies = [path for path in destination.glob(f"*{ending}") if path.read_text(encoding="utf-8") != migration.text]
        if copies:
            raise MigrationError(str(copies[0]), "differs from the file of this version; move it away, or restore it")
        if not any(destination.glob(f"*{ending}")):
            path = destination / f"{_version_after(destination, migration.version)}{ending}"
            path.write_text(migration.text, encoding="utf-8")
            written.append(path)
    return written


def _version_after(folder: Path, version: str) -> str:
    """Return `version`, or a second after the newest of `folder` where that is later."""
    newest = max((found["version"] for path in folder.iterdir() if (found := FILE_NAME.match(path.name))), default="")
    if newest < version:
        return version
    try:
        return f"{datetime.strptime(newest, VERSION) + timedelta(seconds=1):{VERSION}}"  # noqa: DTZ007 - a version only
    except ValueError:  # a number that is no time is as good to the Supabase CLI
        return str(int(newest) + 1)


def _migration(path: Path) -> Migration:
    named = FILE_NAME.fullmatch(path.name)
    if named is None:
        raise MigrationError(path.name, NAMING)
    return Migration(named["version"], named["name"], path)


def _types(arguments: str) -> str:
    found = (ARGUMENT.fullmatch(argument.strip()) for argument in arguments.split(","))
    return ", ".join(argument[1] for argument in found if argument)
