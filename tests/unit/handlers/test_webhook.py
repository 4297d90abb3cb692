"""A webhook is sent once an attempt, names the attempt, and cannot be turned against the listener's network."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import anyio
import httpcore
import pytest

from listener.domain.outcome import Completed, Failed
from listener.handlers import _egress
from listener.handlers._http import MAX_BODY_BYTES, MAX_RETRY_AFTER_SECONDS, retry_after
from listener.handlers.webhook import webhook
from listener.testing import EXECUTION_ID, NOON, run_handler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from http_endpoint import Endpoint


OPEN = {"webhook_allow_private": True}


async def call(endpoint: Endpoint, payload: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Run the handler against the endpoint, and give the outcome."""
    changes = {"options": OPEN, **changes}
    return (await run_handler(webhook, {"url": endpoint.url, **(payload or {})}, **changes)).outcome


async def test_the_receiver_can_distinguish_attempts_and_due_instants(endpoint):
    """`Idempotency-Key` is the same for every attempt at one due instant."""
    await call(endpoint, {"body": {"a": 1}, "headers": {"X-Mine": "yes", "X-Job-Id": "forged"}}, attempt=2)
    await call(endpoint, attempt=3, scheduled_for=NOON + timedelta(days=1))
    (method, target, headers, content), (_, _, later, nothing) = endpoint.requests
    assert (method, target, json.loads(content), nothing) == ("POST", "/hook", {"a": 1}, b"")
    assert headers["content-type"] == "application/json"
    assert (headers["x-mine"], headers["x-job-id"]) == ("yes", "1")
    assert (headers["x-execution-id"], headers["x-attempt"]) == (EXECUTION_ID, "2")
    assert headers["idempotency-key"] == "1:2026-01-05T12:00:00+00:00"
    assert later["idempotency-key"] == "1:2026-01-06T12:00:00+00:00"


async def test_the_result_has_status_headers_and_body(endpoint):
    """JSON is read; of the headers those are kept that say something."""
    endpoint.status, endpoint.body = 201, b'{"ok": true}'
    endpoint.headers = {"content-type": "application/json", "set-cookie": "secret=1"}
    outcome = await call(endpoint)
    assert outcome == Completed(
        {
            "status": 201,
            "headers": {"content-type": "application/json", "content-length": "12"},
            "body": {"ok": True},
            "truncated": False,
        }
    )


async def test_a_large_answer_is_cut(endpoint):
    """The rest is not even waited for."""
    endpoint.body, endpoint.stalls = "ä".encode() * (MAX_BODY_BYTES * 4), True
    result = (await call(endpoint, {"timeout_seconds": 5})).result
    assert result["truncated"] is True
    assert result["body"] == "ä" * (MAX_BODY_BYTES // 2)


async def test_a_text_is_sent_as_it_is_when_its_type_is_named(endpoint):
    """Not every receiver takes JSON."""
    await call(endpoint, {"method": "PUT", "body": "<a/>", "headers": {"Content-Type": "text/xml"}})
    method, _, headers, content = endpoint.requests[0]
    assert (method, headers["content-type"], content) == ("PUT", "text/xml", b"<a/>")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 599])
async def test_what_may_pass_is_tried_again(endpoint, status):
    """After as long as the server asks for."""
    endpoint.status, endpoint.headers, endpoint.body = status, {"retry-after": "120"}, b"later"
    outcome = await call(endpoint)
    assert (outcome.retryable, outcome.retry_after_seconds) == (True, 120)
    assert f"answered {status}" in outcome.error
    assert "later" in outcome.error


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422, 304])
async def test_what_will_not_pass_fails_for_good(endpoint, status):
    """The reason names the status."""
    endpoint.status = status
    outcome = await call(endpoint)
    assert (outcome.reason, outcome.retryable) == (f"http_{status}", False)


async def test_redirects_are_not_followed(endpoint):
    """They could lead anywhere; the message says where this one does."""
    endpoint.status, endpoint.headers = 302, {"location": endpoint.url + "/elsewhere"}
    outcome = await call(endpoint)
    assert outcome.reason == "http_302"
    assert "/elsewhere" in outcome.error
    assert len(endpoint.requests) == 1


async def test_expected_statuses_replace_the_usual_ones(endpoint):
    """A 404 may be what one hopes for, and then a 200 is not."""
    endpoint.status = 404
    assert isinstance(await call(endpoint, {"expected_status": [404, 410]}), Completed)
    endpoint.status = 200
    assert (await call(endpoint, {"expected_status": 404})).reason == "http_200"


