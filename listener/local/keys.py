"""The keys of one embedded stack: made once, stored in its state folder, the same after every restart."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
from pydantic import BaseModel

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

KEY_LIFETIME = timedelta(days=3653)  # ten years, as the keys of a Supabase project
ISSUED_AT = datetime(2026, 1, 1, tzinfo=UTC)  # fixed: a clock that is behind must not see keys "from the future"
USERS = uuid.UUID("5c1b7a9e-8a3f-4c57-9d2c-0d2f6d1f7c11")  # name space of `listener token --user NAME`


class Keys(BaseModel, frozen=True):
    """Everything secret of one stack. All members are text; the `…_key` ones are what clients send as `apikey`."""

    jwt_secret: str
    anon_key: str
    service_role_key: str
    publishable_key: str
    secret_key: str
    postgres_password: str
    admin_password: str
    authenticator_password: str

    def jwt_by_apikey(self) -> dict[str, str]:
        """Map every accepted `apikey` to the JWT of its role; the old JWT keys stand for themselves."""
        return {
            self.anon_key: self.anon_key,
            self.publishable_key: self.anon_key,
            self.service_role_key: self.service_role_key,
            self.secret_key: self.service_role_key,
        }


def user_id(name: str) -> uuid.UUID:
    """Return the stable id of the user called `name`, in every stack."""
    return uuid.uuid5(USERS, name)


def user_email(name: str) -> str:
    """Return `name` if it is an address already, else one of example.com."""
    return name if "@" in name else f"{name}@example.com"


def user_token(keys: Keys, name: str, subject_id: uuid.UUID | None = None) -> str:
    """Return the JWT of a signed-in user, as Supabase Auth would issue it, valid for ten years.

    Args:
        keys: the stack's.
        name: the user's.
        subject_id: the user's id; by default the one of the name.
    """
    subject = {
        "sub": str(subject_id or user_id(name)),
        "email": user_email(name),
        "aud": "authenticated",
        "aal": "aal1",
    }
    return _sign(keys.jwt_secret, "authenticated", subject)


def load_or_create(path: Path) -> Keys:
    """Return the keys kept in `path`; make them, and the file with mode 600, when there are none."""
    if path.exists():
        return Keys.model_validate_json(path.read_text())
    keys = create()
    write_private(path, keys.model_dump_json(indent=2))
    return keys


def create() -> Keys:
    """Return new keys."""
    jwt_secret = secrets.token_urlsafe(36)
    return Keys(
        jwt_secret=jwt_secret,
        anon_key=_sign(jwt_secret, "anon", {}),
        service_role_key=_sign(jwt_secret, "service_role", {}),
        publishable_key=_new_style("publishable"),
        secret_key=_new_style("secret"),
        postgres_password=secrets.token_hex(16),
        admin_password=secrets.token_hex(16),
        authenticator_password=secrets.token_hex(16),
    )


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` in one step, readable by the owner alone."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def open_private(path: Path) -> BinaryIO:
    """Open `path` to append to it, readable by the owner alone, also if it was not before."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b")
    os.fchmod(file.fileno(), 0o600)
    return file


def _sign(jwt_secret: str, role: str, claims: dict[str, Any]) -> str:
    lifetime = {"iat": int(ISSUED_AT.timestamp()), "exp": int((ISSUED_AT + KEY_LIFETIME).timestamp())}
    return jwt.encode({"iss": "supabase", "role": role, **lifetime, **claims}, jwt_secret, algorithm="HS256")


def _new_style(kind: str) -> str:
    body = secrets.token_urlsafe(16)
    checksum = base64.urlsafe_b64encode(hashlib.sha256(body.encode()).digest())[:8].decode()
    return f"sb_{kind}_{body}_{checksum}"
