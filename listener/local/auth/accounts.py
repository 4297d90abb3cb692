"""Users in `auth.users`: found, made, changed, and shown as the API shows them. Each call takes an open transaction."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from psycopg.types.json import Jsonb

from listener.local.auth.refusals import AuthError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import AsyncConnection

Row: TypeAlias = dict[str, Any]
ADDRESS = re.compile(r"[^@\s\x00]+@[^@\s\x00]+\.[^@\s\x00.]+")
LONGEST_ADDRESS = 255
APP_METADATA = {"provider": "email", "providers": ["email"]}
BY_EMAIL = "select * from auth.users where email = %s and deleted_at is null"
BY_ID = "select * from auth.users where id = %s and deleted_at is null"
ADD = """
insert into auth.users (
    id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data
)
values (%s, 'authenticated', 'authenticated', %s, %s, now(), %s, %s)
on conflict (email) do nothing
returning *
"""
CHANGE = """
update auth.users
set
    encrypted_password = coalesce(%s, encrypted_password),
    raw_user_meta_data = (coalesce(raw_user_meta_data, '{}') || %s) - %s::text[],
    updated_at = now()
where id = %s
returning *
"""


def checked_address(email: str) -> str:
    """Return an e-mail address in lower case.

    Raises:
        AuthError: it is none.
    """
    if not ADDRESS.fullmatch(email) or len(email) > LONGEST_ADDRESS:
        raise AuthError(400, "validation_failed", "Unable to validate email address: invalid format")
    return email.lower()


async def with_email(connection: AsyncConnection[Row], email: str) -> Row | None:
    """Return the user that has an e-mail address."""
    return await (await connection.execute(BY_EMAIL, [email.lower()])).fetchone()


async def with_id(connection: AsyncConnection[Row], subject: str) -> Row:
    """Return the user that a token names.

    Raises:
        AuthError: there is none, or the subject is no UUID.
    """
    try:
        found = await (await connection.execute(BY_ID, [uuid.UUID(subject)])).fetchone()
    except ValueError:
        raise AuthError(400, "bad_jwt", "invalid claim: sub claim must be a UUID") from None
    if found is None:
        raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
    return found


async def add(connection: AsyncConnection[Row], email: str, password_hash: str, data: Mapping[str, Any]) -> Row:
    """Add a user whose address counts as confirmed: the stack sends no mail.

    Raises:
        AuthError: the address is taken.
    """
    values = [uuid.uuid4(), email, password_hash, Jsonb(APP_METADATA), Jsonb(dict(data))]
    added = await (await connection.execute(ADD, values)).fetchone()
    if added is None:
        raise AuthError(422, "user_already_exists", "User already registered")
    return added


async def change(
    connection: AsyncConnection[Row], user: Row, password_hash: str | None, data: Mapping[str, Any]
) -> Row:
    """Change a user's password, if one is given, and metadata: keys are merged, and those that are null removed."""
    removed = [name for name, value in data.items() if value is None]
    values = [password_hash, Jsonb(dict(data)), removed, user["id"]]
    changed = await (await connection.execute(CHANGE, values)).fetchone()
    return changed or user


def refuse_banned(user: Row, status: int, message: str) -> None:
    """Refuse a user who is banned.

    Raises:
        AuthError: `user_banned`.
    """
    if user["banned_until"] is not None and user["banned_until"] > datetime.now(UTC):
        raise AuthError(status, "user_banned", message)


def shown(user: Row) -> dict[str, Any]:
    """Return a user as the API shows it. Absent instants are left out, as there."""
    identity = {"sub": str(user["id"]), "email": user["email"], "email_verified": True, "phone_verified": False}
    instants = {
        "email_confirmed_at": user["email_confirmed_at"],
        "confirmed_at": user["email_confirmed_at"],
        "last_sign_in_at": user["last_sign_in_at"],
        "created_at": user["created_at"],
        "updated_at": user["updated_at"],
        "banned_until": user["banned_until"],
    }
    written = {name: instant.isoformat() for name, instant in instants.items() if instant is not None}
    dates = {name: written[name] for name in ("created_at", "updated_at", "last_sign_in_at") if name in written}
    return {
        "id": str(user["id"]),
        "aud": user["aud"] or "authenticated",
        "role": user["role"] or "authenticated",
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        "app_metadata": user["raw_app_meta_data"] or APP_METADATA,
        "user_metadata": user["raw_user_meta_data"] or {},
        "identities": [
            {
                "identity_id": str(user["id"]),
                "id": str(user["id"]),
                "user_id": str(user["id"]),
                "identity_data": identity,
                "provider": "email",
                "email": user["email"],
                **dates,
            }
        ],
        "is_anonymous": user["is_anonymous"],
        **written,
    }