async def test_a_broken_connection_is_tried_again(endpoint):
    """So is a port where nobody listens."""
    endpoint.breaks = True
    outcome = await call(endpoint)
    assert (outcome.retryable, outcome.error.split(":")[0]) == (True, "RemoteProtocolError")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        outcome = await call(endpoint, {"url": f"http://127.0.0.1:{free.getsockname()[1]}/"})
    assert (outcome.retryable, outcome.error.split(":")[0]) == (True, "ConnectError")


async def test_an_answer_that_does_not_come_is_tried_again(endpoint):
    """`timeout_seconds` is for the whole exchange."""
    endpoint.delay_seconds = 5
    outcome = await call(endpoint, {"timeout_seconds": 0.05})
    assert (outcome.retryable, outcome.error) == (True, "no answer within 0.05 s")


async def test_connections_are_shared_by_runs_but_cookies_are_not(endpoint):
    """A job must not act with what another job's receiver set."""
    endpoint.headers = {"set-cookie": "session=1"}
    async with _opened(_egress.private_client) as shared:
        for _ in range(2):
            request = shared.build_request("GET", endpoint.url)
            await shared.send(request)
    assert endpoint.connections == 1
    assert all("cookie" not in headers for _, _, headers, _ in endpoint.requests)


@asynccontextmanager
async def _opened(opener: Any) -> AsyncIterator[Any]:
    async with opener() as client:
        yield client


async def test_test_mode_sends_nothing_and_says_what_it_would_send(endpoint):
    """Without the values of headers, which may be keys that the ledger's readers must not have."""
    outcome = await call(endpoint, {"body": [1], "headers": {"Authorization": "Bearer hush"}}, test_mode=True)
    assert endpoint.connections == 0
    would_send = outcome.result["would_send"]
    assert (would_send["method"], would_send["url"], would_send["body"]) == ("POST", endpoint.url, [1])
    assert "hush" not in json.dumps(outcome.result)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "2130706433", "127.1", "[::ffff:127.0.0.1]"],  # noqa: S104
)
async def test_the_listeners_own_machine_is_out_of_reach(endpoint, host):
    """However its address is written; nothing is even connected."""
    url = endpoint.url.replace("127.0.0.1", host)
    outcome = await call(endpoint, {"url": url}, options={})
    assert (outcome.reason, outcome.retryable) == ("forbidden_address", False)
    assert endpoint.connections == 0


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("10.0.0.1", False),
        ("172.16.5.4", False),
        ("192.168.1.1", False),
        ("192.0.0.9", False),
        ("192.31.196.1", False),
        ("192.52.193.1", False),
        ("192.88.99.1", False),
        ("192.175.48.1", False),
        ("2002:c058:6301::1", False),
        ("64:ff9b::c058:6301", False),
        ("2001:20::1", False),
        ("2001:1::1", False),
        ("2620:4f:8000::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("100:0:0:1::1", False),
        ("2001:200::1", True),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),  # noqa: S104 - must be refused
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("255.255.255.255", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", False),
        ("::7f00:1", False),
        ("168.63.129.16", False),
        ("64:ff9b::a83f:8110", False),
    ],
)
def test_only_public_addresses_are_public(address, public):
    """Private, shared, loopback, link-local, multicast, and those that carry such an address inside."""
    assert _egress.is_public(ip_address(address)) is public


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "[::ffff:169.254.169.254]"])
async def test_the_keys_of_the_cloud_are_out_of_reach_whatever_is_allowed(host):
    """`LISTENER_WEBHOOK_ALLOW_PRIVATE` is meant for one's own services."""
    outcome = (await run_handler(webhook, {"url": f"http://{host}/latest/meta-data/"}, options=OPEN)).outcome
    assert (outcome.reason, outcome.retryable) == ("forbidden_address", False)


