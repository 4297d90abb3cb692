"""The service's own port: alive, ready, metrics, what it is doing, and what a schedule would do."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Protocol

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from listener.errors import InvalidValueError
from listener.execution.forks import kept_from_children
from listener.preview.request import read_request
from listener.preview.schedule_preview import as_answer
from listener.preview.schedule_preview import preview as occurrences_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from typing import Any

    from starlette.requests import Request


MOST_PREVIEWED = 1000
"""Runs in one preview: the loop computes them, and other jobs are waiting for it."""


class Readiness(Protocol):
    """What tells whether the service is ready."""

    def fault(self) -> str | None:
        """Why it is not, or None."""
        ...

    def parts(self) -> Mapping[str, str]:
        """How each part of it is."""
        ...


class _Server(uvicorn.Server):
    """Leaves the signals to the service, which drains first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


def application(
    health: Readiness,
    exposition: Callable[[], bytes],
    describe: Callable[[], Mapping[str, Any]] | None,
    now: Callable[[], datetime],
) -> Starlette:
    """Build the application.

    Args:
        health: what `/readyz` says.
        exposition: metrics in Prometheus' text format.
        describe: what `/debug/scheduler` shows; None leaves that page out.
        now: the present, where `/api/preview` begins unless it is told otherwise.
    """

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        why, parts = health.fault(), health.parts()
        status = 503 if why else 200
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"ready": why is None, "reason": why, "parts": parts}, status_code=status)
        lines = [why or "ok", *(f"{part}: {state}" for part, state in parts.items())]
        return PlainTextResponse("".join(f"{line}\n" for line in lines), status_code=status)

    async def metrics(_: Request) -> Response:
        return Response(exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def preview(request: Request) -> Response:
        try:
            asked = read_request(dict(request.query_params), now(), most=MOST_PREVIEWED)
            occurrences = occurrences_of(asked.trigger, asked.after, asked.n)
        except InvalidValueError as invalid:
            return JSONResponse({"message": str(invalid)}, status_code=400)
        return JSONResponse(as_answer(asked.trigger, occurrences))

    async def debug(_: Request) -> Response:
        return JSONResponse(describe() if describe else {})

    routes = [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/api/preview", preview),
    ]
    if describe is not None:
        routes.append(Route("/debug/scheduler", debug))
    return Starlette(routes=routes)


async def serve(app: Starlette, host: str, port: int) -> None:
    """Serve until cancelled.

    Raises:
        OSError: the address cannot be bound; uvicorn itself would end the process without a word.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host.strip("[]"), port), family=family) as listening,
        kept_from_children(listening.fileno()),
    ):
        await _serve(app, listening)


async def _serve(app: Starlette, listening: socket.socket) -> None:
    server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none"))
    try:
        await server.serve(sockets=[listening])
    finally:
        if server.started:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await server.shutdown()
