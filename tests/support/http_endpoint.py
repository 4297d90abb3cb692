"""A real HTTP server with prepared answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import h11

if TYPE_CHECKING:
    from anyio.abc import SocketStream


@dataclass
class Endpoint:
    """A real HTTP server with prepared answers that keeps what it was sent."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_seconds: float = 0
    breaks: bool = False
    stalls: bool = False
    connections: int = 0
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    async def serve(self, stream: SocketStream) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        async with stream:
            while await self._answer(stream, connection):
                connection.start_next_cycle()

    async def _answer(self, stream: SocketStream, connection: h11.Connection) -> bool:
        request, content = None, b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                try:
                    connection.receive_data(await stream.receive())
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return False
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                content += event.data
            else:
                break
        if request is None or self.breaks:
            return False
        headers = {name.decode(): value.decode() for name, value in request.headers}
        self.requests.append((request.method.decode(), request.target.decode(), headers, content))
        await anyio.sleep(self.delay_seconds)
        length = len(self.body) + self.stalls
        answer = h11.Response(status_code=self.status, headers=[*self.headers.items(), ("content-length", str(length))])
        parts = [answer, h11.Data(data=self.body)] + ([] if self.stalls else [h11.EndOfMessage()])
        try:
            await stream.send(b"".join(connection.send(part) or b"" for part in parts))
            if self.stalls:
                await anyio.sleep_forever()
        except anyio.BrokenResourceError:
            return False
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE
