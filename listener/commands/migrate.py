"""`listener migrate`: applies migrations to a database."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from listener.migrate.migrator import apply_migrations, migrations_folder, migrations_in


def migrate(
    db_url: Annotated[str, typer.Option(envvar="DATABASE_URL", help="Connection string of the database.")],
    folder: Annotated[Path | None, typer.Option(help="Folder of the migrations; by default the project's own.")] = None,
) -> None:
    """Apply the migrations that a database has not seen; what `supabase db push` applied counts."""
    source = folder or migrations_folder()
    applied = apply_migrations(db_url, source)
    for migration in applied:
        typer.echo(f"applied {migration.path.name}")
    typer.echo(f"{len(applied)} applied, {len(migrations_in(source)) - len(applied)} were there already")
