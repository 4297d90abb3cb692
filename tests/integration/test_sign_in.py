"""Signing in by the stack's part of Supabase Auth, with stock clients, and what a session is good for."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bcrypt
import httpx
import jwt
import psycopg
import pytest
from supabase import AuthApiError, create_client
from supabase.lib.client_options import SyncClientOptions

from listener.local.keys import user_id
from listener.local.users import DEMO_WORKSPACE, add_demo_users

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supabase import Client

    from listener.local.stack import Stack

pytestmark = pytest.mark.stack
PASSWORD = "correct horse"  # noqa: S105 - of users that the tests make
NEW_FORM = {"X-Supabase-Api-Version": "2024-01-01"}


@pytest.fixture
def auth(stack: Stack) -> Iterator[httpx.Client]:
    """Give a client of the API alone."""
    with httpx.Client(base_url=f"{stack.url}/auth/v1", headers={"apikey": stack.keys.publishable_key}) as client:
        yield client


def _address() -> str:
    return f"u{uuid.uuid4().hex[:12]}@example.com"


def _sign_up(auth: httpx.Client, email: str | None = None) -> dict[str, Any]:
    return auth.post("/signup", json={"email": email or _address(), "password": PASSWORD}).raise_for_status().json()


def _refresh(auth: httpx.Client, token: str) -> httpx.Response:
    return auth.post("/token", params={"grant_type": "refresh_token"}, json={"refresh_token": token})


def _bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


def _execute(stack: Stack, query: str, *values: object) -> list[Any]:
    with psycopg.connect(stack.admin_dsn) as connection:
        cursor = connection.execute(query, values)
        return cursor.fetchall() if cursor.description else []


def _expire(stack: Stack, session: dict[str, Any]) -> None:
    _execute(stack, "update auth.sessions set not_after = now() where user_id = %s", session["user"]["id"])


def test_supabase_js_signs_in_and_works_under_that_session(stack: Stack, auth: httpx.Client) -> None:
    """Sign up and in, refresh, insert and watch a job, change the password, sign out; and each refusal by its name."""
    ended = _sign_up(auth)
    _expire(stack, ended)
    environment = {**os.environ, **stack.environment(), "EMAIL": _address(), "EXPIRED": ended["refresh_token"]}
    script = Path(__file__).with_name("sign_in.mjs")
    done = subprocess.run(["node", script], env=environment, capture_output=True, text=True, timeout=60, check=True)
    seen = json.loads(done.stdout)
    assert seen.pop("me")[1] == "email"
    assert seen == {
        "signedUp": {"name": "Ada"},
        "session": True,
        "repeated": ["AuthApiError", "user_already_exists", 422],
        "weak": ["AuthWeakPasswordError", "weak_password", 422, ["length"]],
        "wrong": ["AuthApiError", "invalid_credentials", 400],
        "expired": ["AuthApiError", "session_expired", 400],
        "rotated": True,
        "claims": ["authenticated", "aal1"],
        "watched": True,
        "changed": {"colour": "red"},
        "same": ["AuthApiError", "same_password", 422],
        "signedOut": None,
        "after": ["AuthSessionMissingError", None, 400],
        "unserved": ["AuthApiError", "not_found", 404],
    }


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """Give a stock client with the public key."""
    with httpx.Client() as http:
        yield create_client(stack.url, stack.anon_key, SyncClientOptions(httpx_client=http, auto_refresh_token=False))


def test_supabase_py_signs_in_and_works_under_that_session(stack: Stack, client: Client) -> None:
    """The same with the Python client."""
    email = _address()
    user = client.auth.sign_up({"email": email, "password": PASSWORD, "options": {"data": {"name": "Ada"}}}).user
    assert user is not None
    assert (user.email, user.user_metadata, user.identities[0].provider) == (email, {"name": "Ada"}, "email")
    with pytest.raises(AuthApiError, match="Invalid login credentials") as refused:
        client.auth.sign_in_with_password({"email": email, "password": "wrong"})
    assert (refused.value.code, refused.value.status) == ("invalid_credentials", 400)
    client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    before = client.auth.get_session()
    after = client.auth.refresh_session().session
    assert after.refresh_token != before.refresh_token
    row = client.table("scheduled_jobs").insert({"handler": "noop", "run_date": "2999-01-01"}).execute().data[0]
    assert row["created_by"] == user.id == client.auth.get_user().user.id
    _execute(stack, "update auth.sessions set not_after = now() where user_id = %s", user.id)
    with pytest.raises(AuthApiError) as expired:
        client.auth.refresh_session(after.refresh_token)
    assert expired.value.code == "session_expired"
    token = after.access_token
    client.auth.sign_out()
    with pytest.raises(AuthApiError) as missing:
        client.auth.get_user(token)
    assert missing.value.code == "session_not_found"


def test_an_error_has_the_form_that_the_client_asks_for(auth: httpx.Client) -> None:
    """Before 2024 the name of an error stood in `error_code`, since then in `code`."""
    body, grant = {"email": "nobody@example.com", "password": PASSWORD}, {"grant_type": "password"}
    old = auth.post("/token", params=grant, json=body)
    assert old.json() == {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"}
    new = auth.post("/token", params=grant, json=body, headers=NEW_FORM)
    assert new.json() == {"code": "invalid_credentials", "message": "Invalid login credentials"}
    assert new.headers["x-supabase-api-version"] == "2024-01-01"
    assert "X-Supabase-Api-Version" in new.headers["access-control-expose-headers"]


REFUSED = {
    "no address": ({"email": "ada", "password": PASSWORD}, 400, "validation_failed"),
    "no password": ({"email": "a@example.com"}, 400, "validation_failed"),
    "too long": ({"email": "a@example.com", "password": "x" * 73}, 400, "validation_failed"),
    "nobody": ({}, 422, "anonymous_provider_disabled"),
    "wrong type": ({"email": 5}, 400, "bad_json"),
    "NUL": ({"email": "a@example.com", "password": PASSWORD, "data": {"a": "\0"}}, 400, "validation_failed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_sign_up_that_cannot_be_is_refused_by_name(auth: httpx.Client, case: str) -> None:
    """Nothing becomes a fault of the server."""
    body, status, code = REFUSED[case]
    answer = auth.post("/signup", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


def test_a_refresh_token_is_used_once(stack: Stack, auth: httpx.Client) -> None:
    """A client that lost the answer gets the same again; a token that comes back later ends its session."""
    first = _sign_up(auth)
    second = _refresh(auth, first["refresh_token"]).json()
    lost = _refresh(auth, first["refresh_token"]).json()
    assert lost["refresh_token"] == second["refresh_token"] != first["refresh_token"]
    third = _refresh(auth, second["refresh_token"]).json()
    _execute(
        stack,
        "update auth.refresh_tokens set updated_at = now() - interval '11 s' where token = %s",
        first["refresh_token"],
    )
    stolen = _refresh(auth, first["refresh_token"])
    assert (stolen.status_code, stolen.json()["error_code"]) == (400, "refresh_token_already_used")
    _execute(stack, "update auth.refresh_tokens set updated_at = now() - interval '11 s'")
    assert _refresh(auth, third["refresh_token"]).json()["error_code"] == "refresh_token_already_used"
    assert _refresh(auth, "unknown").json()["error_code"] == "refresh_token_not_found"


def test_tabs_that_refresh_at_once_get_one_successor(auth: httpx.Client) -> None:
    """Each reads the same token from the browser's storage."""
    token = _sign_up(auth)["refresh_token"]
    answers: list[httpx.Response] = []
    tabs = [threading.Thread(target=lambda: answers.append(_refresh(auth, token))) for _ in range(4)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


@pytest.mark.parametrize("scope", ["local", "others", "global"])
def test_a_sign_out_ends_the_sessions_of_its_scope(auth: httpx.Client, scope: str) -> None:
    """This one, the other ones, or all."""
    email = _address()
    here = _sign_up(auth, email)
    grant = {"grant_type": "password"}
    there = auth.post("/token", params=grant, json={"email": email.upper(), "password": PASSWORD}).json()
    assert auth.post("/logout", params={"scope": scope}, headers=_bearer(here)).status_code == 204
    left = [auth.get("/user", headers=_bearer(session)).status_code for session in (here, there)]
    assert left == {"local": [403, 200], "others": [200, 403], "global": [403, 403]}[scope]
    assert auth.post("/logout", params={"scope": "planet"}, headers=_bearer(there)).is_client_error


def test_another_password_ends_the_other_sessions(auth: httpx.Client) -> None:
    """Sessions of the old one end, and the session that changed it goes on."""
    email = _address()
    here, grant = _sign_up(auth, email), {"grant_type": "password"}
    there = auth.post("/token", params=grant, json={"email": email, "password": PASSWORD}).json()
    changed = auth.put("/user", json={"password": "another one"}, headers=_bearer(here))
    assert changed.status_code == 200
    assert _refresh(auth, there["refresh_token"]).json()["error_code"] == "refresh_token_not_found"
    assert _refresh(auth, here["refresh_token"]).status_code == 200
    old = auth.post("/token", params=grant, json={"email": email, "password": PASSWORD})
    assert old.json()["error_code"] == "invalid_credentials"


def test_a_user_seeded_with_pgcrypto_signs_in(stack: Stack, auth: httpx.Client) -> None:
    """As seed files of Supabase projects make users: `crypt('secret', gen_salt('bf'))`."""
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(6, prefix=b"2a")).decode()
    _execute(
        stack,
        "insert into auth.users (id, aud, role, email, encrypted_password, email_confirmed_at)"
        " values (gen_random_uuid(), 'authenticated', 'authenticated', 'seed@example.com', %s, now())",
        hashed,
    )
    body = {"email": "seed@example.com", "password": "secret"}
    assert auth.post("/token", params={"grant_type": "password"}, json=body).status_code == 200


