"""The proxy that breaks roads on purpose."""

from __future__ import annotations

import asyncio  # noqa: TID251 - see the proxy
import contextlib
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketAttribute
from faulty_proxy import FaultyProxy, Mode, SocketRoad, TcpRoad, running_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ENOUGH_SECONDS = 10.0


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """Give the port of a server that sends back what it gets."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        with contextlib.suppress(anyio.BrokenResourceError):
            async with stream:
                async for piece in stream:
                    await stream.send(piece)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django
        tasks.cancel_scope.cancel()
    await listener.aclose()


@pytest.fixture
async def proxy(echo: int) -> AsyncIterator[FaultyProxy]:
    """Give a proxy before it."""
    async with running_proxy(TcpRoad(echo)) as proxy:
        yield proxy


async def said(stream: anyio.abc.SocketStream, word: bytes = b"hello") -> bytes:
    """Say a word and give the answer."""
    await stream.send(word)
    with anyio.fail_after(ENOUGH_SECONDS):
        return await stream.receive()


async def test_a_proxy_that_passes_changes_nothing(proxy: FaultyProxy) -> None:
    """Bytes come back as they were sent, over several pieces."""
    async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        assert await said(stream) == b"hello"
        assert await said(stream, b"again") == b"again"


async def test_refusing_closes_what_is_open_and_accepts_nothing_until_it_passes_again(proxy: FaultyProxy) -> None:
    """A connection ends, a new one is refused, and the port is the same afterwards."""
    async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        await said(stream)
        proxy.mode = Mode.REFUSE
        with anyio.fail_after(ENOUGH_SECONDS), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stream.receive()
    with pytest.raises(OSError, match=r"refused|attempts failed"):
        await anyio.connect_tcp("127.0.0.1", proxy.port)
    proxy.mode = Mode.PASS
    await anyio.wait_all_tasks_blocked()
    async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        assert await said(stream) == b"hello"


async def test_a_reset_is_a_reset(proxy: FaultyProxy) -> None:
    """A connected client gets ECONNRESET, not an orderly end."""
    async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        await said(stream)
        proxy.mode = Mode.RESET
        with anyio.fail_after(ENOUGH_SECONDS), pytest.raises(anyio.BrokenResourceError):
            await stream.receive()


async def test_a_half_open_connection_stays_silent_after_the_road_is_open_again(proxy: FaultyProxy) -> None:
    """Nothing comes back and nothing ends; a new connection works."""
    async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        await said(stream)
        proxy.mode = Mode.HALF_OPEN
        await stream.send(b"hello?")
        proxy.mode = Mode.PASS
        with anyio.move_on_after(0.2) as silence:
            await stream.receive()
        assert silence.cancelled_caught
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as another:
            assert await said(another) == b"hello"


async def test_requests_are_answered_with_the_status_that_was_set(proxy: FaultyProxy) -> None:
    """The far end never sees them."""
    proxy.mode, proxy.status = Mode.ANSWER, 500
    async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        assert (await said(stream, b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 500 ")


async def test_a_delayed_request_arrives_although_its_sender_is_gone(tmp_path: Path) -> None:
    """It was on its way: the sender's end does not call it back."""
    arrived = anyio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(100) == b"late":
            arrived.set()
        writer.close()

    async with (
        await asyncio.start_unix_server(take, tmp_path / "far"),
        running_proxy(SocketRoad(tmp_path / "far", tmp_path / "near")) as proxy,
    ):
        proxy.delay_up = 0.2
        _, writer = await asyncio.open_unix_connection(tmp_path / "near")
        writer.write(b"late")
        writer.close()
        with anyio.fail_after(ENOUGH_SECONDS):
            await arrived.wait()
