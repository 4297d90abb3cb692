"""The gateway passes on what clients really send: streams, pipelines, websockets; and stays up when services do not."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

import httpx
import psutil
import psycopg
import pytest
from given_stack import needs_embedded
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from listener.local.stack import Stack

pytestmark = pytest.mark.stack

FUNCTIONS = """
create function public.measure(payload jsonb) returns int language sql immutable set search_path = ''
    as 'select length(payload::text)';
create function public.make(size int) returns text language sql immutable set search_path = ''
    as 'select repeat(''x'', size)';
create function public.nap(seconds float) returns void language sql volatile set search_path = ''
    as 'select pg_catalog.pg_sleep(seconds)';
"""


@pytest.fixture(scope="module", autouse=True)
def functions(embedded_stack: Stack) -> Iterator[None]:
    """Give the database something to call, and wait until PostgREST knows it."""
    with psycopg.connect(embedded_stack.database_url, autocommit=True) as connection:
        connection.execute(FUNCTIONS)
        for _ in range(200):
            if _call(embedded_stack, "nap", {"seconds": 0}).status_code == 204:
                break
            time.sleep(0.02)
        yield
        connection.execute("drop function public.measure(jsonb), public.make(int), public.nap(float)")


def _call(stack: Stack, function: str, arguments: dict[str, object], **headers: str) -> httpx.Response:
    return httpx.post(
        f"{stack.url}/rest/v1/rpc/{function}",
        json=arguments,
        headers={"apikey": stack.service_key, **headers},
        timeout=20,
    )


def _head(stack: Stack, start: str, *lines: str) -> bytes:
    return "\r\n".join([start, "Host: gateway", f"apikey: {stack.service_key}", *lines, "", ""]).encode()


def _open(stack: Stack) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stack.ports["api"]), timeout=10)


def _gateway() -> psutil.Process:
    mine = psutil.Process().children()
    return next(child for child in mine if "listener.local.gateway" in child.cmdline())


def _read_to_end(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(1 << 20), b""))


@pytest.mark.parametrize("size", [1, 70_000, 3_000_000])
def test_bodies_of_any_size_arrive_whole_in_both_directions(stack: Stack, size: int) -> None:
    """Also those that need many reads."""
    assert _call(stack, "measure", {"payload": "x" * size}).json() == size + 2
    assert _call(stack, "make", {"size": size}).json() == "x" * size


def test_a_body_of_unknown_length_is_passed_on_in_chunks(stack: Stack) -> None:
    """As fetch streams it."""
    pieces = [b'{"payload":"', *[b"x" * 1000] * 200, b'"}']
    answer = httpx.post(
        f"{stack.url}/rest/v1/rpc/measure",
        content=iter(pieces),
        headers={"apikey": stack.service_key, "content-type": "application/json"},
    )
    assert answer.json() == 200_002


def test_a_reader_that_is_slow_slows_the_service_and_loses_nothing(stack: Stack) -> None:
    """The gateway holds back, it does not hoard."""
    needs_embedded(stack, "it measures the memory of the embedded gateway")
    body = b'{"size": 30000000}'
    with _open(stack) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(
            _head(
                stack,
                "POST /rest/v1/rpc/make HTTP/1.1",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                "Connection: close",
            )
            + body
        )
        gateway = _gateway()
        before = gateway.memory_info().rss
        time.sleep(0.5)
        assert gateway.memory_info().rss - before < 10_000_000
        assert _read_to_end(client).count(b"x") >= 30_000_000


def test_pipelined_requests_are_answered_in_their_order(stack: Stack) -> None:
    """The first is the slowest, one is refused on the spot, one has a body."""
    nap, size = b'{"seconds": 0.2}', b'{"payload": "12345"}'
    content = "Content-Type: application/json"
    with _open(stack) as client:
        client.sendall(
            _head(stack, "POST /rest/v1/rpc/nap HTTP/1.1", content, f"Content-Length: {len(nap)}")
            + nap
            + b"GET /rest/v1/ HTTP/1.1\r\nHost: gateway\r\n\r\n"
            + _head(stack, "POST /rest/v1/rpc/measure HTTP/1.1", content, f"Content-Length: {len(size)}")
            + size
            + _head(stack, "GET /storage/v1/user HTTP/1.1", "Connection: close")
        )
        received = _read_to_end(client)
    places = [received.index(mark) for mark in (b" 204 ", b" 401 ", b" 200 ", b" 501 ")]
    assert places == sorted(places)


def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(stack: Stack) -> None:
    """As curl does with a body of a megabyte."""
    body = b'{"payload": "12345"}'
    with _open(stack) as client:
        client.sendall(
            _head(
                stack,
                "POST /rest/v1/rpc/measure HTTP/1.1",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                "Expect: 100-continue",
                "Connection: close",
            )
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(body)
        assert b"\r\n\r\n" in (answer := _read_to_end(client))
        assert answer.startswith(b"HTTP/1.1 200 OK")


def test_an_answer_to_head_has_no_body_and_the_connection_serves_on(stack: Stack) -> None:
    """The head speaks of a body that does not come."""
    with httpx.Client(base_url=stack.url, headers={"apikey": stack.service_key}) as client:
        assert client.head("/rest/v1/").headers["content-type"].startswith("application/openapi+json")
        assert client.get("/rest/v1/").json()["swagger"] == "2.0"


def test_a_browser_may_read_what_postgrest_says(stack: Stack) -> None:
    """One allowance, not two, and the headers that a page needs for counting are exposed."""
    headers = {"apikey": stack.service_key, "origin": "http://localhost:3000", "prefer": "count=exact"}
    answer = httpx.get(f"{stack.url}/rest/v1/scheduled_jobs", headers=headers)
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]
    assert "Content-Range" in answer.headers["access-control-expose-headers"]
    assert answer.headers["content-range"] == "*/0"


def test_what_is_not_http_is_refused_without_harm(stack: Stack) -> None:
    """The next client is served."""
    with _open(stack) as client:
        client.sendall(b"\x16\x03\x01 this is no request\r\n\r\n")
        assert _read_to_end(client).startswith(b"HTTP/1.1 400 ")
    assert _call(stack, "nap", {"seconds": 0}).status_code == 204


def test_a_client_that_goes_away_in_the_middle_disturbs_nobody(stack: Stack) -> None:
    """Its connection to PostgREST is not given to another before the answer is through."""
    body = b'{"seconds": 1}'
    for _ in range(5):
        with _open(stack) as client:
            content = ("Content-Type: application/json", f"Content-Length: {len(body)}")
            client.sendall(_head(stack, "POST /rest/v1/rpc/nap HTTP/1.1", *content) + body)
    for size in range(10):
        assert _call(stack, "make", {"size": size}).json() == "x" * size


@pytest.mark.parametrize("kind", ["anon_key", "publishable_key"])
def test_a_websocket_reaches_realtime_with_either_kind_of_key(stack: Stack, kind: str) -> None:
    """A heartbeat comes back."""
    key = getattr(stack.keys, kind)
    address = f"{stack.url.replace('http', 'ws')}/realtime/v1/websocket?apikey={key}&vsn=1.0.0"
    with connect(address) as client:
        client.send(json.dumps({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "7"}))
        answer = json.loads(client.recv(timeout=5))
    assert (answer["ref"], answer["payload"]["status"]) == ("7", "ok")
