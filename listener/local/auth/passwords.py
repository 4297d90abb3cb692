"""Passwords: bcrypt with Supabase's cost, so that users seeded with pgcrypto's `crypt()` sign in too."""

from __future__ import annotations

import bcrypt
from anyio import to_thread

from listener.local.auth.refusals import WEAK_PASSWORD, AuthError

COST = 10
FEWEST_CHARACTERS = 6
MOST_BYTES = 72
"""All that bcrypt reads."""


def check_strength(password: str) -> None:
    """Refuse a password that is too short or too long.

    Raises:
        AuthError: `weak_password` or `validation_failed`.
    """
    size = len(password.encode())
    if size > MOST_BYTES:
        raise AuthError(400, "validation_failed", f"Password cannot be longer than {MOST_BYTES} characters")
    if size < FEWEST_CHARACTERS:
        message = f"Password should be at least {FEWEST_CHARACTERS} characters."
        raise AuthError(422, WEAK_PASSWORD, message, ("length",))


def hashed(password: str) -> str:
    """Return the hash of a password; takes about 50 ms."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()


def fits(password: str, stored: str | None) -> bool:
    """Return whether `stored` is a hash of `password`; takes about 50 ms."""
    if not stored or len(password.encode()) > MOST_BYTES:
        return False
    try:
        return bcrypt.checkpw(password.encode(), stored.encode())
    except ValueError:  # no hash of bcrypt's
        return False


async def hash_aside(password: str) -> str:
    """Return the hash of a password, computed in a thread."""
    return await to_thread.run_sync(hashed, password)


async def fits_aside(password: str, stored: str | None) -> bool:
    """Return whether `stored` is a hash of `password`, computed in a thread."""
    return await to_thread.run_sync(fits, password, stored)
