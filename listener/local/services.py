"""The stack's own processes beside PostgreSQL and PostgREST: gateway, sign-in, Realtime server, listener."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import anyio
import httpx

from listener.local.postgrest import postgrest_socket
from listener.local.program import Program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from anyio.abc import ByteStream

    from listener.local.postgres import Cluster
    from listener.local.state import StateFolder

AUTH_ROLE = "supabase_auth_admin"
DRAIN_SECONDS = 1.5  # Ctrl-C must end everything within five


def gateway_program(state: StateFolder, cluster: Cluster, ports: Mapping[str, int]) -> Program:
    """Return the gateway, on the port of the service `api`."""
    return Program(
        name="gateway",
        command=[sys.executable, "-m", "listener.local.gateway"],
        log_file=state.log("gateway"),
        ready=accepts(ports["api"]),
        environment={
            "GATEWAY_PORT": str(ports["api"]),
            "GATEWAY_KEYS": json.dumps(cluster.keys.jwt_by_apikey()),
            "GATEWAY_REST_SOCKET": str(postgrest_socket(cluster)),
            "GATEWAY_AUTH_SOCKET": str(_auth_socket(cluster)),
            "GATEWAY_REALTIME_PORT": str(ports["realtime"]),
        },
    )


def auth_program(state: StateFolder, cluster: Cluster, issuer: str) -> Program:
    """Return the service that signs users in, for the gateway alone; `issuer` is its URL for clients."""
    socket = _auth_socket(cluster)

    async def before_start() -> None:
        socket.unlink(missing_ok=True)

    return Program(
        name="auth",
        command=[sys.executable, "-m", "listener.local.auth"],
        log_file=state.log("auth"),
        ready=accepts(socket),
        before_start=before_start,
        environment={
            "AUTH_SOCKET": str(socket),
            "AUTH_DSN": f"{cluster.admin_dsn} options='-c role={AUTH_ROLE}'",
            "AUTH_JWT_SECRET": cluster.keys.jwt_secret,
            "AUTH_ISSUER": issuer,
        },
    )


def _auth_socket(cluster: Cluster) -> Path:
    return cluster.sockets / "auth"


def realtime_program(state: StateFolder, cluster: Cluster, port: int) -> Program:
    """Return the Realtime server, for the gateway alone."""
    return Program(
        name="realtime",
        command=[sys.executable, "-m", "listener.local.realtime"],
        log_file=state.log("realtime"),
        ready=accepts(port),
        environment={
            "REALTIME_HOST": "127.0.0.1",
            "REALTIME_PORT": str(port),
            "REALTIME_DSN": cluster.admin_dsn,
            "REALTIME_JWT_SECRET": cluster.keys.jwt_secret,
        },
    )


def listener_program(state: StateFolder, environment: Mapping[str, str]) -> Program:
    """Return `listener run` against the stack, ready when its `/readyz` says so."""
    return Program(
        name="listener",
        command=[sys.executable, "-m", "listener.cli", "run"],
        log_file=state.log("listener"),
        ready=answers_ok(environment["LISTENER_HTTP_URL"] + "/readyz"),
        environment={**environment, "LISTENER_DRAIN_SECONDS": str(DRAIN_SECONDS)},
        ready_seconds=30.0,
        stop_seconds=DRAIN_SECONDS + 1,
    )


def accepts(address: int | Path) -> Callable[[], Awaitable[bool]]:
    """Return a check that something listens on a port of loopback, or on a Unix socket."""

    async def check() -> bool:
        try:
            stream = await _connect(address)
        except OSError:
            return False
        await stream.aclose()
        return True

    return check


async def _connect(address: int | Path) -> ByteStream:
    if isinstance(address, int):
        return await anyio.connect_tcp("127.0.0.1", address)
    return await anyio.connect_unix(address)


def answers_ok(url: str) -> Callable[[], Awaitable[bool]]:
    """Return a check that `url` answers with success."""

    async def check() -> bool:
        try:
            async with httpx.AsyncClient(timeout=2.0) as client:
                return (await client.get(url)).is_success
        except httpx.TransportError:
            return False

    return check
