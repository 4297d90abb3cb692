"""Broadcasts by HTTP: `POST /api/broadcast` with `{"messages": [{"topic", "event", "payload", "private"}]}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from aiohttp import web

from listener.errors import ListenerError
from listener.local.realtime.rights import rights
from listener.local.realtime.tokens import TokenError
from listener.local.realtime.wire import compact

if TYPE_CHECKING:
    from listener.local.realtime.channel import World
    from listener.local.realtime.tokens import Identity

BLANK, INVALID = "can't be blank", "is invalid"
TYPES = {"topic": str, "event": str, "payload": dict}


class InvalidMessagesError(ListenerError):
    """Messages that the real server refuses; `errors` is what its answer says of them."""

    def __init__(self, errors: list[Any]) -> None:
        self.errors = errors
        super().__init__(str(errors))


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """One message of a request; `payload` is JSON."""

    topic: str
    event: str
    payload: str
    private: bool


class HttpBroadcasts:
    """Answers requests to broadcast: 202, or 401, or 422 with the errors of each message."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def serve(self, request: web.Request) -> web.Response:
        """Broadcast the messages of a request, private ones where its token may; a refusal has no answer of its own."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        token = bearer if scheme.lower() == "bearer" else request.headers.get("apikey", "")
        try:
            identity = self._world.verifier.verify(token)
            messages = read_messages(await _body(request))
        except TokenError as fault:
            return web.json_response({"message": fault.reason}, status=401, dumps=compact)
        except InvalidMessagesError as fault:
            return web.json_response({"errors": {"messages": fault.errors}}, status=422, dumps=compact)
        for message in messages:
            if not message.private or await self._may_send(message.topic, identity):
                text = f'{{"event":{compact(message.event)},"payload":{message.payload},"type":"broadcast"}}'
                self._world.topics.broadcast((message.topic, message.private), text)
        return web.Response(status=202)

    async def _may_send(self, topic: str, identity: Identity) -> bool:
        try:
            return (await rights(self._world.database, topic, identity)).write_broadcast
        except psycopg.OperationalError:
            return False


def read_messages(body: object) -> list[HttpMessage]:
    """Return the messages of a request's body.

    Raises:
        InvalidMessagesError: There are none, or one of them lacks something.
    """
    wanted = body.get("messages") if isinstance(body, dict) else None
    if wanted is None or wanted == []:
        raise InvalidMessagesError([BLANK])
    if not isinstance(wanted, list) or not all(isinstance(each, dict) for each in wanted):
        raise InvalidMessagesError([INVALID])
    errors = [_errors(each) for each in wanted]
    if any(errors):
        raise InvalidMessagesError(errors)
    return [
        HttpMessage(each["topic"], each["event"], compact(each["payload"]), each.get("private") is True)
        for each in wanted
    ]


def _errors(message: dict[str, Any]) -> dict[str, list[str]]:
    found = {}
    for name, kind in TYPES.items():
        value = message.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            found[name] = [BLANK]
        elif not isinstance(value, kind):
            found[name] = [INVALID]
    return found


async def _body(request: web.Request) -> object:
    try:
        return await request.json()
    except ValueError:
        return None
