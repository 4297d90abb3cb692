"""Sessions and their refresh tokens: each is used once, and its use gives the next one.

A used token is accepted again for ten seconds, and for as long as its successor has not been used, because a client
may have lost the answer; later it ends the session, for it may have been stolen. Source: supabase/auth,
`RefreshTokenGrant`.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from listener.local.auth.refusals import AuthError

if TYPE_CHECKING:
    from uuid import UUID

    from psycopg import AsyncConnection

Row: TypeAlias = dict[str, Any]
REUSE = timedelta(seconds=10)
TOKEN_BYTES = 9
BEGIN = "insert into auth.sessions (user_id, user_agent) values (%s, %s) returning *"
SIGNED_IN = "update auth.users set last_sign_in_at = now() where id = %s returning *"
GRANT = "insert into auth.refresh_tokens (token, user_id, parent, session_id) values (%s, %s, %s, %s)"
USED = """
select t.token, t.revoked, t.updated_at, s.id as session_id, s.not_after, s.user_id, s.created_at
from auth.refresh_tokens as t
inner join auth.sessions as s on t.session_id = s.id
where t.token = %s
for update
"""
ACTIVE = "select token, parent from auth.refresh_tokens where session_id = %s and not revoked order by id desc limit 1"
REVOKE = "update auth.refresh_tokens set revoked = true, updated_at = now() where token = %s"
REVOKE_ALL = "update auth.refresh_tokens set revoked = true, updated_at = now() where session_id = %s and not revoked"
REFRESHED = "update auth.sessions set refreshed_at = now() at time zone 'utc', updated_at = now() where id = %s"
BY_ID = "select * from auth.sessions where id = %s and user_id = %s"
ENDED = {
    "global": "delete from auth.sessions where user_id = %(user)s",
    "local": "delete from auth.sessions where id = %(session)s",
    "others": "delete from auth.sessions where user_id = %(user)s and id <> %(session)s",
}


async def begin(connection: AsyncConnection[Row], user_id: UUID, user_agent: str) -> tuple[Row, Row, str]:
    """Begin a session of a user; returns the user, the session, and its first refresh token."""
    user = await (await connection.execute(SIGNED_IN, [user_id])).fetchone()
    session = await (await connection.execute(BEGIN, [user_id, user_agent])).fetchone()
    if user is None or session is None:
        raise AuthError(400, "user_not_found", "User not found")
    return user, session, await _grant(connection, user_id, session["id"], None)


async def refresh(connection: AsyncConnection[Row], token: str) -> tuple[Row, str]:
    """Use a refresh token; returns its session, with `session_id` and `user_id`, and the next token.

    Raises:
        AuthError: the token is unknown, was used before, or its session is over. What that revokes is committed.
    """
    used = await (await connection.execute(USED, [token])).fetchone()
    if used is None:
        raise AuthError(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
    if used["not_after"] is not None and used["not_after"] <= datetime.now(UTC):
        raise AuthError(400, "session_expired", "Invalid Refresh Token: Session Expired")
    if used["revoked"]:
        active = await (await connection.execute(ACTIVE, [used["session_id"]])).fetchone()
        if active is not None and active["parent"] == token:
            return used, active["token"]
        if datetime.now(UTC) > used["updated_at"] + REUSE:
            await connection.execute(REVOKE_ALL, [used["session_id"]])
            await connection.commit()
            raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
    await connection.execute(REVOKE, [token])
    await connection.execute(REFRESHED, [used["session_id"]])
    return used, await _grant(connection, used["user_id"], used["session_id"], token)


async def of(connection: AsyncConnection[Row], session_id: str, user_id: UUID) -> Row:
    """Return the session that a token names.

    Raises:
        AuthError: the user has signed out.
    """
    found = await (await connection.execute(BY_ID, [session_id, user_id])).fetchone()
    if found is None:
        raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
    return found


async def end(connection: AsyncConnection[Row], user_id: UUID, session_id: str | None, scope: str) -> None:
    """End sessions of a user: all (`global`), this one (`local`), or all but this one (`others`).

    Raises:
        AuthError: there is no such scope.
    """
    if scope not in ENDED:
        raise AuthError(400, "validation_failed", f'Unsupported logout scope "{scope}"')
    statement = ENDED["global" if session_id is None else scope]
    await connection.execute(statement, {"user": user_id, "session": session_id})


async def _grant(connection: AsyncConnection[Row], user_id: UUID, session_id: UUID, parent: str | None) -> str:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await connection.execute(GRANT, [token, str(user_id), parent, session_id])
    return token