async def test_a_proxy_of_the_environment_is_not_used(endpoint, monkeypatch):
    """It would connect where no check is."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, endpoint.url.removesuffix("/hook"))
    outcome = await call(endpoint, {"url": "http://127.0.0.1/"}, options={})
    assert outcome.reason == "forbidden_address"
    assert endpoint.connections == 0


async def test_names_are_looked_up_in_threads_of_their_own(endpoint, monkeypatch):
    """Names whose servers never answer must not take the threads with which the listener finds Supabase."""
    backend, slow = _egress.GuardedBackend(), threading.Event()
    monkeypatch.setattr(_egress.socket, "getaddrinfo", lambda *_, **__: slow.wait(5) and [])
    async with anyio.create_task_group() as group:
        for number in range(_egress.LOOKUPS + 4):
            group.start_soon(backend.connect_tcp, f"{number}.example", 443)
        await anyio.wait_all_tasks_blocked()
        assert backend._lookups.borrowed_tokens == _egress.LOOKUPS
        assert anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
        group.cancel_scope.cancel()
        slow.set()


async def test_what_is_often_a_key_in_a_url_is_not_shown(endpoint):
    """Neither by the error nor by test mode: the ledger and the log have other readers than the job."""
    endpoint.status = 404
    url = endpoint.url.replace("http://", "http://ann:hush@") + "?key=hush"
    reported = [await call(endpoint, {"url": url}), await call(endpoint, {"url": url}, test_mode=True)]
    assert [endpoint.url + "?…" in str(outcome) for outcome in reported] == [True, True]
    assert "hush" not in str(reported)
    assert endpoint.requests[0][1] == "/hook?key=hush"
    assert endpoint.requests[0][2]["authorization"].startswith("Basic ")


async def test_a_name_is_resolved_once_and_only_its_public_addresses_are_tried(monkeypatch):
    """A name that resolves otherwise the second time, or to several, leads nowhere private."""
    asked, tried = [], []

    def resolve(host, port, **_: Any):
        asked.append(host)
        addresses = ["10.0.0.1", "93.184.216.34", "93.184.216.35"] if len(asked) == 1 else ["127.0.0.1"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    async def connect(address, *_: Any):
        tried.append(address)
        message = "refused"
        raise httpcore.ConnectError(message)

    backend = _egress.GuardedBackend()
    monkeypatch.setattr(_egress.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(backend._inner, "connect_tcp", connect)
    with pytest.raises(httpcore.ConnectError):
        await backend.connect_tcp("rebinding.example", 443)
    assert asked == ["rebinding.example"]
    assert tried == ["93.184.216.34", "93.184.216.35"]


@pytest.mark.parametrize(
    ("payload", "reported"),
    [
        ({"url": "ftp://example.com"}, "metadata.url: 'ftp://example.com' is not allowed"),
        ({"url": "not a url"}, "metadata.url"),
        ({"url": "http://x/", "methods": "GET"}, "metadata.methods: Extra inputs are not permitted"),
        ({"url": "http://x/", "headers": {"a\r\nb": "c"}}, "is no header that can be sent"),
        ({"url": "http://x/", "headers": {"a": "b\nc"}}, "is no header that can be sent"),
        ({"url": "http://x/", "headers": {"a": "b" * 8192}}, "has more than 8192 characters"),
        ({"url": "http://x/", "headers": {f"a{number}": "b" for number in range(101)}}, "at most 100 items"),
        ({"url": "http://x/" + "x" * 3000}, "at most 2083 characters"),
        ({"url": "http://x/", "expected_status": [200] * 101}, "at most 100 items"),
        ({"url": "http://x/", "headers": {"Host": "other"}}, "is the connection's own"),
        ({"url": "http://x/", "timeout_seconds": 0}, "metadata.timeout_seconds: 0 is not allowed"),
        ({}, "metadata.url: is required"),
    ],
)
async def test_an_invalid_call_is_refused_by_field(payload, reported):
    """Before anything is sent."""
    outcome = (await run_handler(webhook, payload)).outcome
    assert isinstance(outcome, Failed)
    assert outcome.reason == "invalid_payload"
    assert reported in outcome.error


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("17", 17),
        ("999999999999", MAX_RETRY_AFTER_SECONDS),
        (format_datetime(datetime(2026, 1, 5, 12, 1, tzinfo=UTC), usegmt=True), 60),
        (format_datetime(datetime(2025, 1, 1, tzinfo=UTC), usegmt=True), 0),
        (format_datetime(datetime(9999, 1, 1, tzinfo=UTC), usegmt=True), MAX_RETRY_AFTER_SECONDS),
        ("soon", None),
        ("-5", None),
        ("Mon, 05 Jan 2026 12:01:00 -0000", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(header, seconds):
    """With a bound; nonsense leaves the job's own back-off in place."""
    assert retry_after(header, NOON) == seconds
