"""Makes the Supabase client that handlers get as `job.client`."""

from __future__ import annotations

import httpx
from supabase import AsyncClient, AsyncClientOptions

TIMEOUTS = httpx.Timeout(15.0, connect=5.0)


def make_client(url: str, key: str) -> AsyncClient:
    """Make a client with the service's powers: no session is kept, and HTTP/2 stays off (its keep-alive breaks)."""
    options = AsyncClientOptions(
        auto_refresh_token=False,
        persist_session=False,
        httpx_client=httpx.AsyncClient(timeout=TIMEOUTS, http2=False),
    )
    return AsyncClient(url, key, options)
