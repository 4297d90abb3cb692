"""The console script `listener`. Each command has its own module, which is imported only when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from listener.distribution import installed_version
from listener.errors import ListenerError

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS: Final = (
    *("run", "up", "migrate", "migrations", "uninstall", "preview", "types", "token", "doctor", "demo"),
    *("jobs", "runs", "logs", "init"),
)
ANYTHING: Final = {"ignore_unknown_options": True, "allow_extra_args": True}
EXIT_FAULT: Final = 1


class LazyGroup(TyperGroup):
    """Finds command NAME as the function NAME of `listener.commands.NAME`: `run` must not load the embedded stack."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002, ANN401 - typer's signature
        """Return the names in the order of the documentation."""
        return [name for name in COMMANDS if find_spec(f"listener.commands.{name}")]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - typer's signature
        """Import the command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        alone = typer.Typer(add_completion=False)
        try:
            function: Callable[..., None] = getattr(import_module(f"listener.commands.{cmd_name}"), cmd_name)
        except ModuleNotFoundError as missing:  # the other commands, and help, must work without it
            alone.command(cmd_name, context_settings=ANYTHING)(_refusal(missing))
        else:
            alone.command(cmd_name)(function)
        return get_command(alone)


def _refusal(missing: ModuleNotFoundError) -> Callable[[], None]:
    def refuse() -> None:
        """Needs more to be installed."""
        raise missing

    return refuse


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's signature
    if wanted:
        typer.echo(f"listener {installed_version()}")
        raise typer.Exit


@app.callback()
def about(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version, and end.")
    ] = False,
) -> None:
    """Insert a row; it runs on time; watch it live."""


def main() -> None:
    """Run the command of the command line; an expected fault is one line on standard error and exit code 1."""
    try:
        app()
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("listener"):
            raise
        _end(f"{missing.name} is not installed: pip install 'supabase-job-listener[local]'")
    except ListenerError as fault:
        _end(str(fault))


def _end(message: str) -> None:
    sys.stderr.write(f"listener: {message}\n")
    sys.exit(EXIT_FAULT)


if __name__ == "__main__":
    main()
