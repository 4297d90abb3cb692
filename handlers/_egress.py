"""HTTP to addresses of other people's choosing: a job's row must not reach what stands beside the listener.

The check is made on the address that is connected to, so neither a name that resolves twice in two ways nor a number in
an unusual notation gets past it.
"""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any

import anyio
import httpcore
import httpx

from listener import Fail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from httpcore import SOCKET_OPTION

MAX_CONNECTIONS = 100
MAX_IDLE_CONNECTIONS = 20
IDLE_SECONDS = 15.0
NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address belongs to the public internet, also one that carries another inside."""
    if not address.is_global or address.is_multicast:
        return False
    inner = _carried(address) if isinstance(address, IPv6Address) else None
    return inner is None or is_public(inner)


def _carried(address: IPv6Address) -> IPv4Address | None:
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, and connects to those of its addresses that are public."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class' signature
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first public address that answers.

        Raises:
            Fail: `forbidden_address` when none is public.
            ConnectError: when the name does not resolve or no address answers.
        """
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in await _public_addresses(host, port):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Sleep, for the pool's own retries."""
        await anyio.sleep(seconds)


async def _public_addresses(host: str, port: int) -> list[str]:
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"{host} does not resolve: {error}"
        raise httpcore.ConnectError(message) from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    public = [address for address in addresses if is_public(ip_address(address))]
    if not public:
        raise Fail(reason="forbidden_address", message=f"{host} is at {', '.join(addresses)}, which is not public")
    return public


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over the guarded backend, for which httpx itself has no parameter."""

    def __init__(self) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=GuardedBackend(),
        )


@asynccontextmanager
async def public_client() -> AsyncIterator[httpx.AsyncClient]:
    """Open a client that reaches the public internet only; it follows no redirect and keeps no cookie."""
    async with httpx.AsyncClient(transport=GuardedTransport(), **_settings()) as client:
        yield client


@asynccontextmanager
async def private_client() -> AsyncIterator[httpx.AsyncClient]:
    """Open a client that reaches every address, for deployments that have asked for it."""
    limits = httpx.Limits(
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=MAX_IDLE_CONNECTIONS,
        keepalive_expiry=IDLE_SECONDS,
    )
    async with httpx.AsyncClient(limits=limits, **_settings()) as client:
        yield client


def _settings() -> dict[str, Any]:
    """Share nothing between jobs but connections; a proxy of the environment would connect where no check is."""
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return {"follow_redirects": False, "trust_env": False, "timeout": None, "cookies": no_cookies}
