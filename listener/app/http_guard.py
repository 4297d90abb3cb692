"""Guards every page of the service's own port: known hosts only, no bodies, and a limited number of requests a second.

A foreign web page, open in an operator's browser, reaches this port by letting a name of its own resolve to the
port's address. The browser then sends that name as `Host`. An IP address in its place cannot be such a name.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import anyio
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

PROBED = frozenset({"/livez", "/readyz", "/metrics"})
"""Orchestrators and Prometheus name the pod's or the node's address, which translation may have changed on the way."""
REQUESTS_PER_SECOND, BURST = 200, 50
MAX_WAIT_SECONDS = 1.0
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class RequestGuard:
    """An ASGI application before another one.

    Args:
        app: the pages.
        hosts: names under which the port is known, beside `localhost` and the address of the connection.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app, self._hosts = app, LOCAL_HOSTS.union(map(str.lower, hosts))
        self._next = 0.0  # when the next request may begin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        app = self._app if scope["type"] != "http" else self._refusal(scope) or await self._in_turn(scope)
        await app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if not self._knows(headers.get("host"), scope):
            message = (
                f"Host: {headers.get('host')!r:.100} is not known here; expected an address of this port, or a name"
            )
            return _closing({"message": f"{message} of LISTENER_ALLOWED_HOSTS"}, 421)
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return _closing({"message": "no page takes a body"}, 413)
        return None

    async def _in_turn(self, scope: Scope) -> ASGIApp:
        """Wait for the request's turn; if too many wait already, only `/livez` is answered."""
        now = anyio.current_time()
        turn = max(self._next, now - BURST / REQUESTS_PER_SECOND)
        if turn - now > MAX_WAIT_SECONDS:
            is_probe = scope["path"] == "/livez"
            return PlainTextResponse("ok") if is_probe else _closing({"message": "too many requests"}, 503)
        self._next = turn + 1 / REQUESTS_PER_SECOND
        if turn > now:
            await anyio.sleep(turn - now)
        return self._app

    def _knows(self, header: str | None, scope: Scope) -> bool:
        is_probe = scope["path"] in PROBED
        if header is None:  # HTTP/1.0, which no browser speaks
            return is_probe
        host = _without_port(header)
        return host in self._hosts or host == _own_address(scope) or (is_probe and _is_address(host))


def _without_port(header: str) -> str:
    host = header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def _own_address(scope: Mapping[str, object]) -> object:
    server = scope.get("server")
    return server[0] if isinstance(server, (tuple, list)) else None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _closing(content: Mapping[str, str], status: int) -> JSONResponse:
    headers = {"connection": "close", **({"retry-after": "1"} if status == 503 else {})}  # noqa: PLR2004 - its own name
    return JSONResponse(content, status, headers)
