"""The messages that the embedded Realtime server has counted, as Supabase bills them."""

from __future__ import annotations

import httpx


def messages(port: int) -> dict[str, int]:
    """Return the messages since the server's start, by feature."""
    counted: dict[str, int] = httpx.get(f"http://127.0.0.1:{port}/health").json()["messages"]
    return counted
