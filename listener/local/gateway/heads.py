"""Writes the head of a request for the service behind the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.local.gateway.routing import REALTIME

if TYPE_CHECKING:
    from listener.local.gateway.routing import Forward, Request

HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"expect"})
REPLACED = frozenset({b"authorization", b"apikey"})
ORIGIN = frozenset({b"origin"})  # PostgREST would answer with CORS headers of its own; Realtime checks it


def head_for_service(request: Request, forward: Forward, version: str) -> bytes:
    """Return the head, in the HTTP version of the client so that the response suits it too."""
    left_out = HOP_BY_HOP | REPLACED | (ORIGIN if forward.service != REALTIME else frozenset())
    return _head(request, forward, version, left_out)


def head_for_upgrade(request: Request, forward: Forward) -> bytes:
    """Return the head of a websocket's handshake."""
    return _head(request, forward, "1.1", REPLACED)


def _head(request: Request, forward: Forward, version: str, left_out: frozenset[bytes]) -> bytes:
    lines = [b"%s %s HTTP/%s" % (request.method, forward.target, version.encode())]
    lines += [b"%s: %s" % header for header in request.headers if header[0] not in left_out]
    lines += (b"authorization: " + forward.authorization, b"", b"")
    return b"\r\n".join(lines)
