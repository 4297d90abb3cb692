"""Access tokens: the JWTs of signed-in users, with the claims of Supabase Auth's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from listener.local.auth.refusals import AuthError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

LIFETIME_SECONDS = 3600
BEARER = "bearer "
AUDIENCE = "authenticated"


@dataclass(frozen=True)
class Signer:
    """Signs and verifies tokens. `issuer` is the URL of the service."""

    secret: str
    issuer: str

    def sign(self, user: Mapping[str, Any], session_id: str, signed_in_at: datetime) -> tuple[str, int]:
        """Return the token of a user, as the API shows it, for a session; and the UNIX time at which it expires."""
        issued_at = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": user["id"],
            "aud": user["aud"],
            "exp": issued_at + LIFETIME_SECONDS,
            "iat": issued_at,
            "email": user["email"],
            "phone": user["phone"],
            "app_metadata": user["app_metadata"],
            "user_metadata": user["user_metadata"],
            "role": user["role"],
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": int(signed_in_at.timestamp())}],
            "session_id": session_id,
            "is_anonymous": False,
        }
        return jwt.encode(claims, self.secret, algorithm="HS256"), claims["exp"]

    def claims(self, authorization: str | None) -> dict[str, Any]:
        """Return the claims of the bearer token of a request.

        Raises:
            AuthError: there is none, it is not signed with the stack's secret, its time is over, or it has no subject.
        """
        if authorization is None or not authorization.lower().startswith(BEARER):
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        try:
            claims: dict[str, Any] = jwt.decode(
                authorization[len(BEARER) :], self.secret, algorithms=["HS256"], options={"verify_aud": False}
            )
        except jwt.PyJWTError as fault:
            message = f"invalid JWT: unable to parse or verify signature, {fault}"
            raise AuthError(403, "bad_jwt", message) from None
        if not claims.get("sub"):
            raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
        return claims
