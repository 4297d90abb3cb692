"""The service's own port says how it is, and whether it could be opened."""

from __future__ import annotations

import socket
import time

import anyio
import httpx
import pytest

from listener.app.http import application
from listener.app.http_server import serve
from listener.testing import NOON


class Reported:
    """The service's health, as a test sets it."""

    def __init__(self, state):
        self._state = state

    def fault(self):
        return self._state.get("fault")

    def parts(self):
        return {"database": self._state.get("fault") or "ok, read 0.1 s ago", "feed": "ok, off"}


@pytest.fixture
def state():
    """The state that the service reports."""
    return {"fault": None, "describe": lambda: {"jobs_armed": 3}}


@pytest.fixture
async def client(state):
    """Ask an application without a socket."""
    exposition = lambda: b"listener_runs_total 7.0\n"  # noqa: E731
    app = application(Reported(state), exposition, state["describe"], lambda: NOON)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        yield client


async def test_alive_is_not_ready(client, state):
    """A database that is away must not get the process killed."""
    assert (await client.get("/readyz")).status_code == 200
    state["fault"] = "database: refused"
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.text.splitlines()[0]) == (503, "database: refused")
    assert (await client.get("/livez")).status_code == 200


@pytest.mark.parametrize(("fault", "status"), [(None, 200), ("refused", 503)])
async def test_readiness_shows_its_parts(client, state, fault, status):
    """After the answer itself, a line each; or as JSON, for those that ask for it."""
    state["fault"] = fault
    ready = await client.get("/readyz")
    part = fault or "ok, read 0.1 s ago"
    assert ready.text == f"{fault or 'ok'}\ndatabase: {part}\nfeed: ok, off\n"
    asked = await client.get("/readyz", headers={"accept": "application/json"})
    assert (ready.status_code, asked.status_code) == (status, status)
    parts = {"database": part, "feed": "ok, off"}
    assert asked.json() == {"ready": fault is None, "reason": fault, "parts": parts}


async def test_metrics_and_what_it_is_doing(client):
    """In Prometheus' format, and as JSON."""
    metrics = await client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert metrics.text == "listener_runs_total 7.0\n"
    assert (await client.get("/debug/scheduler")).json() == {"jobs_armed": 3}


async def test_what_it_is_doing_is_not_shown_unless_enabled():
    """The page is not there at all."""
    app = application(Reported({}), bytes, None, lambda: NOON)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert (await client.get("/debug/scheduler")).status_code == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_it_serves_until_cancelled_and_frees_the_port(host):
    """Also while a client keeps its connection open."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    app = application(Reported({}), bytes, None, lambda: NOON)
    async with anyio.create_task_group() as tasks, httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
        tasks.start_soon(serve, app, host, port)
        with anyio.fail_after(5):
            while True:
                try:
                    assert (await client.get("/livez")).text == "ok"
                    break
                except httpx.ConnectError:
                    await anyio.sleep(0.01)
        began = time.monotonic()
        tasks.cancel_scope.cancel()
    assert time.monotonic() - began < 2
    socket.create_server(("127.0.0.1", port)).close()


async def test_a_taken_port_is_a_fault_that_says_so():
    """Not the silent end of the process."""
    app = application(Reported({}), bytes, None, lambda: NOON)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await serve(app, "127.0.0.1", taken.getsockname()[1])
