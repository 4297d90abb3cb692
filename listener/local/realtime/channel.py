"""One joined channel: postgres_changes, broadcast, presence, and its token."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import psycopg

from listener.local.realtime.bindings import Binding, BindingError, parse
from listener.local.realtime.checks import check
from listener.local.realtime.phash2 import phash2
from listener.local.realtime.presence import Presence, TooManyCallsError, metas
from listener.local.realtime.rights import Rights, replayed, rights
from listener.local.realtime.subscriptions import Subscription
from listener.local.realtime.tokens import WRONGLY_SIGNED, TokenError
from listener.local.realtime.wire import UserBroadcast, compact

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from listener.local.realtime.database import Database
    from listener.local.realtime.joining import JoinRequest
    from listener.local.realtime.presence import Reply
    from listener.local.realtime.subscribed_tables import SubscribedTables
    from listener.local.realtime.subscriptions import Registry
    from listener.local.realtime.tokens import Identity, Verifier
    from listener.local.realtime.topics import Presences, Topics
    from listener.local.realtime.usage import Usage
    from listener.local.realtime.wire import Codec, Ref

SUBSCRIBED = "Subscribed to PostgreSQL"
RETRY_SECONDS = 0.5
LONGEST_TIMER_SECONDS = 3600.0  # a token may be valid for centuries, a timer may not
LARGEST_PAYLOAD_BYTES = 3_000_500  # of a client's broadcast


@dataclass(frozen=True, slots=True)
class World:
    """The objects that all channels share. `streaming` is set while changes are being read.

    A refused join is answered after `refused_join_seconds`, in which the socket does nothing else.
    """

    database: Database
    registry: Registry
    tables: SubscribedTables
    topics: Topics
    verifier: Verifier
    streaming: asyncio.Event
    refused_join_seconds: float
    usage: Usage

    async def reach_database(self) -> None:
        """Make sure that PostgreSQL is reachable; while changes flow it is.

        Raises:
            psycopg.OperationalError: PostgreSQL is not there.
        """
        if not self.streaming.is_set():
            await self.database.rows("select")


class Transport(Protocol):
    """The socket that a channel was joined on."""

    codec: Codec

    def send(self, frame: str | bytes) -> None:
        """Send a frame, soon."""
        ...

    def start_soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` while the socket is open."""
        ...

    def forget(self, channel: Channel) -> None:
        """Remove the channel from the socket."""
        ...


