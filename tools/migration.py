"""Writes the difference between `schema/` and `migrations/` as a new migration: `make migration NAME=verb_object`.

`--first` writes all of migrations/ anew from schema/, and their checksums: only while nothing has been released.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from anyio.from_thread import start_blocking_portal
from outline import Key, Outline, changed, outline, outline_of
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from wrapping import APPLIED, INSTALLED, preflight, wrapped

from listener.errors import ListenerError
from listener.local.stack import Stack, temporary_stack
from listener.migrate.files import migrations_folder, migrations_in
from listener.migrate.migrator import apply_migrations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "schema"
RELEASED = ROOT / "tests" / "sql" / "released.sha256"
SUBJECTS = {
    "20261130090000_create_tables": ["00_schema.sql", "10_tables"],
    "20261130090100_check_definition": ["20_definition"],
    "20261130090200_guard_lifecycle": ["30_lifecycle"],
    "20261130090300_add_service": ["40_service"],
    "20261130090400_add_clients_and_tenancy": ["50_clients", "60_tenancy"],
    "20261130090450_add_sources": ["62_sources"],
    "20261130090460_add_deliveries": ["64_handlers"],
    "20261130090500_leave_own_meetings_alone": ["65_own_meetings.sql"],
    "20261130090550_add_dashboard": ["80_dashboard"],
    "20261130090560_add_alerts": ["82_alerts"],
    "20261130090570_add_watch": ["85_watch"],
    "20261130090600_create_triggers": ["90_triggers.sql", "92_workspace_triggers.sql"],
    "20261130090700_add_meetings": ["67_meetings.sql", "70_meetings", "95_meeting_triggers.sql"],
}
LEDGER = "00_ledger.sql"  # stands before the first file, which needs it
LEFT_ALONE = {"20261130090700_add_meetings": "job_scheduler.meetings_left_alone()"}
TOKEN = re.compile(
    r"""
    --[^\n]*
  | /\*.*?\*/
  | (?<![a-z0-9_])e'(?:[^'\\]|\\.|'')*'
  | '(?:[^']|'')*'
  | "(?:[^"]|"")*"
  | (?P<dollar>\$(?:[a-z_][a-z0-9_]*)?\$).*?(?P=dollar)
  | (?P<semicolon>;)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
NAME = r"(?:public|job_scheduler)\.\w+"
MAKES = (
    ("function", re.compile(rf"create or replace function ({NAME})\(")),
    ("view", re.compile(rf"create or replace view ({NAME})")),
    ("table", re.compile(rf"create table (?:if not exists )?({NAME})")),
    ("table", re.compile(rf"alter table ({NAME}) (?:enable row|replica)")),
    ("comment", re.compile(r"comment on (\w+ [\w.]+) is")),
    ("publication", re.compile(rf"alter publication \w+ add table ({NAME})")),
)
ON_TABLE = (
    ("trigger", re.compile(rf"create (?:or replace )?trigger (\w+)\b.*?\bon ({NAME})", re.DOTALL)),
    ("policy", re.compile(rf"(?:create|drop) policy (?:if exists )?(\w+)\s+on ({NAME})")),
    ("index", re.compile(rf"create (?:unique )?index (?:if not exists )?(\w+)\s+on ({NAME})")),
)
GRANT = re.compile(r"(?:grant|revoke)\b.*?\bon (.*?)\s(?:to|from)\s", re.DOTALL)
GRANTED = {"function", "table", "view"}  # a new one has the defaults of its owner until it is revoked
REMARK = re.compile(r"[ \t]*--[^\n]*")


class UnwritableError(ListenerError):
    """A difference that no statement of `schema/` makes: its name, or the database's message."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"write it by hand: {reason}")


def statements_of(text: str) -> list[str]:
    """Return the statements of `text` with the comments before and behind them."""
    found: list[str] = []
    start = 0
    for token in TOKEN.finditer(text):
        if token["semicolon"] and token.start() >= start:
            remark = REMARK.match(text, token.end())
            end = remark.end() if remark else token.end()
            found.append(text[start:end].strip())
            start = end
    return found


def makes(statement: str) -> set[Key]:
    """Return the object that `statement` makes: kind and name, a function's without its arguments."""
    code = re.sub(r"^--.*\n", "", statement, flags=re.MULTILINE).strip()
    keys = {(kind, name) for kind, pattern in MAKES for name in pattern.findall(code)}
    for kind, pattern in ON_TABLE:
        for name, table in pattern.findall(code):
            keys.add((kind, f"{table.split('.')[0]}.{name}" if kind == "index" else f"{table}.{name}"))
    if (given := GRANT.match(code)) is not None:
        target = given[1].removeprefix("schema ")
        keys |= {("grant", name) for name in re.findall(NAME, target) or [target]}
    if code.startswith("insert into job_scheduler.limits"):
        keys.add(("limit", ""))
    return keys


def maker_of(key: Key) -> Key:
    """Return how `makes` calls it."""
    kind, name = key
    bare = name.split("(")[0]
    if kind == "grant":
        return kind, ".".join(bare.split(".")[:2])
    return kind, "" if kind == "limit" else bare


