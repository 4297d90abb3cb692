"""`listener up`: the embedded stack and the listener, until Ctrl-C."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import typer

StateDir = Annotated[Path, typer.Option(envvar="LISTENER_STATE_DIR", help="Where database, keys and logs lie.")]


def up(
    state_dir: StateDir = Path(".listener"),
    env_file: Annotated[
        Path | None,
        typer.Option(
            help="Holds SUPABASE_URL, keys and DATABASE_URL while the stack is up; by default env in the state folder."
        ),
    ] = None,
    *,
    no_listener: Annotated[
        bool, typer.Option("--no-listener", help="Start the stack alone; run `listener run` yourself.")
    ] = False,
    direct: Annotated[
        bool, typer.Option("--direct", help="Let the listener speak to PostgreSQL itself: LISTENER_DATABASE_URL.")
    ] = False,
) -> None:
    """Start PostgreSQL, PostgREST, Realtime and the listener on loopback; Ctrl-C stops them."""
    from listener.local.up import stay_up  # noqa: PLC0415 - help must not need what only the stack needs

    anyio.run(partial(stay_up, state_dir, env_file, with_listener=not no_listener, direct=direct))
