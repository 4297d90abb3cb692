"""Frames of the Phoenix protocol: vsn 1.0.0 (JSON objects) and vsn 2.0.0 (JSON arrays, binary user broadcasts).

Payloads are passed as JSON text, because records must have exactly the text that PostgreSQL gave them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Protocol

USER_BROADCAST_PUSH = 3  # first byte of a client's binary broadcast
USER_BROADCAST = 4  # first byte of the server's
JSON_ENCODING = 1
LONGEST_HEADER_BYTES = 255  # each length in a binary header is one byte


Ref = str | int | None  # a client's own id of a push, repeated in the reply


@dataclass(frozen=True, slots=True)
class UserBroadcast:
    """A broadcast whose payload is passed on verbatim: JSON text, or bytes that only vsn 2.0.0 can carry."""

    event: str
    payload: str | bytes
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Push:
    """A client's frame. `broadcast` is set when it was a binary frame; `payload` is an empty object then."""

    topic: str
    event: str
    payload: object
    ref: Ref = None
    join_ref: Ref = None
    broadcast: UserBroadcast | None = None


class Codec(Protocol):
    """One serializer."""

    def decode(self, frame: str | bytes) -> Push | None:
        """Return the push, or None when the frame is malformed; the real server ignores such frames."""
        ...

    def encode(self, topic: str, event: str, payload: str, *, ref: Ref = None, join_ref: Ref = None) -> str:
        """Return a text frame; `payload` is JSON text."""
        ...

    def encode_broadcast(self, topic: str, broadcast: UserBroadcast) -> str | bytes | None:
        """Return a broadcast's frame, None when this serializer cannot carry it."""
        ...


def compact(value: object) -> str:
    """Return `value` as JSON without white space."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class ObjectCodec:
    """Vsn 1.0.0: `{"ref": …, "event": …, "payload": …, "topic": …}`, none of which may be missing."""

    def decode(self, frame: str | bytes) -> Push | None:
        """See `Codec.decode`."""
        if isinstance(frame, bytes):
            return None
        message = _loads(frame)
        if not isinstance(message, dict) or not message.keys() >= {"ref", "topic", "event", "payload"}:
            return None
        return _push(message.get("join_ref"), message["ref"], message["topic"], message["event"], message["payload"])

    def encode(
        self,
        topic: str,
        event: str,
        payload: str,
        *,
        ref: Ref = None,
        join_ref: Ref = None,  # noqa: ARG002 - these frames do not carry it
    ) -> str:
        """See `Codec.encode`."""
        return f'{{"ref":{compact(ref)},"event":{compact(event)},"payload":{payload},"topic":{compact(topic)}}}'

    def encode_broadcast(self, topic: str, broadcast: UserBroadcast) -> str | bytes | None:
        """See `Codec.encode_broadcast`."""
        if isinstance(broadcast.payload, bytes):
            return None
        meta = f'"meta":{compact(broadcast.meta)},' if broadcast.meta else ""
        body = f'{{"event":{compact(broadcast.event)},{meta}"payload":{broadcast.payload},"type":"broadcast"}}'
        return self.encode(topic, "broadcast", body)


class ArrayCodec:
    """Vsn 2.0.0: `[join_ref, ref, topic, event, payload]`, and binary frames for broadcasts."""

    def decode(self, frame: str | bytes) -> Push | None:
        """See `Codec.decode`."""
        if isinstance(frame, bytes):
            return _decode_binary(frame)
        message = _loads(frame)
        if not isinstance(message, list) or len(message) != 5:  # noqa: PLR2004 - the five of the class docstring
            return None
        return _push(*message)

    def encode(self, topic: str, event: str, payload: str, *, ref: Ref = None, join_ref: Ref = None) -> str:
        """See `Codec.encode`."""
        return f"[{compact(join_ref)},{compact(ref)},{compact(topic)},{compact(event)},{payload}]"

    def encode_broadcast(self, topic: str, broadcast: UserBroadcast) -> str | bytes | None:
        """See `Codec.encode_broadcast`."""
        payload = broadcast.payload
        json_encoded = isinstance(payload, str)
        body = payload.encode() if isinstance(payload, str) else payload
        parts = [topic.encode(), broadcast.event.encode(), compact(broadcast.meta).encode() if broadcast.meta else b""]
        if any(len(part) > LONGEST_HEADER_BYTES for part in parts):
            return None
        return bytes([USER_BROADCAST, *map(len, parts), JSON_ENCODING * json_encoded]) + b"".join(parts) + body


def codec_for(vsn: str) -> Codec | None:
    """Return the serializer of a `vsn` query parameter, None when the server has none."""
    if vsn.startswith("1."):
        return ObjectCodec()
    return ArrayCodec() if vsn.startswith("2.") else None


_INVALID = object()


def _push(join_ref: object, ref: object, topic: object, event: object, payload: object) -> Push | None:
    if not isinstance(topic, str) or not isinstance(event, str):
        return None
    return Push(topic, event, payload, _ref(ref), _ref(join_ref))


def _ref(ref: object) -> Ref:
    return ref if isinstance(ref, str | int) else None


def _loads(text: str) -> object:
    try:
        parsed: object = json.loads(text)
    except ValueError:
        return _INVALID
    return parsed


def _decode_binary(frame: bytes) -> Push | None:
    if len(frame) < 7 or frame[0] != USER_BROADCAST_PUSH:  # noqa: PLR2004 - kind, five lengths, encoding
        return None
    texts, at = [], 7
    for length in frame[1:6]:
        texts.append(frame[at : at + length].decode(errors="replace"))
        at += length
    join_ref, ref, topic, event, _meta = texts
    payload: str | bytes = frame[at:]
    if frame[6] == JSON_ENCODING:
        payload = frame[at:].decode(errors="replace")  # passed on as it is, whether it is JSON or not
    return Push(topic, "broadcast", {}, ref or None, join_ref or None, UserBroadcast(event, payload))
