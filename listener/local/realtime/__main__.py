"""Runs the Realtime server: `REALTIME_JWT_SECRET=… REALTIME_DSN=… python -m listener.local.realtime --port 4000`.

The secret and the DSN, which may hold a password, come from the environment: arguments are visible to every user.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

import uvloop

from listener.local.errors import lone_fault
from listener.local.realtime.database import ForeignSchemaError
from listener.local.realtime.rate import TICK_SECONDS
from listener.local.realtime.server import AS_HOSTED, Options, Server


def main() -> int:
    """Parse the command line and serve until SIGTERM or SIGINT."""
    given = options(sys.argv[1:])
    try:
        with lone_fault():
            uvloop.run(_run(given))
    except (OSError, ForeignSchemaError) as fault:
        print(f"realtime: {fault}", file=sys.stderr)  # noqa: T201 - a program's last words
        return 1
    return 0


async def _run(given: Options) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Server(given).run(stop)


def options(arguments: list[str]) -> Options:
    """Return the options of a command line and the environment."""
    parser = argparse.ArgumentParser(prog="python -m listener.local.realtime", description=__doc__)
    parser.add_argument("--host", default=os.environ.get("REALTIME_HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("REALTIME_PORT", "4000")))
    parser.add_argument("--idle-seconds", type=float, default=65.0, help="close sockets that send nothing for so long")
    parser.add_argument("--refused-join-seconds", type=float, default=0.0, help="hold a socket up before a refusal")
    parser.add_argument("--refused-connection-seconds", type=float, default=0.0, help="wait before a 401")
    parser.add_argument(
        "--max-events-per-second",
        dest="events_per_second",
        type=float,
        default=None,
        help="drop changes beyond it, as Supabase does",
    )
    parser.add_argument("--limit-tick-seconds", type=float, default=TICK_SECONDS, help="look at that limit so often")
    parser.add_argument(
        "--as-hosted",
        action="store_true",
        default=os.environ.get("REALTIME_AS_HOSTED", "") not in {"", "0", "false"},
        help="limit and wait as a hosted project does; REALTIME_AS_HOSTED=true does the same",
    )
    parser.add_argument(
        "--remembered-seconds", type=float, default=30.0, help="refuse connections once the database was away longer"
    )
    parser.add_argument("--tables-check-seconds", type=float, default=60.0, help="look so often at what is published")
    given = parser.parse_args(arguments)
    if given.as_hosted:
        parser.set_defaults(**AS_HOSTED)
        given = parser.parse_args(arguments)
    del given.as_hosted
    dsn, secret = os.environ.get("REALTIME_DSN"), os.environ.get("REALTIME_JWT_SECRET")
    if not dsn or not secret:
        parser.error("REALTIME_DSN (libpq, a superuser) and REALTIME_JWT_SECRET are required in the environment")
    return Options(dsn, secret, **vars(given))


if __name__ == "__main__":
    sys.exit(main())
