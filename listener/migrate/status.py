"""The migrations that a database has applied, as a table for people."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from listener.migrate.files import migrations_in
from listener.migrate.migrator import connected, ledger

if TYPE_CHECKING:
    from pathlib import Path

    from listener.migrate.files import Migration
    from listener.migrate.migrator import Entry

HEAD = ("version", "name", "applied", "checksum")


def status_lines(database_url: str, folder: Path) -> list[str]:
    """Return a line for each migration of `folder` or of the database's ledger, below a head.

    Raises:
        MigrationError: The database cannot be reached or is too old.
    """
    with connected(database_url) as connection:
        applied = ledger(connection)
    known = {migration.version: migration for migration in migrations_in(folder)}
    rows = [HEAD]
    for version in sorted(known.keys() | applied.keys()):
        entry, migration = applied.get(version), known.get(version)
        if entry is None:
            rows.append((version, known[version].name, "no", ""))
            continue
        when = f"{entry.applied_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        rows.append((version, entry.name, when, _checked(entry, migration)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _checked(entry: Entry, migration: Migration | None) -> str:
    if migration is None:
        return "of a newer version"
    return "ok" if entry.checksum == migration.checksum else "differs"
