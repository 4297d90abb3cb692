"""Runs real PostgREST on a Unix socket behind the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from listener.local.keys import write_private
from listener.local.program import Program

if TYPE_CHECKING:
    from pathlib import Path

    from listener.local.postgres import Cluster
    from listener.local.state import StateFolder

TOKEN_SECONDS = 86_400
"""How long a verified token is remembered, at most until it expires: releases from 14 on, as hosted ones, always do."""
POOL = 15  # connections; of the 100 that PostgreSQL grants


def postgrest_socket(cluster: Cluster) -> Path:
    """Return the socket on which PostgREST listens."""
    return cluster.sockets / "postgrest"


def postgrest_program(state: StateFolder, cluster: Cluster, binary: Path) -> Program:
    """Return PostgREST over `cluster`, configured as Supabase configures it."""
    socket = postgrest_socket(cluster)
    config = state.root / "postgrest.conf"

    async def before_start() -> None:
        socket.unlink(missing_ok=True)
        write_private(config, _configuration(cluster, socket))

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(socket))) as client:
                answer = await client.head("http://postgrest/")
        except httpx.TransportError:
            return False
        return answer.is_success

    return Program(
        name="postgrest",
        command=[str(binary), str(config)],
        log_file=state.log("postgrest"),
        ready=ready,
        before_start=before_start,
    )


def _configuration(cluster: Cluster, socket: Path) -> str:
    settings: dict[str, str | int | bool] = {
        "db-uri": cluster.authenticator_dsn,
        "db-schemas": "public",
        "db-extra-search-path": "public, extensions",
        "db-anon-role": "anon",
        "db-max-rows": 1000,
        "db-pool": POOL,
        "db-channel-enabled": True,
        "jwt-secret": cluster.keys.jwt_secret,
        "jwt-cache-max-lifetime": TOKEN_SECONDS,
        "server-unix-socket": str(socket),
        "server-unix-socket-mode": "660",
        "log-level": "warn",
    }
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())


def _quoted(value: str | int | bool) -> str:  # noqa: FBT001 - a value of a configuration file
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f'"{value}"'
