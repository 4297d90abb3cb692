"""Parses a client's request to join a channel, and answers what makes no request in the real server's words."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from listener.errors import ListenerError
from listener.local.realtime.elixir import inspect
from listener.local.realtime.wire import compact


class RefusedJoinError(ListenerError):
    """A refused join; the message is the reason that the reply gives."""


class UnreadableJoinError(RefusedJoinError):
    """A payload that the real server's code stumbles over."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"UnknownErrorOnChannel: {reason}")


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A join's configuration, with the real server's defaults for whatever is missing or of the wrong type.

    `is_old_style` is set for clients older than `config`: the event's name is the kind of the change, its payload the
    change.
    """

    private: bool = False
    acknowledges: bool = False
    echoes: bool = False
    replication_ready: bool = False
    replay: dict[str, Any] | None = None
    wants_replay: bool = False
    presence_key: str = ""
    presence_enabled: bool = False
    postgres_changes: list[dict[str, Any]] = field(default_factory=list)
    access_token: str | None = None
    is_old_style: bool = False


def join_request(name: str, payload: object) -> JoinRequest:
    """Return the join request in the payload of a `phx_join`; `name` is the topic without its `realtime:`.

    Raises:
        UnreadableJoinError: The payload is none; the message is the real server's.
    """
    if not isinstance(payload, dict):
        message = f"expected params to be a :map, got: `{inspect(payload)}`"
        raise UnreadableJoinError(message)
    if "config" not in payload:
        return JoinRequest(
            presence_key=_presence_key(None),
            postgres_changes=[_from_name(name)],
            access_token=_token(payload),
            is_old_style=True,
        )
    config = payload["config"]
    broadcast = _member(config, "broadcast")
    replay = _member(broadcast, "replay")
    presence = _map(_member(config, "presence"))
    return JoinRequest(
        private=_is_set(_member(config, "private")),
        acknowledges=_is_set(_member(broadcast, "ack")),
        echoes=_is_set(_member(broadcast, "self")),
        replication_ready=_is_set(_member(broadcast, "replication_ready")),
        replay=replay if isinstance(replay, dict) else None,
        wants_replay="replay" in _map(broadcast),
        presence_key=_presence_key(presence.get("key")),
        presence_enabled=_is_set(presence.get("enabled")),
        postgres_changes=_changes(_member(config, "postgres_changes")),
        access_token=_token(payload),
    )


def token_in(payload: object) -> str | None:
    """Return the token of an `access_token` push; the new API keys are no tokens, so they stand for none."""
    token = _map(payload).get("access_token")
    return token if isinstance(token, str) and not token.startswith("sb_") else None


def _token(payload: dict[str, Any]) -> str | None:
    access, user = payload.get("access_token"), payload.get("user_token")
    first = user if access is None else access
    if isinstance(first, str) and first.startswith("sb_"):
        return None
    return next((token for token in (user, access) if isinstance(token, str)), None)


def _member(of: object, name: str) -> object:
    """Return a member as Elixir's `Access` does, which raises for whatever is neither a map nor nil."""
    if of is None:
        return None
    if isinstance(of, dict):
        return of.get(name)
    if isinstance(of, list):
        message = (
            f"the Access module supports only keyword lists (with atom keys), got: {inspect(name)}\n\n"
            "If you want to search lists of tuples, use List.keyfind/3"
        )
        raise UnreadableJoinError(message)
    message = "no function clause matching in Access.get/3"
    raise UnreadableJoinError(message)


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_set(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _presence_key(key: object) -> str:
    if isinstance(key, str | int | float):
        key = key if isinstance(key, str) else compact(key)
        return key or str(uuid.uuid4())
    return str(uuid.uuid4())


def _changes(wanted: object) -> list[dict[str, Any]]:
    changes: list[dict[str, Any]] = []
    for each in wanted if isinstance(wanted, list) else []:
        if isinstance(each, dict):
            changes.append(each)
        elif each is not None:
            message = f"expected a map, got: {inspect(each)}"
            raise UnreadableJoinError(message)
    return changes


def _from_name(name: str) -> dict[str, Any]:
    """Return the binding of clients older than `config`: the topic itself contains schema, table and filter."""
    return dict(zip(("schema", "table", "filter"), name.split(":", 2), strict=False))
