"""Reads the frames of broadcasts and of changes, of which there is one for each job that comes alone.

realtime-py validates each frame against every kind of frame, and formats it for its log three times: 0.2 to 0.4 ms a
frame, half of what a lone job costs the listener. These two kinds are recognised by their shape in 5 µs; whatever looks
different goes to realtime-py, which says what is wrong with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import from_json
from realtime import AsyncRealtimeClient
from websockets.exceptions import ConnectionClosedOK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from realtime import AsyncRealtimeChannel
    from websockets.asyncio.client import ClientConnection


class QuickFrames:
    """A socket whose usual frames go to their channels' callbacks at once; iteration gives the others.

    Args:
        socket: the socket; whatever else is asked of this is asked of it.
        channels: the client's channels by topic.
    """

    def __init__(self, socket: ClientConnection, channels: Mapping[str, AsyncRealtimeChannel]) -> None:
        self._socket, self._channels = socket, channels

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the socket has
        """Return what the socket has."""
        return getattr(self._socket, name)

    def __aiter__(self) -> QuickFrames:
        """Iterate until the socket is closed."""
        return self

    async def __anext__(self) -> str | bytes:
        """Return the next frame that was not delivered.

        Raises:
            ConnectionClosedError: the socket closed otherwise than by agreement.
        """
        while True:
            try:
                frame = await self._socket.recv()
            except ConnectionClosedOK:
                raise StopAsyncIteration from None
            if not self._deliver(frame):
                return frame

    def _deliver(self, frame: str | bytes) -> bool:
        callbacks: Sequence[Callable[[Any], None]]
        match _parsed(frame):
            case {"event": "broadcast", "ref": None, "topic": str(topic), "payload": payload} if _is_broadcast(payload):
                channel = self._channels.get(topic)
                callbacks = channel.broadcast_callbacks if channel else ()
            case {"event": "postgres_changes", "ref": None, "topic": str(topic), "payload": payload} if _is_insert(
                payload
            ):
                channel = self._channels.get(topic)
                callbacks = channel.postgres_changes_callbacks if channel else ()
            case _:
                return False
        for callback in callbacks:
            callback(payload)
        return True


class QuickClient(AsyncRealtimeClient):
    """realtime-py's client, on such a socket."""

    async def _on_connect(self) -> None:
        if self._ws_connection is not None:
            self._ws_connection = QuickFrames(self._ws_connection, self.channels)  # type: ignore[assignment]
        await super()._on_connect()


def _parsed(frame: str | bytes) -> object:
    try:
        return from_json(frame)
    except ValueError:
        return None


def _is_broadcast(payload: object) -> bool:
    match payload:
        case {"event": str(), "payload": dict()}:
            return True
    return False


def _is_insert(payload: object) -> bool:
    match payload:
        case {
            "ids": [int(), *_],
            "data": {
                "type": "INSERT",
                "schema": str(),
                "table": str(),
                "commit_timestamp": str(),
                "errors": None,
                "columns": [*_],
                "record": dict(),
            },
        }:
            return True
    return False
