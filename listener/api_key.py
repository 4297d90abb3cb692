"""Reads what a Supabase API key shows about itself. Nothing is verified: the gateway does that."""

from __future__ import annotations

import base64
import json
from typing import Any

JWT_PARTS = 3
SERVICE_ROLE = "service_role"


def key_fault(key: str) -> str | None:
    """Return why the service cannot work with this key, or nothing.

    A key of neither kind passes: the gateway checks it.
    """
    if key.startswith("sb_publishable_"):
        return "is a publishable key, which is for browsers; the service needs the secret key"
    if not key or " " in key or not (key.isascii() and key.isprintable()):
        return "should be one word of ASCII characters"
    role = (jwt_claims(key) or {}).get("role", SERVICE_ROLE)
    return None if role == SERVICE_ROLE else f"is the key of role {role}; the service needs the secret key"


def publishable_key_fault(key: str) -> str | None:
    """Return why browsers must not have this key, or nothing.

    A key of neither kind is refused: it may be secret.
    """
    if key.startswith("sb_publishable_") and key.isascii() and key.isprintable() and " " not in key:
        return None
    role = SERVICE_ROLE if key.startswith("sb_secret_") else (jwt_claims(key) or {}).get("role")
    if role == "anon":
        return None
    if role is not None:
        return f"is the key of role {role}, which no browser may see; the dashboard needs the publishable key"
    return "should be a publishable key (sb_publishable_…) or the legacy anon key"


def key_headers(key: str) -> dict[str, str]:
    """Return the headers that give the gateway a key; the new keys are no JWTs, and only the gateway reads them."""
    return {"apikey": key} if key.startswith("sb_") else {"apikey": key, "authorization": f"Bearer {key}"}


def is_legacy(key: str) -> bool:
    """Whether the key is a JWT, the kind that Supabase replaces by `sb_secret_…` keys."""
    return jwt_claims(key) is not None


def jwt_claims(key: str) -> dict[str, Any] | None:
    """Return the claims of a JWT; None for what is no JWT."""
    parts = key.split(".")
    if len(parts) != JWT_PARTS:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None