def difference(released: Outline, wanted: Outline, text: str) -> str:
    """Return the statements that make `wanted` of `released`, as `text` has them, and those that drop what is gone."""
    keys = changed(released, wanted)
    fresh = {maker_of(key) for key in keys if key in wanted or key[0] == "grant"}
    fresh |= {maker_of(("grant", name)) for kind, name in keys if kind in GRANTED and (kind, name) not in released}
    gone = [key for key in keys if key not in wanted]
    added = [key for key in keys if key[0] == "column" and key not in released]
    tables = {name for kind, name in released if kind == "table"}
    parts = [_dropped(key) for key in gone if key[0] in {"trigger", "policy", "index"}]
    parts += [_added(name, wanted["column", name]) for _, name in added if name.rpartition(".")[0] in tables]
    parts += [statement for statement in statements_of(text) if makes(statement) & fresh]
    parts += [_dropped(key) for key in gone if key[0] in {"comment", "view", "function"}]
    return "\n\n".join(part for part in parts if part) + "\n"


def _added(column: str, definition: str) -> str:
    table, _, name = column.rpartition(".")
    return f"alter table {table} add column if not exists {name} {definition};"


def _dropped(key: Key) -> str:
    kind, name = key
    table, _, part = name.rpartition(".")
    if kind in {"trigger", "policy"}:
        return f"drop {kind} if exists {part} on {table};"
    return f"comment on {name} is null;" if kind == "comment" else f"drop {kind} if exists {name};"


def schema_files(parts: Iterable[str] = ("",), folder: Path = SCHEMA) -> list[Path]:
    """Return the files of `schema/`, or of these parts of it, in the order in which they are applied."""
    found = (path for part in parts for path in [folder / part, *(folder / part).rglob("*.sql")] if path.is_file())
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def schema_text(parts: Iterable[str] = ("",), folder: Path = SCHEMA) -> str:
    """Return their text."""
    return "\n".join(path.read_text(encoding="utf-8") for path in schema_files(parts, folder))


def load(url: str, text: str) -> None:
    """Apply `text` to the database at `url`."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())


def write(released_url: str, wanted_url: str, text: str) -> str:
    """Return the migration that leads from one database to the other.

    Args:
        released_url: The database that migrations/ made; nothing of it is changed.
        wanted_url: The database that `text` made.
        text: All of schema/.

    Raises:
        UnwritableError: Something differs that the statements of schema/ do not change, such as a column's type.
    """
    wanted = outline(wanted_url)
    with psycopg.connect(released_url) as connection:
        written = difference(outline_of(connection), wanted, text)
        try:
            if written.strip():
                connection.execute(written.encode())
        except psycopg.Error as fault:
            raise UnwritableError(str(fault)) from fault
        left = changed(outline_of(connection), wanted)
        connection.rollback()
    if left:
        raise UnwritableError(", ".join(f"{kind} {name}" for kind, name in left))
    return written


@contextmanager
def made_database(stack: Stack) -> Iterator[str]:
    """Make a database as a new Supabase project has it; yield the URL for role postgres; drop it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = make_conninfo(stack.admin_dsn, dbname=name)
    with psycopg.connect(stack.admin_dsn, autocommit=True) as server:
        server.execute(sql.SQL("create database {} owner postgres template template0").format(sql.Identifier(name)))
    try:
        with psycopg.connect(admin) as connection:
            connection.execute(files("listener.local").joinpath("bootstrap.sql").read_bytes())
        parts = conninfo_to_dict(stack.database_url)
        yield f"postgresql://postgres:{parts['password']}@{parts['host']}:{parts['port']}/{name}"
    finally:
        with psycopg.connect(stack.admin_dsn, autocommit=True) as server:
            server.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def write_first_release() -> None:
    """Write migrations/ anew from schema/, with their checksums."""
    folder = migrations_folder()
    for path in folder.glob("*.sql"):
        path.unlink()
    bodies = {file: schema_text(parts) for file, parts in SUBJECTS.items()}
    check = preflight("\n".join(bodies.values()), INSTALLED, aside="public.meetings")
    start = f"{check}\n{schema_text([LEDGER])}\n"
    for file, body in bodies.items():
        version, _, name = file.partition("_")
        text = wrapped(version, name, body, LEFT_ALONE.get(file, "null"))
        (folder / f"{file}.sql").write_text(start + text, encoding="utf-8")
        start = ""
    RELEASED.write_text(checksums(folder), encoding="utf-8")


def file_of(version: str, name: str, body: str) -> str:
    """Return the text of a migration that comes after those there are."""
    released = "\n".join(migration.body for migration in migrations_in(migrations_folder()))
    check = preflight(body, APPLIED.format(version=version), released=released)
    return f"{check}\n{wrapped(version, name, body)}"


def checksums(folder: Path) -> str:
    """Return the checksums of the migrations, as sha256sum prints them."""
    lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.glob("*.sql")))
    return "".join(lines)


def write_next(name: str) -> None:
    """Write the next migration, unless there is nothing to write."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(temporary_stack()) as stack,
        made_database(stack) as released,
        made_database(stack) as wanted,
    ):
        apply_migrations(released, migrations_folder())
        load(wanted, schema_text())
        text = write(released, wanted, schema_text())
    if text.strip():
        version = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
        path = migrations_folder() / f"{version}_{name}.sql"
        path.write_text(file_of(version, name, text), encoding="utf-8")
        print(path.relative_to(ROOT))
    else:
        print("migrations/ and schema/ say the same")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", help="verb_object, such as end_runs_by_key")
    parser.add_argument("--first", action="store_true")
    asked = parser.parse_args()
    if asked.first:
        write_first_release()
    elif asked.name is None or not re.fullmatch(r"[a-z0-9_]+", asked.name):
        sys.exit("make migration NAME=verb_object")
    else:
        try:
            write_next(asked.name)
        except UnwritableError as fault:
            sys.exit(str(fault))


if __name__ == "__main__":
    main()
