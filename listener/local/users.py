"""Users of the embedded stack: it has no sign-up; a name is enough."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg

from listener.local.keys import user_email, user_id

if TYPE_CHECKING:
    from listener.local.state import StateFolder

ADD = """
insert into auth.users (id, aud, role, email) values (%s, 'authenticated', 'authenticated', %s)
on conflict do nothing
"""


def remember_user(state: StateFolder, name: str) -> None:
    """Add the user to `auth.users`, so that foreign keys to it hold; nothing is done while the stack is down."""
    port = state.last_ports().get("postgres")
    password = state.existing_keys().postgres_password
    with (
        contextlib.suppress(psycopg.OperationalError),
        psycopg.connect(
            host="127.0.0.1", port=port, dbname="postgres", user="postgres", password=password, connect_timeout=2
        ) as connection,
    ):
        connection.execute(ADD, (user_id(name), user_email(name)))
