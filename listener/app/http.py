"""The HTTP server of the service: liveness, readiness, metrics, debug page, schedule preview and dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from listener.app.dashboard import Dashboard
from listener.app.http_guard import RequestGuard
from listener.errors import InvalidValueError
from listener.preview.answers import PreviewAnswers, TooManyPreviewsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime
    from typing import Any

    from starlette.requests import Request

    from listener.app.dashboard import BrowserAccess


class Readiness(Protocol):
    """Reports whether the service is ready."""

    def fault(self) -> str | None:
        """The reason why the service is not ready, or None."""
        ...

    def parts(self) -> Mapping[str, str]:
        """The state of each part."""
        ...


@dataclass(frozen=True, slots=True)
class HttpAccess:
    """Access to the pages: `hosts` are names of the port, `origins` are the web pages that may request previews.

    `project` is the dashboard's; without it, the dashboard is off.
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    project: BrowserAccess | None = None


def application(
    health: Readiness,
    exposition: Callable[[], bytes],
    describe: Callable[[], Mapping[str, Any]] | None,
    now: Callable[[], datetime],
    access: HttpAccess = HttpAccess(),
) -> RequestGuard:
    """Build the application.

    Args:
        health: the readiness that `/readyz` reports.
        exposition: metrics in Prometheus' text format.
        describe: what `/debug/scheduler` shows; None leaves that page out.
        now: the present instant, the default start of `/api/preview`.
        access: the hosts and origins with access, and the project's for the dashboard.
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

    async def debug(_: Request) -> Response:
        return JSONResponse(describe() if describe else {})

    cors = Middleware(CORSMiddleware, allow_origins=access.origins, allow_methods=["GET"])
    routes = [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/api/preview", _preview_page(now), methods=["GET", "OPTIONS"], middleware=[cors]),
        *Dashboard(access.project).routes(),
    ]
    if describe is not None:
        routes.append(Route("/debug/scheduler", debug))
    return RequestGuard(Starlette(routes=routes), access.hosts)


def _preview_page(now: Callable[[], datetime]) -> Callable[[Request], Awaitable[Response]]:
    previews = PreviewAnswers()

    async def preview(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": "GET, HEAD, OPTIONS"})
        try:
            return JSONResponse(await previews.answer(request.scope["query_string"], now()))
        except InvalidValueError as invalid:
            return JSONResponse({"message": str(invalid)}, status_code=400)
        except TooManyPreviewsError as busy:
            return JSONResponse({"message": str(busy)}, status_code=503, headers={"retry-after": "1"})

    return preview
