"""Makes the service's http stage fail, each time anew, from the moment that the file LOST_PORT exists."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from listener.app import service

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_serve = service.serve


async def _serve_until_the_port_is_lost(app: ASGIApp, host: str, port: int) -> None:
    lost = Path(os.environ["LOST_PORT"])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, app, host, port)
        while not lost.exists():  # noqa: ASYNC110, ASYNC240 - the test makes it, from another process
            await anyio.sleep(0.02)
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))


service.serve = _serve_until_the_port_is_lost
