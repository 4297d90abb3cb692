"""`listener migrate`: applies migrations to a database."""

from __future__ import annotations

from typing import Annotated

import typer

from listener.migrate.files import migrations_folder
from listener.migrate.migrator import migrate as apply
from listener.migrate.status import status_lines


def migrate(
    db_url: Annotated[str, typer.Option(envvar="DATABASE_URL", help="Connection string of the database.")],
    *,
    status: Annotated[
        bool, typer.Option("--status", help="Show which migrations are applied; change nothing.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Apply them in a transaction that is rolled back.")
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt", help="Rename your own table scheduled_jobs, and move its pending jobs into the new one."
        ),
    ] = False,
) -> None:
    """Apply the migrations that a database lacks, all or none; files that `supabase db push` applied count."""
    folder = migrations_folder()
    if status:
        for line in status_lines(db_url, folder):
            typer.echo(line)
        return
    report = apply(db_url, folder, adopt=adopt, dry_run=dry_run)
    for line in [
        *(f"applied {migration.path.name}" for migration in report.applied),
        *(f"adopted {row}" for row in report.adopted or []),
    ]:
        typer.echo(f"would have {line}" if dry_run else line)
    for warning in report.warnings:
        typer.echo(f"left alone: {warning}")
    if adopt and report.adopted is None:
        typer.echo("nothing to adopt: there is no scheduled_jobs table of your own")
    typer.echo(
        "nothing was changed" if dry_run else f"{len(report.applied)} applied, {len(report.present)} were there already"
    )
