"""`listener doctor`: reports faults, and how to fix them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import typer

from listener.doctor import Finding, examine
from listener.observability.events import configure_logging
from listener.settings import read_settings

if TYPE_CHECKING:
    from listener.settings import Settings


def doctor() -> None:
    """Check URL, key, migrations, grants, handlers and Realtime; exit with 1 if anything is wrong."""
    settings = read_settings()
    configure_logging(settings.log_format, "critical")  # the libraries' log lines would stand between the findings
    raise typer.Exit(0 if anyio.run(_report, settings) else 1)


async def _report(settings: Settings) -> bool:
    is_well = True
    async for finding in examine(settings):
        _print(finding)
        is_well = is_well and finding.is_well
    return is_well


def _print(finding: Finding) -> None:
    word, colour = ("ok", typer.colors.GREEN) if finding.is_well else ("wrong", typer.colors.RED)
    typer.echo(f"{typer.style(f'{word:<6}', fg=colour)}{finding.subject:<26}{finding.what}")
    if finding.fix:
        typer.echo(f"{'':<6}{'to fix it:':<26}{finding.fix}")
