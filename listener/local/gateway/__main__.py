"""The gateway's own process: `python -m listener.local.gateway`, configured by the environment (see `ENVIRONMENT`)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from functools import partial

import uvloop

from listener.local.gateway.client import Client
from listener.local.gateway.routing import AUTH, REALTIME, REST
from listener.local.gateway.upstream import Pool

ENVIRONMENT = {
    "GATEWAY_PORT": "port on 127.0.0.1",
    "GATEWAY_KEYS": "JSON object: accepted apikey to the JWT of its role",
    "GATEWAY_REST_SOCKET": "Unix socket of PostgREST",
    "GATEWAY_AUTH_SOCKET": "Unix socket of the sign-in service",
    "GATEWAY_REALTIME_PORT": "port of the Realtime server on 127.0.0.1",
}
BACKLOG = 1024


async def serve(port: int, keys: dict[str, str], rest_socket: str, auth_socket: str, realtime_port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    pool = Pool(
        {
            REST: partial(loop.create_unix_connection, path=rest_socket),
            AUTH: partial(loop.create_unix_connection, path=auth_socket),
            REALTIME: partial(loop.create_connection, host="127.0.0.1", port=realtime_port),
        },
        loop.time,
    )
    jwt_by_apikey = {key.encode(): jwt.encode() for key, jwt in keys.items()}
    stop = asyncio.Event()
    for order in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(order, stop.set)
    server = await loop.create_server(lambda: Client(pool, jwt_by_apikey), "127.0.0.1", port, backlog=BACKLOG)
    await stop.wait()
    server.close()


def main() -> None:
    """Read the environment and serve."""
    given = {name: os.environ[name] for name in ENVIRONMENT}
    uvloop.run(
        serve(
            int(given["GATEWAY_PORT"]),
            json.loads(given["GATEWAY_KEYS"]),
            given["GATEWAY_REST_SOCKET"],
            given["GATEWAY_AUTH_SOCKET"],
            int(given["GATEWAY_REALTIME_PORT"]),
        )
    )


if __name__ == "__main__":
    main()
