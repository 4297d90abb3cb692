"""Keys are made once, kept private, and read by whoever knows the JWT secret."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import jwt

from listener.local import keys

if TYPE_CHECKING:
    from pathlib import Path


def _claims(token: str, made: keys.Keys) -> dict[str, object]:
    return jwt.decode(token, made.jwt_secret, algorithms=["HS256"], options={"verify_aud": False})


def test_keys_survive_a_restart_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    """A client that was configured yesterday works today."""
    path = tmp_path / "secrets.json"
    made = keys.load_or_create(path)
    assert keys.load_or_create(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_stacks_share_no_secret() -> None:
    """A key of one opens nothing of the other."""
    first, second = keys.create().model_dump(), keys.create().model_dump()
    assert not {*first.values()} & {*second.values()}


def test_each_key_stands_for_its_role_for_ten_years() -> None:
    """The two styles of key lead to the same two roles."""
    made = keys.create()
    roles = {key: _claims(token, made)["role"] for key, token in made.jwt_by_apikey().items()}
    assert roles == {
        made.anon_key: "anon",
        made.publishable_key: "anon",
        made.service_role_key: "service_role",
        made.secret_key: "service_role",
    }
    claims = _claims(made.service_role_key, made)
    assert claims["exp"] - claims["iat"] > 3650 * 86400


def test_a_users_token_says_who_it_is_the_same_every_time() -> None:
    """Rows that alice made before a restart are still hers."""
    made = keys.create()
    claims = _claims(keys.user_token(made, "alice"), made)
    assert (claims["role"], claims["email"], claims["aud"]) == ("authenticated", "alice@example.com", "authenticated")
    assert claims["sub"] == str(keys.user_id("alice"))
    assert keys.user_id("alice") != keys.user_id("bob")


def test_writing_privately_replaces_a_file_whole_and_narrows_its_mode(tmp_path: Path) -> None:
    """A reader sees the old text or the new one; a file that everyone could read no longer is."""
    path = tmp_path / "stack.env"
    path.write_text("old")
    path.chmod(0o644)
    keys.write_private(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]
