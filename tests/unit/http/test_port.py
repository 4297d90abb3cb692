"""The service's own port serves those who know its name, and nobody's connections take the service's place."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from listener.app import http_guard, http_server
from listener.app.http import HttpAccess, application
from listener.app.http_server import serve
from listener.testing import NOON


class Well:
    """A service without a fault."""

    def fault(self):
        return None

    def parts(self):
        return {}


def app(*hosts):
    """The pages, with what the service is doing."""
    return application(Well(), bytes, dict, lambda: NOON, HttpAccess(hosts))


@asynccontextmanager
async def served(host="127.0.0.1"):
    """Serve the pages on a port of this machine, and give the port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, app(), host, port)
        with anyio.fail_after(10):
            while not await _reaches(port):  # noqa: ASYNC110 - the port says nothing when it opens
                await anyio.sleep(0.01)
        yield port
        tasks.cancel_scope.cancel()


async def _reaches(port):
    try:
        async with await anyio.connect_tcp("127.0.0.1", port):
            return True
    except OSError:
        return False


async def answer_of(stream):
    """Read until the connection ends, which it must."""
    received = b""
    with anyio.fail_after(30):
        while True:
            try:
                received += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return received


PREVIEW = "/api/preview?cron=@daily"


@pytest.mark.parametrize(
    ("host", "page", "status"),
    [
        ("localhost", PREVIEW, 200),
        ("LOCALHOST:8787", PREVIEW, 200),
        ("localhost.", PREVIEW, 200),
        ("127.0.0.1:8787", PREVIEW, 200),
        ("[::1]:8787", PREVIEW, 200),
        ("listener.internal:80", PREVIEW, 200),
        ("10.9.8.7", PREVIEW, 200),  # the connection's own address
        ("evil.example", PREVIEW, 421),
        ("evil.example", "/livez", 421),
        ("evil.example", "/metrics", 421),
        ("evil.example", "/debug/scheduler", 421),
        ("evil.example", "/nowhere", 421),
        ("localhost.evil.example", PREVIEW, 421),
        ("127.0.0.1.evil.example", "/readyz", 421),
        ("listener", PREVIEW, 421),
        ("192.0.2.1", PREVIEW, 421),
        ("192.0.2.1", "/debug/scheduler", 421),
        ("192.0.2.1:8787", "/livez", 200),
        ("192.0.2.1", "/readyz", 200),
        ("[2001:db8::1]:8787", "/metrics", 200),
        ("", "/livez", 421),
    ],
)
async def test_known_hosts_alone_are_served(host, page, status):
    """A name that somebody else's page lets resolve to this port is refused; any address may probe."""

    async def at_its_own_address(scope, receive, send):
        await app("Listener.internal")({**scope, "server": ("10.9.8.7", 8787)}, receive, send)

    transport = httpx.ASGITransport(at_its_own_address)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get(page, headers={"host": host})
    assert answer.status_code == status
    if status == 421:
        assert "LISTENER_ALLOWED_HOSTS" in answer.json()["message"]


async def test_a_body_is_not_read():
    """No page takes one, so none is waited for."""
    async with served() as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"POST /livez HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\nabc")
        assert (await answer_of(stream)).startswith(b"HTTP/1.1 413 ")


async def test_a_header_without_end_is_refused():
    """Before it fills the memory."""
    async with served() as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 2 * http_server.MAX_HEADER_BYTES)
        assert (await answer_of(stream)).startswith(b"HTTP/1.1 4")


@pytest.mark.slow
async def test_a_client_that_sends_its_request_slowly_is_left(monkeypatch):
    """Also one that has sent a whole one before."""
    monkeypatch.setattr(http_server, "LIFETIME_SECONDS", 1)
    async with served() as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\nGET /livez HTTP/1.1\r\nho")
        received = await answer_of(stream)
    assert received.count(b"HTTP/1.1 200") == 1


async def test_a_new_connection_takes_the_place_of_the_oldest_one(monkeypatch):
    """So that connections that are held open keep no probe out."""
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 4)
    monkeypatch.setattr(http_server, "LIFETIME_SECONDS", 600)
    async with served() as port:
        held = [await anyio.connect_tcp("127.0.0.1", port) for _ in range(6)]
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/livez")).text == "ok"
        assert await answer_of(held[0]) == b""
        for stream in held:
            await stream.aclose()


async def asked(client, *pages):
    """Ask for these pages together, and give the status of each answer."""
    codes = {}

    async def ask(place, page):
        codes[place] = (await client.get(page)).status_code

    async with anyio.create_task_group() as tasks:
        for place, page in enumerate(pages):
            tasks.start_soon(ask, place, page)
    return [codes[place] for place in range(len(pages))]


async def test_a_flood_ends_in_refusals_and_the_process_stays_alive(monkeypatch):
    """Of the requests beyond the bound only the one that an orchestrator restarts the service for is answered."""
    monkeypatch.setattr(http_guard, "REQUESTS_PER_SECOND", 0.01)
    monkeypatch.setattr(http_guard, "BURST", 2)
    transport = httpx.ASGITransport(app())
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        codes = await asked(client, "/readyz", "/readyz", "/readyz", "/readyz", "/metrics", "/livez")
    assert codes == [200, 200, 200, 503, 503, 200]


async def test_requests_within_the_bound_come_in_turns(monkeypatch):
    """They leave the loop to the jobs in between."""
    monkeypatch.setattr(http_guard, "REQUESTS_PER_SECOND", 20)
    monkeypatch.setattr(http_guard, "BURST", 0)
    transport = httpx.ASGITransport(app())
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        began = anyio.current_time()
        assert await asked(client, *["/readyz"] * 6) == [200] * 6
        assert anyio.current_time() - began >= 5 / 20
