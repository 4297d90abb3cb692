"""`listener token`: prints the token of a signed-in user of the embedded stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StateDir = Annotated[Path, typer.Option(envvar="LISTENER_STATE_DIR", help="State folder of the stack.")]


def token(
    user: Annotated[str, typer.Option(help="Name of the user; the same name is always the same user.")],
    state_dir: StateDir = Path(".listener"),
) -> None:
    """Print a JWT for a user of the embedded stack, as Supabase Auth would issue it."""
    from listener.local.keys import user_token  # noqa: PLC0415 - help must not need what only the stack needs
    from listener.local.state import StateFolder  # noqa: PLC0415
    from listener.local.users import remember_user  # noqa: PLC0415

    state = StateFolder(state_dir.resolve())
    keys = state.existing_keys()
    typer.echo(user_token(keys, user, remember_user(state, user)))
