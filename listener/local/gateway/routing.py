"""Decides how a request is handled: forwarded to a service, with a role, or answered at once. Pure; texts are bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

REST, REALTIME, AUTH = "rest", "realtime", "auth"
PREFIXES = {b"/rest/v1": REST, b"/realtime/v1": REALTIME, b"/auth/v1": AUTH}
OPEN = frozenset({b"/auth/v1/.well-known/jwks.json"})
"""Paths that need no key."""
NEW_STYLE_BEARER = b"Bearer sb_"  # not a JWT: it names the role that the apikey names
EXPOSED = (
    b"Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Preference-Applied, Server, "
    b"Transfer-Encoding, Range-Unit, X-Supabase-Api-Version"
)
CORS = b"Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: " + EXPOSED + b"\r\n"
METHODS = b"GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT"
USUAL_HEADERS = (
    b"authorization, apikey, content-type, prefer, range, range-unit, accept, accept-profile, content-profile, "
    b"x-client-info"
)


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request. Header names are in lower case."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def header(self, name: bytes) -> bytes | None:
        """Return the first header called `name`."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Forward:
    """The request goes to `service`, with this target and authorization."""

    service: str
    target: bytes
    authorization: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The request is answered here, with a complete response."""

    response: bytes


def route(request: Request, jwt_by_apikey: Mapping[bytes, bytes]) -> Forward | Answer:
    """Return how `request` is handled, given the role JWT of each accepted key."""
    if request.method == b"OPTIONS":
        return Answer(_preflight(request.header(b"access-control-request-headers")))
    path, _, query = request.target.partition(b"?")
    service = _service(path)
    if service is None:
        return Answer(refusal(*_not_here(path)))
    given, query = _take_apikey(request.header(b"apikey"), query)
    if path in OPEN:
        return Forward(service, _below(path, query), b"")
    role = jwt_by_apikey.get(given or b"")
    if role is None:
        message = "No API key found in request" if given is None else "Invalid API key"
        return Answer(refusal(HTTPStatus.UNAUTHORIZED, message))
    if service == REALTIME:  # its sockets carry the key in the query, and know JWTs only
        target = path + b"?" + b"&".join(filter(None, (b"apikey=" + role, query)))
        return Forward(service, target, _authorization(request.header(b"authorization"), role))
    return Forward(service, _below(path, query), _authorization(request.header(b"authorization"), role))


def _service(path: bytes) -> str | None:
    return next((name for prefix, name in PREFIXES.items() if path == prefix or path.startswith(prefix + b"/")), None)


def _below(path: bytes, query: bytes) -> bytes:
    """Return the target without `/SERVICE/v1`."""
    return b"/" + b"/".join(path.split(b"/")[3:]) + (b"?" + query if query else b"")


def refusal(status: HTTPStatus, message: str) -> bytes:
    """Return a complete response that says `message` in JSON."""
    body = json.dumps({"message": message}).encode()
    return (
        b"HTTP/1.1 %d %s\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n"
        % (status, status.phrase.encode(), len(body))
        + CORS
        + (b"Retry-After: 1\r\n" if status is HTTPStatus.SERVICE_UNAVAILABLE else b"")
        + b"\r\n"
        + body
    )


def _preflight(requested: bytes | None) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Max-Age: 3600\r\n"
        b"Access-Control-Allow-Methods: " + METHODS + b"\r\n"
        b"Access-Control-Allow-Headers: " + (requested or USUAL_HEADERS) + b"\r\n\r\n"
    )


def _not_here(path: bytes) -> tuple[HTTPStatus, str]:
    segments = path.decode("ascii", "replace").split("/")
    if len(segments) > 2 and segments[2] == "v1":  # noqa: PLR2004 - /SERVICE/v1/…
        return (
            HTTPStatus.NOT_IMPLEMENTED,
            f"The embedded stack has no such service: {segments[1]}. It has auth, rest and realtime.",
        )
    return HTTPStatus.NOT_FOUND, "no Route matched with those values"


def _take_apikey(header: bytes | None, query: bytes) -> tuple[bytes | None, bytes]:
    """Return the key, and `query` without it: PostgREST would read it as a filter."""
    if b"apikey=" not in query:
        return header, query
    pairs = query.split(b"&")
    named = [pair for pair in pairs if pair.startswith(b"apikey=")]
    rest = b"&".join(pair for pair in pairs if not pair.startswith(b"apikey="))
    if header is None and named:
        header = unquote(named[0].removeprefix(b"apikey=").decode("ascii", "replace")).encode()
    return header, rest


def _authorization(given: bytes | None, role: bytes) -> bytes:
    if given is None or given.startswith(NEW_STYLE_BEARER):
        return b"Bearer " + role
    return given
