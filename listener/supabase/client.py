"""Makes the Supabase client that handlers get as `job.client`, with connections of its own."""

from __future__ import annotations

from functools import partial

import httpx
from supabase import AsyncClient, AsyncClientOptions

from listener.supabase.admitted_transport import AdmittedTransport
from listener.supabase.rpc import proxy_to

TIMEOUTS = httpx.Timeout(15.0, connect=5.0, pool=60.0)
"""Many runs may wait for a connection; their own time limits are shorter, or longer."""
CONNECTIONS = 50


def make_client(url: str, key: str) -> AsyncClient:
    """Make a client with the service's powers: no session is kept, and HTTP/2 stays off (its keep-alive breaks)."""
    options = AsyncClientOptions(
        auto_refresh_token=False,
        persist_session=False,
        httpx_client=httpx.AsyncClient(timeout=TIMEOUTS, transport=AdmittedTransport(CONNECTIONS, partial(_pool, url))),
    )
    return AsyncClient(url, key, options)


def _pool(url: str) -> httpx.AsyncHTTPTransport:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS // 2)
    return httpx.AsyncHTTPTransport(http2=False, limits=limits, proxy=proxy_to(url))
