"""A client's connection whose other end reads slowly."""

from __future__ import annotations

import pytest

from listener.local.gateway.client import Client
from listener.local.gateway.upstream import Pool, Upstream

REQUEST = b"GET /rest/v1/jobs HTTP/1.1\r\nHost: gateway\r\napikey: key\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Transport:
    """Takes what is written, and says so when that is more than its buffer holds."""

    def __init__(self, protocol, holds=10**9):
        self._protocol, self._holds = protocol, holds
        self.reading, self.written = True, b""

    def write(self, data):
        self.written += data
        if len(self.written) > self._holds:
            self._protocol.pause_writing()

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def is_closing(self):
        return False


@pytest.fixture
def ends():
    """Give a client that takes little at a time, and the one connection to the service that is open."""
    pool = Pool({"rest": None}, lambda: 0.0)
    upstream, client = Upstream(), Client(pool, {b"key": b"jwt"})
    upstream.connection_made(Transport(upstream))
    client.connection_made(Transport(client, holds=20))
    pool.release("rest", upstream)
    return client, upstream


def test_a_connection_whose_last_response_was_read_slowly_is_ready_for_the_next(ends):
    """The end of the response was more than the client would take: whoever gets the connection next must be heard."""
    client, upstream = ends
    client.data_received(REQUEST)
    upstream.data_received(RESPONSE)
    assert client._transport.written.endswith(b"hello")
    assert upstream.transport.reading


def test_the_next_response_waits_for_a_client_that_has_not_read_the_last(ends):
    """The transport does not say again that it is full."""
    client, upstream = ends
    client.data_received(REQUEST)
    upstream.data_received(RESPONSE)
    client.data_received(REQUEST)
    assert not upstream.transport.reading
    client.resume_writing()
    assert upstream.transport.reading
