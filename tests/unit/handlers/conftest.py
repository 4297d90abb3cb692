"""Fixtures of the tests of handlers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute
from http_endpoint import Endpoint
from mail_server import Inbox, serving
from supabase import AsyncClientOptions, acreate_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from supabase import AsyncClient

    from listener.local.stack import Stack


class Deliveries:
    """Stands for a client that only keeps receipts; the function itself is tested in the database."""

    def __init__(self) -> None:
        self.receipts: dict[tuple[str, str], Any] = {}

    def forget(self) -> None:
        """Lose all receipts, as when an attempt died before it kept one."""
        self.receipts.clear()

    def rpc(self, function: str, arguments: dict[str, Any]) -> Deliveries:
        """Keep a receipt, or give the one that is kept."""
        assert function == "delivery_v1"
        request = arguments["request"]
        key = request["idempotency_key"], request["part"]
        if "receipt" in request:
            self.receipts.setdefault(key, request["receipt"])
        self.answer = {"receipt": self.receipts.get(key)}
        return self

    async def execute(self) -> Any:
        """Give the answer."""
        return SimpleNamespace(data=self.answer)


@pytest.fixture
def deliveries() -> Deliveries:
    """Give a client that keeps receipts."""
    return Deliveries()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """Serve on a free port of this machine."""
    served = Endpoint()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        port = listener.extra_attributes[SocketAttribute.local_port]()
        served.url = f"http://127.0.0.1:{port}/hook"
        group.start_soon(listener.serve, served.serve)
        yield served
        group.cancel_scope.cancel()


@pytest.fixture
def inbox() -> Inbox:
    """Give what the mail server keeps."""
    return Inbox()


@pytest.fixture
def url(inbox: Inbox) -> Iterator[str]:
    """Give the URL of a mail server."""
    with serving(inbox) as address:
        yield f"smtp://{address}"


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[AsyncClient]:
    """Give a client with the service's powers."""
    async with httpx.AsyncClient() as connections:
        options = AsyncClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=connections)
        yield await acreate_client(stack.url, stack.service_key, options)
