"""The service's end of a websocket: bytes pass in both directions, unchanged."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import cast

from listener.local.gateway.routing import refusal

BAD_GATEWAY = refusal(HTTPStatus.BAD_GATEWAY, "An invalid response was received from the upstream server")


class Pipe(asyncio.Protocol):
    """Joined to the client's transport; bytes that arrive before the service is connected wait."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client
        self._waiting: list[bytes] = []
        self._is_answered = False
        self.transport: asyncio.Transport | None = None

    def send(self, sent: bytes) -> None:
        """Pass `sent` to the service."""
        if self.transport is None:
            self._waiting.append(sent)
        else:
            self.transport.write(sent)

    def close(self) -> None:
        """End the service's side."""
        if self.transport is not None:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the bytes that waited."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(b"".join(self._waiting))
        self._waiting.clear()

    def data_received(self, received: bytes) -> None:
        """Pass the bytes to the client."""
        self._is_answered = True
        self._client.write(received)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End the client's side too; an unanswered handshake is answered here."""
        if not self._is_answered and not self._client.is_closing():
            self._client.write(BAD_GATEWAY)
        self._client.close()

    def pause_writing(self) -> None:
        """Slow the client down."""
        self._client.pause_reading()

    def resume_writing(self) -> None:
        """Let the client continue."""
        self._client.resume_reading()
