"""`listener uninstall`: the SQL that removes everything."""

from __future__ import annotations

import typer

from listener.migrate.files import migrations_folder, migrations_in
from listener.migrate.removal import removal


def uninstall() -> None:
    """Print the SQL that removes the job scheduler from a database: `listener uninstall | psql "$DATABASE_URL"`."""
    typer.echo(removal(migrations_in(migrations_folder())), nl=False)
