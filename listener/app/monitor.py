"""The monitor that `LISTENER_HEARTBEAT_URL` names, in the form of Healthchecks: the URL, its `/start` and its `/fail`.

Source: https://healthchecks.io/docs/http_api/ (pinging API); other monitors take the plain URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx

from listener.distribution import NAME
from listener.errors import PingFailedError
from listener.maintenance.pinger import Pinger

if TYPE_CHECKING:
    from listener.app.shared import Shared

PING_SECONDS = 5.0
"""Time limit of a ping, the connection included."""


class HttpMonitor:
    """Sends each ping by a connection of its own, so that nothing of it is left open and no other client waits.

    Args:
        url: of the check; it is a key.
    """

    def __init__(self, url: str) -> None:
        self._url = httpx.URL(url)
        self._certificates = httpx.create_ssl_context()

    async def ping(self, act: str = "", text: str = "") -> None:
        """Send a ping; see `listener.ports.Monitor`.

        Raises:
            PingFailedError: no answer within `PING_SECONDS`, or one that is no success.
        """
        path = "/".join([self._url.path.rstrip("/"), act] if act else [self._url.path])
        try:
            with anyio.fail_after(PING_SECONDS):
                status = await self._send(self._url.copy_with(path=path), text)
        except TimeoutError:
            message = f"no answer within {PING_SECONDS:g} s"
            raise PingFailedError(message) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
            message = f"{type(fault).__name__}: {fault}"
            raise PingFailedError(message) from None
        if not httpx.codes.is_success(status):
            message = f"the monitor answered {status}"
            raise PingFailedError(message)

    async def _send(self, url: httpx.URL, text: str) -> int:
        method, content = ("POST", text) if text else ("GET", None)
        async with (
            httpx.AsyncClient(verify=self._certificates, timeout=None) as client,  # noqa: S113 - see `ping`
            client.stream(method, url, content=content, headers={"user-agent": NAME}) as answer,
        ):
            return answer.status_code


def build_pinger(shared: Shared) -> Pinger | None:
    """Build the pinger where the settings name a monitor."""
    url = shared.settings.heartbeat_url
    if url is None:
        return None
    monitor = HttpMonitor(url.get_secret_value())
    return Pinger(monitor, shared.health, shared.clock, shared.metrics, shared.settings.heartbeat_seconds)
