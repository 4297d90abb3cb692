"""The gateway keeps its connections to a service open, and copes with a service that does not."""

from __future__ import annotations

import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx

from listener.local.program import Program, running
from listener.local.services import accepts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from anyio.abc import SocketStream

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"
FALSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nok"


class Service:
    """Answers every request on its socket with the same bytes, and counts."""

    def __init__(self, answer: bytes, *, stays: bool = True) -> None:
        self.answer, self.stays = answer, stays
        self.connections = 0

    async def handle(self, stream: SocketStream) -> None:
        """Serve one connection."""
        self.connections += 1
        async with stream:
            while True:
                try:
                    await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                await stream.send(self.answer)
                if not self.stays:
                    return


@asynccontextmanager
async def _gateway_before(service: Service | None, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run a gateway in front of `service`; None leaves its socket unserved."""
    path = folder / "rest"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with (
        await anyio.create_unix_listener(path) as listener,
        anyio.create_task_group() as tasks,
        running(_gateway(port, path, folder / "gateway.log")),
    ):
        if service is None:
            await listener.aclose()
        else:
            tasks.start_soon(listener.serve, service.handle)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"apikey": "key"}) as client:
            yield client
        tasks.cancel_scope.cancel()


def _gateway(port: int, path: Path, log_file: Path) -> Program:
    environment = {
        "GATEWAY_PORT": str(port),
        "GATEWAY_KEYS": '{"key": "jwt"}',
        "GATEWAY_REST_SOCKET": str(path),
        "GATEWAY_AUTH_SOCKET": str(path),
        "GATEWAY_REALTIME_PORT": "1",
    }
    return Program("gateway", [sys.executable, "-m", "listener.local.gateway"], log_file, accepts(port), environment)


async def test_one_connection_carries_all_requests_of_one_client(tmp_path: Path) -> None:
    """Connecting anew would double what the gateway costs."""
    service = Service(CHUNKED)
    async with _gateway_before(service, tmp_path) as client:
        for _ in range(20):
            assert (await client.get("/rest/v1/")).text == "ok"
    assert service.connections == 1


async def test_a_response_that_ends_with_its_connection_is_passed_on_whole(tmp_path: Path) -> None:
    """And the next request gets a connection of its own."""
    service = Service(CLOSING, stays=False)
    async with _gateway_before(service, tmp_path) as client:
        for _ in range(3):
            assert (await client.get("/rest/v1/")).text == "ok"
    assert service.connections == 3


async def test_a_service_that_hangs_up_without_a_word_is_a_bad_gateway(tmp_path: Path) -> None:
    """The client may try again; the gateway goes on."""
    async with _gateway_before(Service(b"", stays=False), tmp_path) as client:
        answer = await client.get("/rest/v1/")
    assert answer.status_code == 502
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_response_that_breaks_off_breaks_off_for_the_client_too(tmp_path: Path) -> None:
    """It must not take half an answer for a whole one."""
    async with _gateway_before(Service(FALSE, stays=False), tmp_path) as client:
        try:
            await client.get("/rest/v1/")
        except httpx.RemoteProtocolError as fault:
            assert "closed connection" in str(fault)  # noqa: PT017 - raises() would hide what else may come
        else:
            raise AssertionError


async def test_a_service_that_is_away_is_unavailable_for_the_moment(tmp_path: Path) -> None:
    """With the hint to come again, as after a restart of PostgREST."""
    async with _gateway_before(None, tmp_path) as client:
        answer = await client.get("/rest/v1/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"message": "The rest service does not answer yet"}
