"""The service's own process: `python -m listener.local.auth`, configured by the environment (see `ENVIRONMENT`)."""

from __future__ import annotations

import os

import uvicorn

from listener.local.auth.access_tokens import Signer
from listener.local.auth.app import AuthRoutes, application

ENVIRONMENT = {
    "AUTH_SOCKET": "Unix socket to listen on",
    "AUTH_DSN": "libpq's, of a role that owns the tables of auth",
    "AUTH_JWT_SECRET": "signs access tokens",
    "AUTH_ISSUER": "URL of the service for clients",
}
KEEP_ALIVE_SECONDS = 60
"""Longer than the gateway keeps a connection, so that none is closed as a request begins."""


def main() -> None:
    """Read the environment and serve until SIGTERM or SIGINT."""
    given = {name: os.environ[name] for name in ENVIRONMENT}
    app = application(AuthRoutes(given["AUTH_DSN"], Signer(given["AUTH_JWT_SECRET"], given["AUTH_ISSUER"])))
    uvicorn.run(
        app,
        uds=given["AUTH_SOCKET"],
        log_level="warning",
        lifespan="off",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
