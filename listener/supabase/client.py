"""Makes the Supabase clients that handlers get as `job.client`, with connections of their own."""

from __future__ import annotations

from functools import partial

import httpx
from supabase import AsyncClient, AsyncClientOptions

from listener.supabase.admitted_transport import AdmittedTransport
from listener.supabase.rpc import proxy_to

TIMEOUTS = httpx.Timeout(15.0, connect=5.0, pool=60.0)
"""Many runs may wait for a connection; their own time limits are shorter, or longer."""
CONNECTIONS = 50


class _Lent(httpx.AsyncBaseTransport):
    """A transport that several clients use: none of them closes it."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, as the transport does."""
        return await self._transport.handle_async_request(request)


class ClientMaker:
    """Makes clients: they share connections and nothing else, and one costs about 0.2 ms.

    A handler that signs in as a user, changes a header or closes its client does so for its own run.

    Args:
        url: the project's URL.
        key: the service's key.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self._transport = AdmittedTransport(CONNECTIONS, partial(_pool, url))

    def __call__(self) -> AsyncClient:
        """Make a client."""
        return _client(self._url, self._key, _Lent(self._transport))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def make_client(url: str, key: str) -> AsyncClient:
    """Make a client with the service's powers: no session is kept, and HTTP/2 stays off (its keep-alive breaks)."""
    return _client(url, key, AdmittedTransport(CONNECTIONS, partial(_pool, url)))


def _client(url: str, key: str, transport: httpx.AsyncBaseTransport) -> AsyncClient:
    options = AsyncClientOptions(
        auto_refresh_token=False,
        persist_session=False,
        httpx_client=httpx.AsyncClient(timeout=TIMEOUTS, transport=transport),
    )
    return AsyncClient(url, key, options)


def _pool(url: str) -> httpx.AsyncHTTPTransport:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS // 2)
    return httpx.AsyncHTTPTransport(http2=False, limits=limits, proxy=proxy_to(url))
