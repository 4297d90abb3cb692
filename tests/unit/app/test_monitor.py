"""Pings travel in the form of Healthchecks, end within their limit, and never show the URL, which is a key."""

from __future__ import annotations

from contextlib import asynccontextmanager

import anyio
import pytest
from http_endpoint import Endpoint

from listener.app import monitor
from listener.app.monitor import HttpMonitor
from listener.errors import PingFailedError

KEY = "0b5a1c2d-3e4f-4a5b-8c6d-7e8f90a1b2c3"


@asynccontextmanager
async def endpoint(**answers):
    """Serve prepared answers; give the endpoint and a monitor whose check is there."""
    served = Endpoint(**answers)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, served.serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - of anyio, not of Django
        yield served, HttpMonitor(f"http://127.0.0.1:{port}/{KEY}?create=1")
        tasks.cancel_scope.cancel()


async def test_each_act_has_its_path_and_the_query_stays():
    """A failure carries its reason; a ping of life has no body."""
    async with endpoint() as (served, to):
        await to.ping("start")
        await to.ping()
        await to.ping("fail", "database: 503")
    assert [(method, path, body) for method, path, _, body in served.requests] == [
        ("GET", f"/{KEY}/start?create=1", b""),
        ("GET", f"/{KEY}?create=1", b""),
        ("POST", f"/{KEY}/fail?create=1", b"database: 503"),
    ]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"status": 404}, "the monitor answered 404"),
        ({"status": 302, "headers": {"location": "http://127.0.0.1/"}}, "the monitor answered 302"),
        ({"breaks": True}, "RemoteProtocolError: "),
        ({"delay_seconds": 60}, "no answer within 0.2 s"),
    ],
    ids=["status", "redirect", "broken", "silent"],
)
async def test_a_ping_that_is_not_taken_says_why_without_its_url(monkeypatch, answers, reason):
    """Also one that is never answered."""
    monkeypatch.setattr(monitor, "PING_SECONDS", 0.2)
    async with endpoint(**answers) as (_, to):
        with pytest.raises(PingFailedError, match=reason) as fault:
            await to.ping()
    assert KEY not in str(fault.value)


async def test_a_monitor_that_is_not_there_is_a_fault_of_the_ping():
    """Nothing listens on that port."""
    with pytest.raises(PingFailedError, match="ConnectError"):
        await HttpMonitor(f"http://127.0.0.1:1/{KEY}").ping()
