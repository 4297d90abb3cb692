"""Users of the embedded stack: those that `listener token` names, and two to sign in as, with a workspace."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from listener.local.auth.passwords import fits, hashed
from listener.local.keys import USERS, user_email, user_id

if TYPE_CHECKING:
    from listener.local.keys import Keys
    from listener.local.stack import Stack
    from listener.local.state import StateFolder

ADD = """
insert into auth.users (id, aud, role, email) values (%s, 'authenticated', 'authenticated', %s)
on conflict do nothing
"""
ADD_DEMO = """
insert into auth.users (id, aud, role, email, encrypted_password, email_confirmed_at)
values (%s, 'authenticated', 'authenticated', %s, %s, now())
on conflict do nothing
returning id
"""
ADD_WORKSPACE = (
    "insert into public.job_workspaces (id, name, created_by) values (%s, 'Demo', %s) on conflict do nothing"
)
ADD_MEMBER = """
insert into public.job_workspace_members (workspace_id, user_id, role) values (%s, %s, %s) on conflict do nothing
"""
DEMO_ROLES = {"demo": "admin", "viewer": "viewer"}
DEMO_WORKSPACE = uuid.uuid5(USERS, "workspace Demo")
PASSWORD_BYTES = 10


@dataclass(frozen=True)
class DemoUser:
    """A user to sign in as, and the role in the workspace."""

    email: str
    password: str
    role: str


def remember_user(state: StateFolder, name: str) -> uuid.UUID:
    """Return the id of a user, whom this adds to `auth.users` unless the stack is down: foreign keys to it must hold.

    A user who signed up with the address is this user.
    """
    port = state.last_ports().get("postgres")
    password = state.existing_keys().postgres_password
    with (
        contextlib.suppress(psycopg.OperationalError),
        psycopg.connect(
            host="127.0.0.1", port=port, dbname="postgres", user="postgres", password=password, connect_timeout=2
        ) as connection,
    ):
        connection.execute(ADD, (user_id(name), user_email(name)))
        found = connection.execute("select id from auth.users where email = %s", [user_email(name)]).fetchone()
        if found is not None:
            return uuid.UUID(str(found[0]))
    return user_id(name)


def add_demo_users(stack: Stack) -> list[DemoUser]:
    """Add two users with a workspace, unless they are there; returns those whose password is still the first one."""
    with psycopg.connect(stack.database_url) as connection:
        for name, role in DEMO_ROLES.items():
            values = (user_id(name), user_email(name), hashed(demo_password(stack.keys, name)))
            if connection.execute(ADD_DEMO, values).fetchone() is not None:
                connection.execute(ADD_WORKSPACE, (DEMO_WORKSPACE, user_id("demo")))
                connection.execute(ADD_MEMBER, (DEMO_WORKSPACE, user_id(name), role))
        found = connection.execute(
            "select email, encrypted_password from auth.users where email = any(%s)",
            [[user_email(name) for name in DEMO_ROLES]],
        )
        stored: dict[str, str] = dict(found.fetchall())
    users = [DemoUser(user_email(name), demo_password(stack.keys, name), role) for name, role in DEMO_ROLES.items()]
    return [user for user in users if fits(user.password, stored.get(user.email))]


def demo_password(keys: Keys, name: str) -> str:
    """Return the first password of a demo user: random for each stack, and the same after a restart."""
    digest = hmac.digest(keys.jwt_secret.encode(), f"password of {name}".encode(), hashlib.sha256)
    return base64.b32encode(digest[:PASSWORD_BYTES]).decode().lower()
