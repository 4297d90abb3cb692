"""Parses a client's request to join a channel."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A join's configuration, with the real server's defaults for whatever is missing or of the wrong type."""

    private: bool = False
    acknowledges: bool = False
    echoes: bool = False
    replication_ready: bool = False
    replay: dict[str, Any] | None = None
    presence_key: str = ""
    presence_enabled: bool = False
    postgres_changes: list[dict[str, Any]] = field(default_factory=list)
    access_token: str | None = None


def join_request(name: str, payload: dict[str, Any]) -> JoinRequest:
    """Return the join request in the payload of a `phx_join`; `name` is the topic without its `realtime:`."""
    config = payload.get("config")
    if not isinstance(config, dict):
        return JoinRequest(postgres_changes=[_from_name(name)], access_token=_token(payload))
    broadcast, presence = _section(config, "broadcast"), _section(config, "presence")
    replay = broadcast.get("replay")
    return JoinRequest(
        private=config.get("private") is True,
        acknowledges=broadcast.get("ack") is True,
        echoes=broadcast.get("self") is True,
        replication_ready=broadcast.get("replication_ready") is True,
        replay=replay if isinstance(replay, dict) else None,
        presence_key=str(presence.get("key") or uuid.uuid4()),
        presence_enabled=presence.get("enabled", bool(presence)) is True,
        postgres_changes=_changes(config.get("postgres_changes")),
        access_token=_token(payload),
    )


def token_in(payload: dict[str, Any]) -> str | None:
    """Return the token of an `access_token` push; the new API keys are no tokens, so they stand for none."""
    return _token(payload)


def _token(payload: dict[str, Any]) -> str | None:
    token = payload.get("access_token") or payload.get("user_token")
    return token if isinstance(token, str) and not token.startswith("sb_") else None


def _changes(wanted: object) -> list[dict[str, Any]]:
    return [each for each in wanted if isinstance(each, dict)] if isinstance(wanted, list) else []


def _section(config: dict[str, Any], name: str) -> dict[str, Any]:
    section = config.get(name)
    return section if isinstance(section, dict) else {}


def _from_name(name: str) -> dict[str, Any]:
    """Return the binding of clients older than `config`: the topic itself contains schema, table and filter."""
    return dict(zip(("schema", "table", "filter"), name.split(":", 2), strict=False))
