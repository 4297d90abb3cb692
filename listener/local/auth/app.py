"""The routes of the service, below `/auth/v1` of the gateway."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import psycopg
from psycopg.rows import dict_row
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from listener.local.auth import accounts, sessions
from listener.local.auth.access_tokens import AUDIENCE, LIFETIME_SECONDS, Signer
from listener.local.auth.passwords import check_strength, fits_aside, hash_aside
from listener.local.auth.refusals import AuthError, refuse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from starlette.requests import Request

    from listener.local.auth.accounts import Row

    Connection = psycopg.AsyncConnection[Row]

CONNECTIONS = 10
LOGIN_REFUSED = AuthError(400, "invalid_credentials", "Invalid login credentials")
UNSTORABLE = ("22P05", "22021")
"""PostgreSQL holds no NUL."""


class Credentials(BaseModel):
    """The body of a sign-up, and of a sign-in with a password."""

    email: str = ""
    phone: str = ""
    password: str = ""
    data: dict[str, Any] | None = None


class Refresh(BaseModel):
    """The body of a refresh."""

    refresh_token: str = ""


class Changes(BaseModel):
    """The body of a change of one's own user."""

    email: str = ""
    phone: str = ""
    password: str | None = None
    data: dict[str, Any] | None = None


Body = TypeVar("Body", bound=BaseModel)


