"""`listener migrations export DIR`: the files, for `supabase/migrations`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Literal

import typer

from listener.migrate.files import export, migrations_folder


def migrations(
    _action: Annotated[Literal["export"], typer.Argument(metavar="export", help="Copy the files.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to, such as supabase/migrations.")],
) -> None:
    """Copy the migrations into a project, for `supabase db push`; a file that is there already stays."""
    written = export(migrations_folder(), folder)
    for path in written:
        typer.echo(f"wrote {path}")
    if not written:
        typer.echo(f"{folder} has all of them already")