def test_tokens_that_are_none_are_refused(stack: Stack, auth: httpx.Client) -> None:
    """Without a bearer, the key alone, signed by somebody else, of a user that is gone."""

    def code(token: str | None) -> str:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return auth.get("/user", headers=headers).json()["error_code"]

    forged = jwt.encode({"sub": str(user_id("alice")), "aud": "authenticated"}, "x" * 40, algorithm="HS256")
    assert [code(None), code(stack.keys.publishable_key), code(forged)] == ["bad_jwt", "bad_jwt", "bad_jwt"]
    assert code(stack.user_token("nobody at all")) == "user_not_found"


def test_what_needs_no_user_is_answered(stack: Stack, auth: httpx.Client) -> None:
    """Settings and health with the key; public keys to everybody, of which a stack with a shared secret has none."""
    assert auth.get("/settings").json()["external"]["email"] is True
    assert auth.get("/health").json()["name"] == "GoTrue"
    assert httpx.get(f"{stack.url}/auth/v1/.well-known/jwks.json").json() == {"keys": []}
    assert httpx.get(f"{stack.url}/auth/v1/settings").status_code == 401


def test_the_demo_users_sign_in_to_a_workspace(stack: Stack, auth: httpx.Client) -> None:
    """One administers it and one looks on; a second start adds nothing, and shows no password that was changed."""
    users = add_demo_users(stack)
    assert [(user.email, user.role) for user in users] == [
        ("demo@example.com", "admin"),
        ("viewer@example.com", "viewer"),
    ]
    grant = {"grant_type": "password"}
    sessions = [
        auth.post("/token", params=grant, json={"email": user.email, "password": user.password}).json()
        for user in users
    ]
    assert sessions[0]["user"]["id"] == str(user_id("demo")), "the same as with `listener token --user demo`"
    wrote = []
    for session in sessions:
        headers = {"apikey": stack.anon_key, **_bearer(session)}
        job = {"handler": "noop", "workspace_id": str(DEMO_WORKSPACE), "run_date": "2999-01-01"}
        wrote.append(httpx.post(f"{stack.url}/rest/v1/scheduled_jobs", json=job, headers=headers).status_code)
    assert wrote == [201, 403]
    auth.put("/user", json={"password": "another one"}, headers=_bearer(sessions[1])).raise_for_status()
    assert add_demo_users(stack) == users[:1]
