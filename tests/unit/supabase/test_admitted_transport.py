"""Requests that are admitted find a connection, whatever is cancelled beside them."""

from __future__ import annotations

import random

import anyio
import httpx
import pytest
from aiohttp import web
from answering import answering
from structlog.testing import capture_logs

from listener.supabase import client as client_module
from listener.supabase.admitted_transport import STUCK_AFTER, AdmittedTransport
from listener.supabase.client import ClientMaker, make_client

CONNECTIONS = 5


class Server:
    """Answers after a while, and knows how many requests went on at a time."""

    def __init__(self):
        self.now = self.most = 0

    async def respond(self, _request):
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await anyio.sleep(0.01)
        finally:
            self.now -= 1
        return web.Response(body=b"x" * 100_000)


def pool():
    """Open a pool of as many connections as are admitted."""
    return httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=CONNECTIONS))


@pytest.fixture
async def server():
    """Give a server and its address."""
    server = Server()
    async with answering(server.respond) as server.url:
        yield server


@pytest.fixture
async def client():
    """Give a client on an admitted transport."""
    async with httpx.AsyncClient(transport=AdmittedTransport(CONNECTIONS, pool), timeout=5) as client:
        yield client


async def test_a_client_works_after_hundreds_of_cancellations(client, server):
    """Without admission, each connection that was made for a request cancelled in that moment is lost."""
    chance = random.Random(7)  # noqa: S311 - varies a test

    async def cancelled():
        with anyio.move_on_after(chance.random() * 0.5):
            await client.get(server.url)

    async with anyio.create_task_group() as tasks:
        for _ in range(400):
            tasks.start_soon(cancelled)
    transport = client._transport
    assert [each.info() for each in transport._pool._pool._connections].count("CONNECTING") == 0
    assert transport._slots.value == CONNECTIONS
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(4 * CONNECTIONS):
                tasks.start_soon(client.get, server.url)


async def test_no_more_requests_go_on_than_there_are_connections(client, server):
    """The others wait in their order, and get their turn."""
    async with anyio.create_task_group() as tasks:
        for _ in range(10 * CONNECTIONS):
            tasks.start_soon(client.get, server.url)
    assert server.most == CONNECTIONS


async def test_a_response_keeps_its_slot_until_it_is_closed(client, server):
    """Its connection is in use as long; a request that waits too long raises."""
    async with client.stream("GET", server.url):
        assert client._transport._slots.value == CONNECTIONS - 1
    assert client._transport._slots.value == CONNECTIONS
    for _ in range(CONNECTIONS):
        client._transport._slots.acquire_nowait()
    with pytest.raises(httpx.PoolTimeout, match="others had every connection"):
        await client.get(server.url, timeout=0.05)


async def test_a_pool_that_gives_no_connection_is_replaced(server):
    """After a few requests in a row; it is logged, and the next request goes through."""
    made = []

    class Stuck(httpx.AsyncBaseTransport):
        closed = False

        async def handle_async_request(self, request):
            raise httpx.PoolTimeout(request.method, request=request)

        async def aclose(self):
            self.closed = True

    def make():
        made.append(pool() if made else Stuck())
        return made[-1]

    async with httpx.AsyncClient(transport=AdmittedTransport(CONNECTIONS, make)) as client:
        with capture_logs() as logs:
            for _ in range(STUCK_AFTER):
                with pytest.raises(httpx.PoolTimeout):
                    await client.get(server.url)
        assert (await client.get(server.url)).is_success
    assert [(line["event"], line["requests_refused"]) for line in logs] == [("connections.replaced", STUCK_AFTER)]
    assert (len(made), made[0].closed) == (2, True)


async def test_the_client_of_handlers_is_admitted_and_asks_the_proxy_of_the_environment(server, monkeypatch):
    """As the service's own calls do, on connections of its own."""
    monkeypatch.setenv("http_proxy", server.url)
    client = make_client("http://project.example", "sb_secret_x").options.httpx_client
    assert client._transport._slots.value == client_module.CONNECTIONS
    async with client:
        assert (await client.get("http://project.example/rest/v1/")).is_success
    assert server.most == 1


async def test_clients_of_runs_share_connections_and_nothing_else(server):
    """A run that harms its client harms no other's; a closed one closes no connection."""
    make = ClientMaker(server.url, "sb_secret_x")
    first, second = make(), make()
    first.postgrest.auth("a token")
    first.options.headers["x-mine"] = "1"
    first.table = None
    await first.postgrest.aclose()
    headers = {**second.postgrest.session.headers, **second.options.headers}
    assert "a token" not in str(headers)
    assert "x-mine" not in headers
    assert callable(second.table)
    assert (await second.options.httpx_client.get(f"{server.url}/rest/v1/")).is_success
    shared = first.options.httpx_client._transport._transport
    assert second.options.httpx_client._transport._transport is shared
    await shared.aclose()
