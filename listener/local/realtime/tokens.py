"""Verifies the JWTs of clients, with the error codes of the real server."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from listener.errors import ListenerError

if TYPE_CHECKING:
    from jwt.types import Options

INVALID, WRONGLY_SIGNED, NO_JWT = "InvalidJWTToken", "JwtSignatureError", "MalformedJWT"
SIGNATURE = "Failed to validate JWT signature"
MALFORMED = "The token provided is not a valid JWT"
MISSING_FIELDS = "Fields `role` and `exp` are required in JWT"


# The claims are checked here, in the real server's order and with its error codes.
SIGNATURE_ALONE: Options = {
    "verify_exp": False,
    "verify_aud": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_sub": False,
    "verify_jti": False,
}


class TokenError(ListenerError):
    """A refused token; a refused join starts with the word `code`."""

    def __init__(self, code: str, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(f"{code}: {reason}")


class ExpiredTokenError(TokenError):
    """A token whose `exp` has passed, `seconds` ago."""

    def __init__(self, seconds: int) -> None:
        super().__init__(INVALID, f"Token has expired {seconds} seconds ago")


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a channel. `claims` is the JWT's payload as JSON text, `expires_at` is UNIX time in seconds."""

    role: str
    claims: str
    expires_at: float

    @property
    def seconds_left(self) -> float:
        """Seconds until the token expires."""
        return self.expires_at - time.time()


class Verifier:
    """Accepts HS256 tokens signed with `secret`."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def verify(self, token: str) -> Identity:
        """Return the identity in a token.

        Raises:
            TokenError: The token is malformed, has a wrong signature, lacks a claim.
            ExpiredTokenError: Its time is over.
        """
        claims = self._decode(token)
        role, expires = claims.get("role"), claims.get("exp")
        if not isinstance(role, str) or not isinstance(expires, int | float):
            raise TokenError(INVALID, MISSING_FIELDS)
        identity = Identity(role, json.dumps(claims), float(expires))
        if identity.seconds_left <= 0:
            raise ExpiredTokenError(int(-identity.seconds_left))
        return identity

    def _decode(self, token: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(token, self._secret, algorithms=["HS256"], options=SIGNATURE_ALONE)
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            raise TokenError(WRONGLY_SIGNED, SIGNATURE) from None
        except jwt.PyJWTError:
            raise TokenError(NO_JWT, MALFORMED) from None
        return claims