class AuthRoutes:
    """Answers requests. `dsn` is libpq's, of a role that owns the tables of `auth`."""

    def __init__(self, dsn: str, signer: Signer) -> None:
        self._dsn, self._signer = dsn, signer
        self._slots = anyio.CapacityLimiter(CONNECTIONS)

    async def token(self, request: Request) -> Response:
        """Sign in with a password, or with a refresh token."""
        match request.query_params.get("grant_type"):
            case "password":
                return await self._sign_in(request)
            case "refresh_token":
                return await self._refresh(request)
            case _:
                raise AuthError(400, "invalid_credentials", "unsupported_grant_type")

    async def sign_up(self, request: Request) -> Response:
        """Add a user, and sign them in."""
        given = await _body(request, Credentials)
        if not given.email and not given.phone and not given.password:
            raise AuthError(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
        if not given.password:
            raise AuthError(400, "validation_failed", "Signup requires a valid password")
        check_strength(given.password)
        if given.phone:
            raise AuthError(400, "phone_provider_disabled", "Phone signups are disabled")
        email = accounts.checked_address(given.email)
        password_hash = await hash_aside(given.password)
        async with self._transaction() as connection:
            user = await accounts.add(connection, email, password_hash, given.data or {})
            return await self._begin(connection, user, request)

    async def user(self, request: Request) -> Response:
        """Show the signed-in user."""
        async with self._transaction() as connection:
            user, _ = await self._caller(connection, request)
        return JSONResponse(accounts.shown(user))

    async def change_user(self, request: Request) -> Response:
        """Change the password and the metadata of the signed-in user."""
        given = await _body(request, Changes)
        if given.password is not None:
            check_strength(given.password)
        async with self._transaction() as connection:
            user, session_id = await self._caller(connection, request)
        if given.phone or (given.email and given.email.lower() != user["email"]):
            raise AuthError(422, "email_provider_disabled", "The embedded stack sends no mail to confirm an address")
        password_hash = None
        if given.password is not None:
            if await fits_aside(given.password, user["encrypted_password"]):
                raise AuthError(422, "same_password", "New password should be different from the old password.")
            password_hash = await hash_aside(given.password)
        async with self._transaction() as connection:
            user = await accounts.change(connection, user, password_hash, given.data or {})
            if password_hash is not None:
                await sessions.end(connection, user["id"], session_id, "others")
        return JSONResponse(accounts.shown(user))

    async def log_out(self, request: Request) -> Response:
        """End sessions of the signed-in user."""
        async with self._transaction() as connection:
            user, session_id = await self._caller(connection, request)
            await sessions.end(connection, user["id"], session_id, request.query_params.get("scope") or "global")
        return Response(status_code=204)

    async def _sign_in(self, request: Request) -> Response:
        given = await _body(request, Credentials)
        if given.phone:
            raise AuthError(422, "phone_provider_disabled", "Phone logins are disabled")
        if not given.email:
            raise AuthError(400, "validation_failed", "missing email or phone")
        async with self._transaction() as connection:
            user = await accounts.with_email(connection, given.email)
        if user is None or not user["encrypted_password"]:
            raise LOGIN_REFUSED
        accounts.refuse_banned(user, 400, "User is banned")
        if not await fits_aside(given.password, user["encrypted_password"]):
            raise LOGIN_REFUSED
        if user["email_confirmed_at"] is None:
            raise AuthError(400, "email_not_confirmed", "Email not confirmed")
        async with self._transaction() as connection:
            return await self._begin(connection, user, request)

    async def _refresh(self, request: Request) -> Response:
        given = await _body(request, Refresh)
        if not given.refresh_token:
            raise AuthError(400, "validation_failed", "refresh_token required")
        async with self._transaction() as connection:
            session, token = await sessions.refresh(connection, given.refresh_token)
            user = await accounts.with_id(connection, str(session["user_id"]))
            accounts.refuse_banned(user, 400, "Invalid Refresh Token: User Banned")
        return self._signed_in(user, str(session["session_id"]), session["created_at"], token)

    async def _begin(self, connection: Connection, user: Row, request: Request) -> Response:
        agent = request.headers.get("user-agent", "")
        user, session, token = await sessions.begin(connection, user["id"], agent)
        return self._signed_in(user, str(session["id"]), session["created_at"], token)

    def _signed_in(self, row: Row, session_id: str, since: datetime, refresh_token: str) -> Response:
        user = accounts.shown(row)
        access_token, expires_at = self._signer.sign(user, session_id, since)
        body = {
            "access_token": access_token,
            "token_type": "bearer",
            "expires_in": LIFETIME_SECONDS,
            "expires_at": expires_at,
            "refresh_token": refresh_token,
            "user": user,
        }
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    async def _caller(self, connection: Connection, request: Request) -> tuple[Row, str | None]:
        """Return the signed-in user and the id of the session; a token of `listener token` has none."""
        claims = self._signer.claims(request.headers.get("authorization"))
        if claims.get("aud") != AUDIENCE:
            raise AuthError(400, "validation_failed", "Token audience doesn't match request audience")
        user = await accounts.with_id(connection, str(claims["sub"]))
        accounts.refuse_banned(user, 403, "User is banned")
        session_id = claims.get("session_id")
        if session_id is not None:
            await sessions.of(connection, session_id, user["id"])
        return user, session_id

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with (
            self._slots,
            await psycopg.AsyncConnection.connect(
                self._dsn, row_factory=dict_row, application_name="auth", connect_timeout=5
            ) as connection,
        ):
            yield connection


def application(routes: AuthRoutes) -> Starlette:
    """Return the service."""
    return Starlette(
        routes=[
            Route("/token", routes.token, methods=["POST"]),
            Route("/signup", routes.sign_up, methods=["POST"]),
            Route("/user", routes.user, methods=["GET"]),
            Route("/user", routes.change_user, methods=["PUT"]),
            Route("/logout", routes.log_out, methods=["POST"]),
            Route("/settings", _settings, methods=["GET"]),
            Route("/health", _health, methods=["GET"]),
            Route("/.well-known/jwks.json", _public_keys, methods=["GET"]),
        ],
        exception_handlers={
            AuthError: _refused,
            psycopg.Error: _failed,
            404: _missing,
            405: _missing,
        },
    )


async def _body(request: Request, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(await request.body() or b"{}")
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = f"Could not parse request body as JSON: {where}: {first['msg']}".replace(": :", ":")
        raise AuthError(400, "bad_json", message) from None


async def _settings(_: Request) -> Response:
    return JSONResponse(
        {
            "external": {"anonymous_users": False, "email": True, "phone": False},
            "disable_signup": False,
            "mailer_autoconfirm": True,
            "phone_autoconfirm": False,
            "sms_provider": "",
            "saml_enabled": False,
            "passkeys_enabled": False,
        },
    )


async def _health(_: Request) -> Response:
    return JSONResponse({"version": "embedded", "name": "GoTrue", "description": "what an embedded stack needs of it"})


async def _public_keys(_: Request) -> Response:
    """Return none: tokens are signed with the stack's secret, which Supabase Auth does not show either."""
    return JSONResponse({"keys": []}, headers={"Cache-Control": "public, max-age=600"})


async def _refused(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, AuthError)  # noqa: S101 - for the type checker
    return refuse(request, fault)


async def _failed(request: Request, fault: Exception) -> Response:
    if getattr(fault, "sqlstate", None) in UNSTORABLE:
        return refuse(request, AuthError(400, "validation_failed", "The character NUL cannot be stored"))
    print(f"auth: {request.url.path}: {fault}", flush=True)  # noqa: T201 - into the program's log
    return refuse(request, AuthError(500, "unexpected_failure", f"Database error: {fault}"))


async def _missing(request: Request, _: Exception) -> Response:
    message = f"The embedded stack's Auth has no {request.method} {request.url.path}: it signs in with passwords only"
    return refuse(request, AuthError(404, "not_found", message))