class Channel:
    """A channel after its join was accepted. `join_ref` names it in the frames of vsn 2.0.0."""

    def __init__(  # noqa: PLR0913, PLR0917 - facts of one join
        self,
        world: World,
        transport: Transport,
        topic: str,
        join_ref: Ref,
        request: JoinRequest,
        identity: Identity,
    ) -> None:
        self._world, self._transport, self._request, self._identity = world, transport, request, identity
        self.topic, self.name, self.join_ref = topic, topic.removeprefix("realtime:"), join_ref
        self._rights = Rights()
        self._presence = Presence(
            world.topics, self._key, self, request.presence_key, is_enabled=request.presence_enabled
        )
        self._token = request.access_token
        self._subscriptions: list[Subscription] = []
        self._expiry: asyncio.TimerHandle | None = None
        self._replayed: set[str] = set()
        self._subscribing = asyncio.Lock()
        self.closed = False

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """The bindings as a join's reply repeats them."""
        return [{"id": phash2(params), **dict(sorted(params.items()))} for params in self._request.postgres_changes]

    async def authorise(self) -> bool:
        """Read what the channel may do; return whether it may be joined at all.

        Raises:
            psycopg.OperationalError: PostgreSQL is not there.
        """
        if self._request.private:
            self._rights = await rights(self._world.database, self.name, self._identity)
        return self._rights.read_broadcast

    async def replay(self) -> list[UserBroadcast]:
        """Return the messages that the join requested again.

        Raises:
            psycopg.OperationalError: PostgreSQL is not there.
        """
        request = self._request.replay
        if request is None or not self._request.private:
            return []
        messages = await replayed(self._world.database, self.name, request)
        self._replayed = {message.meta["id"] for message in messages}
        return messages

    def open(self, messages: list[UserBroadcast]) -> None:
        """Begin, right after the reply to the join was sent."""
        self._world.topics.join(self._key, self)
        self._watch_expiry()
        for message in messages:
            self._send_broadcast(message)
        if self._presence.is_enabled:
            self._push("presence_state", self._presence.state() if self._rights.read_presence else "{}")
        if self._request.replication_ready:
            self._transport.start_soon(self._notify_when_streaming())
        if self._request.postgres_changes:
            self._transport.start_soon(self._subscribe())

    def close(self) -> None:
        """End the channel and notify the client."""
        if not self.closed:
            self.drop()
            self._push("phx_close", "{}", ref=self.join_ref)

    def drop(self) -> None:
        """End the channel without a frame: the socket is gone."""
        self.closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        self._world.registry.replace(self._subscriptions, ())
        self._subscriptions = []
        self._world.topics.leave(self._key, self)
        self._transport.forget(self)

    def deliver(self, ids: list[int], event: str, change: str) -> None:
        """See `Subscriber.deliver`."""
        self._world.usage.postgres_changes += 1
        if self._request.is_old_style:
            self._transport.send(self._transport.codec.encode(self.topic, event, change))
            return
        payload = f'{{"data":{change},"ids":{compact(ids)}}}'
        self._transport.send(self._transport.codec.encode(self.topic, "postgres_changes", payload))

    def receive(self, broadcast: UserBroadcast | str) -> None:
        """See `Member.receive`."""
        if isinstance(broadcast, str):
            self._transport.send(self._transport.codec.encode(self.topic, "broadcast", broadcast))
        elif broadcast.meta.get("id") not in self._replayed:
            self._send_broadcast(broadcast)

    def presence_changed(self, joins: Presences, leaves: Presences) -> None:
        """See `Member.presence_changed`."""
        if self._presence.is_enabled and self._rights.read_presence:
            payload = compact({"joins": metas(joins), "leaves": metas(leaves)})
            self._transport.send(self._transport.codec.encode(self.topic, "presence_diff", payload))

    def broadcast(self, payload: object, binary: UserBroadcast | None, reply: Reply) -> None:
        """Relay a client's broadcast, and reply if the client expects an acknowledgement."""
        if not self._rights.write_broadcast:
            return
        ordered = dict(sorted(payload.items())) if isinstance(payload, dict) else payload
        message = compact(ordered) if binary is None else binary
        is_too_large = len(message if isinstance(message, str) else message.payload) > LARGEST_PAYLOAD_BYTES
        if not is_too_large:
            self._world.topics.broadcast(self._key, message, but=None if self._request.echoes else self)
        if self._request.acknowledges:
            reply(*("error", "payload_size_exceeded") if is_too_large else ("ok", {}))

    def present(self, payload: object, reply: Reply) -> None:
        """Handle a client's `track` or `untrack`; one call too many ends the channel."""
        try:
            self._presence.call(payload, reply, may_write=self._rights.write_presence)
        except TooManyCallsError:
            self._fail("Client presence rate limit exceeded")

    async def change_token(self, token: str | None) -> None:
        """Continue with another token; a refused one ends the channel."""
        if token is None or token == self._token:
            return
        try:
            self._identity = self._world.verifier.verify(token)
            allowed = await self.authorise()
        except TokenError as fault:
            self._fail(":signature_error" if fault.code == WRONGLY_SIGNED else fault.reason)
            return
        except psycopg.OperationalError:
            self._fail("Realtime was unable to connect to the project database")
            return
        self._token = token
        if not allowed:
            self._fail(f"You do not have permissions to read from this Channel topic: {self.name}")
            return
        self._watch_expiry()
        if self._request.postgres_changes:
            self._transport.start_soon(self._subscribe())

    def subscribe_again(self) -> None:
        """Read the tables anew, and notify the client once for each of its bindings, as the real server does."""
        if self._subscriptions:
            self._transport.start_soon(self._subscribe(confirmations=len(self._subscriptions)))

    async def _subscribe(self, confirmations: int = 1) -> None:
        async with self._subscribing:
            try:
                bindings = [parse(params) for params in self._request.postgres_changes]
                subscriptions = await self._checked(bindings)
            except BindingError as fault:
                if not self.closed:
                    self._system("error", str(fault))
                return
            if not self.closed:
                self._world.registry.replace(self._subscriptions, subscriptions)
                self._subscriptions = subscriptions
                for _ in range(confirmations):
                    self._system("ok", SUBSCRIBED)

    async def _checked(self, bindings: list[Binding]) -> list[Subscription]:
        while True:
            await self._world.streaming.wait()
            identity = self._identity
            try:
                subscriptions = [
                    Subscription(binding, identity, self, await check(self._world.database, binding, identity.role))
                    for binding in bindings
                ]
            except psycopg.OperationalError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await self._world.tables.include({subscription.binding.relation for subscription in subscriptions})
            if identity is self._identity:
                return subscriptions

    async def _notify_when_streaming(self) -> None:
        await self._world.streaming.wait()
        self._system("ok", "Replication connection established", extension="system")

    def _watch_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        delay = min(max(self._identity.seconds_left, 0), LONGEST_TIMER_SECONDS)
        self._expiry = asyncio.get_running_loop().call_later(delay, self._expire)

    def _expire(self) -> None:
        left = self._identity.seconds_left
        if left > 0:
            self._watch_expiry()
        else:
            self._fail(f"Token has expired {int(-left)} seconds ago")

    def _fail(self, reason: str) -> None:
        if not self.closed:
            self._system("error", reason, extension="system")
            self.close()

    def _send_broadcast(self, broadcast: UserBroadcast) -> None:
        frame = self._transport.codec.encode_broadcast(self.topic, broadcast)
        if frame is not None:
            self._transport.send(frame)

    def _system(self, status: str, message: str, *, extension: str = "postgres_changes") -> None:
        payload = {"message": message, "status": status, "extension": extension, "channel": self.name}
        self._push("system", compact(payload))

    def _push(self, event: str, payload: str, *, ref: Ref = None) -> None:
        self._transport.send(self._transport.codec.encode(self.topic, event, payload, ref=ref, join_ref=self.join_ref))

    @property
    def _key(self) -> tuple[str, bool]:
        return self.name, self._request.private
