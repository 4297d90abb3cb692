"""HTTP requests to addresses that users choose: a job's row must not reach hosts beside the listener.

The check is made on the address that is connected to, so neither a name that resolves twice in two ways nor a number in
an unusual notation gets past it.
"""

from __future__ import annotations

import functools
import socket
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import httpcore
import httpx

from listener import Fail
from listener.supabase.admitted_transport import AdmittedTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from httpcore import SOCKET_OPTION

MAX_CONNECTIONS = 100
MAX_IDLE_CONNECTIONS = 20
IDLE_SECONDS = 15.0
LOOKUPS = 32
"""Names looked up at a time, in threads of their own: the loop's few threads must stay free to find Supabase again."""
GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
SPECIAL_PURPOSE = tuple(
    map(
        ip_network,
        [
            "192.0.0.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24",
            "2001::/23", "2620:4f:8000::/48", "3fff::/20",
        ],
    )
)  # fmt: skip
"""Of IANA's registries of special-purpose addresses, those that `is_global` takes for public in some version of Python:
protocol assignments, AS112, AMT, relays of 6to4, and documentation."""
METADATA_SERVICES = frozenset(
    map(ip_address, ["168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"])
)
"""Beside link-local addresses: where clouds give keys to any client inside; the first is a public address."""

Address = IPv4Address | IPv6Address


def is_public(address: Address) -> bool:
    """Return whether an address belongs to the public internet, also one that carries another inside."""
    if not address.is_global or address.is_multicast or not is_no_metadata_service(address):
        return False
    if any(address in network for network in SPECIAL_PURPOSE):
        return False
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST and address not in NAT64:
        return False
    inner = _carried(address) if isinstance(address, IPv6Address) else None
    return inner is None or is_public(inner)


def is_no_metadata_service(address: Address) -> bool:
    """Return whether an address is no metadata service, which gives keys to any client; no webhook is there."""
    if address.is_link_local or address in METADATA_SERVICES:
        return False
    inner = _carried(address) if isinstance(address, IPv6Address) else None
    return inner is None or is_no_metadata_service(inner)


def _carried(address: IPv6Address) -> IPv4Address | None:
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, and connects to those of its addresses that are allowed.

    Args:
        is_allowed: returns whether an address is allowed.
    """

    def __init__(self, is_allowed: Callable[[Address], bool] = is_public) -> None:
        self._inner, self._is_allowed = httpcore.AnyIOBackend(), is_allowed
        self._lookups = anyio.CapacityLimiter(LOOKUPS)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class' signature
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first allowed address that answers.

        Raises:
            Fail: `forbidden_address` when none is allowed.
            ConnectError: when the name does not resolve or no address answers.
        """
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in await self._allowed_addresses(host, port):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _allowed_addresses(self, host: str, port: int) -> list[str]:
        look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await anyio.to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=self._lookups)
        except (OSError, UnicodeError) as error:
            message = f"{host} does not resolve: {error}"
            raise httpcore.ConnectError(message) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        allowed = [address for address in addresses if self._is_allowed(ip_address(address))]
        if not allowed:
            where = f"{host} is at {', '.join(addresses)}"
            what = f"{where}, where no webhook may go unless LISTENER_WEBHOOK_ALLOW_PRIVATE is true"
            raise Fail(reason="forbidden_address", message=what)
        return allowed

    async def sleep(self, seconds: float) -> None:
        """Sleep, for the pool's own retries."""
        await anyio.sleep(seconds)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over the guarded backend, for which httpx itself has no parameter."""

    def __init__(self, is_allowed: Callable[[Address], bool]) -> None:
        context = httpx.create_ssl_context()
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=GuardedBackend(is_allowed),
        )


@asynccontextmanager
async def public_client() -> AsyncIterator[httpx.AsyncClient]:
    """Open a client that reaches the public internet only; it follows no redirect and keeps no cookie."""
    async with _client(is_public) as client:
        yield client


@asynccontextmanager
async def private_client() -> AsyncIterator[httpx.AsyncClient]:
    """Open a client that reaches private addresses too, for deployments that allow it, but no metadata service."""
    async with _client(is_no_metadata_service) as client:
        yield client


@asynccontextmanager
async def _client(is_allowed: Callable[[Address], bool]) -> AsyncIterator[httpx.AsyncClient]:
    """Build a client that shares nothing between jobs but connections; a proxy would connect without the check."""
    # In a thread: reading the authorities' certificates takes tens of milliseconds.
    make = functools.partial(GuardedTransport, is_allowed)
    transport = await anyio.to_thread.run_sync(AdmittedTransport, MAX_CONNECTIONS, make)
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    async with httpx.AsyncClient(
        transport=transport,
        follow_redirects=False,
        trust_env=False,
        timeout=None,  # noqa: S113 - the webhook's own limit is over the whole exchange
        cookies=no_cookies,
    ) as client:
        yield client
