"""`listener demo`: runs jobs of every kind on a stack of its own, live in the terminal."""

from __future__ import annotations

import anyio
import typer

from listener.demo.show import play


def demo() -> None:
    """Start a stack, run jobs of every kind, show them live, check their outcomes, and leave nothing behind."""
    raise typer.Exit(anyio.run(play))
