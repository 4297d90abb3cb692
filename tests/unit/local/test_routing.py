"""The gateway decides by path and key alone, as Supabase's does."""

from __future__ import annotations

import json

import pytest

from listener.local.gateway.routing import Answer, Forward, Request, route

KEYS = {b"anon.jwt": b"anon.jwt", b"sb_publishable_x": b"anon.jwt", b"sb_secret_x": b"service.jwt"}


def _route(target: str, method: str = "GET", **headers: str) -> Forward | Answer:
    named = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
    return route(Request(method.encode(), target.encode(), named), KEYS)


def _refused(answer: Forward | Answer) -> tuple[int, str]:
    assert isinstance(answer, Answer)
    head, body = answer.response.split(b"\r\n\r\n")
    assert b"Access-Control-Allow-Origin: *" in head  # or a browser could not read why
    return int(head.split()[1]), json.loads(body)["message"]


def test_rest_goes_to_postgrest_without_its_prefix() -> None:
    """The query is kept; the key's role is used where no user is signed in."""
    forward = _route("/rest/v1/jobs?select=id&id=eq.1", apikey="anon.jwt")
    assert forward == Forward("rest", b"/jobs?select=id&id=eq.1", b"Bearer anon.jwt")


@pytest.mark.parametrize("target", ["/rest/v1", "/rest/v1/"])
def test_the_root_of_rest_is_the_root_of_postgrest(target: str) -> None:
    """It answers with the OpenAPI description."""
    assert _route(target, apikey="anon.jwt") == Forward("rest", b"/", b"Bearer anon.jwt")


def test_a_signed_in_users_token_is_kept() -> None:
    """The key names the project, the token the person."""
    forward = _route("/rest/v1/jobs", apikey="anon.jwt", authorization="Bearer alice.jwt")
    assert isinstance(forward, Forward)
    assert forward.authorization == b"Bearer alice.jwt"


def test_a_new_style_key_sent_as_bearer_becomes_the_keys_role() -> None:
    """Stock clients send their key twice; PostgREST cannot read a new-style one."""
    forward = _route("/rest/v1/jobs", apikey="sb_secret_x", authorization="Bearer sb_secret_x")
    assert isinstance(forward, Forward)
    assert forward.authorization == b"Bearer service.jwt"


def test_a_key_in_the_query_counts_and_never_reaches_postgrest() -> None:
    """PostgREST would take it for a filter on a column."""
    forward = _route("/rest/v1/jobs?a=eq.1&apikey=sb_publishable_x&b=eq.2")
    assert forward == Forward("rest", b"/jobs?a=eq.1&b=eq.2", b"Bearer anon.jwt")


def test_realtime_gets_a_jwt_for_the_key_in_the_query() -> None:
    """A socket of a browser carries no headers, and the Realtime server reads JWTs only."""
    forward = _route("/realtime/v1/websocket?apikey=sb_publishable_x&vsn=1.0.0")
    assert forward == Forward("realtime", b"/realtime/v1/websocket?apikey=anon.jwt&vsn=1.0.0", b"Bearer anon.jwt")


def test_a_broadcast_by_http_keeps_the_token_of_its_user() -> None:
    """As any request for rows; a new API key in its place stands for its role."""
    for given, passed_on in (("Bearer user.jwt", b"Bearer user.jwt"), ("Bearer sb_publishable_x", b"Bearer anon.jwt")):
        forward = _route("/realtime/v1/api/broadcast", "POST", apikey="sb_publishable_x", authorization=given)
        assert forward.authorization == passed_on


@pytest.mark.parametrize("target", ["/rest/v1/jobs", "/realtime/v1/websocket?vsn=1.0.0"])
def test_without_a_key_nothing_passes(target: str) -> None:
    """The words are those of Supabase's gateway."""
    assert _refused(_route(target)) == (401, "No API key found in request")


def test_a_wrong_key_is_refused() -> None:
    """Also one that merely begins like a right one."""
    assert _refused(_route("/rest/v1/jobs", apikey="anon.jwt2")) == (401, "Invalid API key")


def test_signing_in_goes_to_auth_without_its_prefix() -> None:
    """With the key, which is nobody's token; the public keys of tokens are anybody's to read."""
    forward = _route("/auth/v1/token?grant_type=password", "POST", apikey="sb_publishable_x")
    assert forward == Forward("auth", b"/token?grant_type=password", b"Bearer anon.jwt")
    assert _refused(_route("/auth/v1/user"))[0] == 401
    assert _route("/auth/v1/.well-known/jwks.json") == Forward("auth", b"/.well-known/jwks.json", b"")


@pytest.mark.parametrize("service", ["storage", "functions", "graphql"])
def test_a_service_that_the_stack_lacks_is_named(service: str) -> None:
    """A person who calls it learns why it does not answer."""
    status, message = _refused(_route(f"/{service}/v1/anything", "POST", apikey="anon.jwt"))
    assert status == 501
    assert f"no such service: {service}" in message


@pytest.mark.parametrize("target", ["/", "/rest/v2/jobs", "/rest/v1beta/jobs", "*"])
def test_any_other_path_is_not_found(target: str) -> None:
    """Nothing but a service's own prefix leads to it."""
    assert _refused(_route(target, apikey="anon.jwt"))[0] == 404


def test_a_preflight_needs_no_key_and_allows_the_headers_that_it_names() -> None:
    """Browsers send no key with it."""
    asked = "apikey,authorization,content-profile,prefer,x-my-own"
    answer = _route("/rest/v1/jobs", "OPTIONS", access_control_request_headers=asked)
    assert isinstance(answer, Answer)
    lines = answer.response.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"Access-Control-Allow-Headers: " + asked.encode() in lines
    assert b"Access-Control-Allow-Origin: *" in lines
    assert any(line.startswith(b"Access-Control-Allow-Methods: ") and b"PATCH" in line for line in lines)
