"""The dashboard at `/dashboard/`: static files of the package, and the address of the project that they work on.

The files are read in a thread at the first request, and again when another build has replaced them; then every answer
comes from memory.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import mimetypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio
from anyio import to_thread
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

BUILT: Final = Path(__file__).parents[1] / "_dashboard"
FIRST: Final = "index.html"
HASHED: Final = "assets/"
"""The folder in which Vite puts files whose names change with their content."""
OFF: Final = """\
The dashboard is off: browsers need the project's publishable key.
Set SUPABASE_PUBLISHABLE_KEY (or SUPABASE_ANON_KEY, the legacy one) for the listener, and start it again.
"""
NOT_BUILT: Final = """\
This checkout has no built dashboard. `make install` builds it, and so does `npm ci && npm run build` in dashboard/.
"""
PRIVATE: Final = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class BrowserAccess:
    """A browser's way to the project: its URL there, the key, and whether the listener has a mail server."""

    url: str
    key: str
    sends_mail: bool = False

    def config(self) -> bytes:
        """The content of `config.json`; the listener's own pages, such as `/api/preview`, are one level up."""
        project = {"supabaseUrl": self.url, "publishableKey": self.key, "listenerUrl": ".."}
        return json.dumps({**project, "sendsMail": self.sends_mail}).encode()

    def policy(self) -> str:
        """The Content-Security-Policy: scripts and styles of the files alone, requests to the project and this port."""
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(self.url))
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            f"connect-src 'self' {origin} {origin.replace('http', 'ws', 1)}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
        )


@dataclass(frozen=True, slots=True)
class _File:
    """A file in memory, and compressed where that is shorter."""

    content: bytes
    media_type: str
    cached: str
    etag: str = field(init=False)
    zipped: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        zipped = gzip.compress(self.content, mtime=0)
        object.__setattr__(self, "zipped", zipped if len(zipped) < len(self.content) else None)
        object.__setattr__(self, "etag", f'W/"{hashlib.sha256(self.content).hexdigest()[:16]}"')

    def answer(self, request: Request) -> Response:
        headers = {"cache-control": self.cached, "etag": self.etag, "vary": "accept-encoding"}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if self.zipped and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.zipped, headers={**headers, "content-encoding": "gzip"}, media_type=self.media_type)
        return Response(self.content, headers=headers, media_type=self.media_type)


_Build = dict[str, int]


class Dashboard:
    """Serves the built files and `config.json`.

    Args:
        access: how a browser reaches the project; without it the dashboard is off.
        folder: the built files; it need not exist.
    """

    def __init__(self, access: BrowserAccess | None, folder: Path = BUILT) -> None:
        self._access, self._folder = access, folder
        self._headers = {**PRIVATE, "content-security-policy": access.policy() if access else "default-src 'none'"}
        self._files: Mapping[str, _File] = {}
        self._build: _Build = {}
        self._reading = anyio.Lock()

    def routes(self) -> list[Route]:
        """The routes of the application."""
        return [Route("/dashboard", _with_slash), Route("/dashboard/{path:path}", self.page)]

    async def page(self, request: Request) -> Response:
        """Answer one request: 404 also where the dashboard is off or was not built, with what to do."""
        response = await self._answer(request)
        response.headers.update(self._headers)
        return response

    async def _answer(self, request: Request) -> Response:
        if self._access is None:
            return PlainTextResponse(OFF, status_code=404)
        path = request.path_params["path"] or FIRST
        if not path.startswith(HASHED) or path not in self._files:
            await self._read_again(self._access)
        if not self._files:
            return PlainTextResponse(NOT_BUILT, status_code=404)
        found = self._files.get(path)
        return found.answer(request) if found else PlainTextResponse("no such file\n", status_code=404)

    async def _read_again(self, access: BrowserAccess) -> None:
        """Read the files unless they are those of the present build."""
        async with self._reading:
            build, files = await to_thread.run_sync(_read, self._folder, self._build)
            if files is not None:
                config = _File(access.config(), "application/json", "no-cache")
                self._build, self._files = build, {**files, "config.json": config} if files else {}


def _read(folder: Path, known: _Build) -> tuple[_Build, dict[str, _File] | None]:
    """Return the files' times, and the files where the times are not the known ones."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    build = {name: path.stat().st_mtime_ns for name, path in paths.items()}
    if build == known:
        return build, None
    return build, {name: _file(name, path.read_bytes()) for name, path in paths.items()}


def _file(name: str, content: bytes) -> _File:
    cached = "public, max-age=31536000, immutable" if name.startswith(HASHED) else "no-cache"
    media_type = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    return _File(content, media_type or "application/octet-stream", cached)


async def _with_slash(_: Request) -> Response:
    return RedirectResponse("dashboard/", status_code=308)
