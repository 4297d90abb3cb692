"""The stack's own processes beside PostgreSQL and PostgREST: the gateway, the Realtime server, the listener."""

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

    from listener.local.postgres import Cluster
    from listener.local.state import StateFolder

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
            "GATEWAY_REALTIME_PORT": str(ports["realtime"]),
        },
    )


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


def accepts(port: int) -> Callable[[], Awaitable[bool]]:
    """Return a check that something listens on `port` of loopback."""

    async def check() -> bool:
        try:
            stream = await anyio.connect_tcp("127.0.0.1", port)
        except OSError:
            return False
        await stream.aclose()
        return True

    return check


def answers_ok(url: str) -> Callable[[], Awaitable[bool]]:
    """Return a check that `url` answers with success."""

    async def check() -> bool:
        try:
            async with httpx.AsyncClient(timeout=2.0) as client:
                return (await client.get(url)).is_success
        except httpx.TransportError:
            return False

    return check
