"""A token's rights on a private channel, by the policies on `realtime.messages`, and the messages it may replay."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import structlog

from listener.local.realtime.wire import UserBroadcast

if TYPE_CHECKING:
    from listener.local.realtime.database import Database
    from listener.local.realtime.tokens import Identity

log = structlog.get_logger()

MOST_REPLAYED = 25
_RIGHTS = (
    "select read_broadcast, read_presence, write_broadcast, write_presence from realtime.local_topic_rights(%s, %s, %s)"
)
_REPLAY = """
    select id::text, event, payload from (
        select id, event, payload, inserted_at from realtime.messages
        where topic = %s and private and extension = 'broadcast'
            and inserted_at >= to_timestamp(%s::float8 / 1000) at time zone 'utc'
        order by inserted_at desc limit %s
    ) as latest order by inserted_at
"""


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights of a channel. Public channels may do everything."""

    read_broadcast: bool = True
    read_presence: bool = True
    write_broadcast: bool = True
    write_presence: bool = True


NOTHING = Rights(read_broadcast=False, read_presence=False, write_broadcast=False, write_presence=False)


async def rights(database: Database, topic: str, identity: Identity) -> Rights:
    """Return the rights of a token on a private topic; none when a policy raises.

    Raises:
        psycopg.OperationalError: PostgreSQL is not there.
    """
    try:
        rows = await database.rows(_RIGHTS, (topic, identity.role, identity.claims))
    except psycopg.OperationalError:
        raise
    except psycopg.Error as fault:
        log.warning("policy_failed", topic=topic, reason=str(fault))
        return NOTHING
    return Rights(*rows[0])


async def replayed(database: Database, topic: str, request: dict[str, Any]) -> list[UserBroadcast]:
    """Return the latest messages of a private topic since `since` (UNIX milliseconds), at most `limit`, oldest first.

    Raises:
        psycopg.OperationalError: PostgreSQL is not there.
    """
    limit = min(int(request.get("limit") or MOST_REPLAYED), MOST_REPLAYED)
    rows = await database.rows(_REPLAY, (topic, float(request.get("since") or 0), limit))
    return [UserBroadcast(event, _sorted_json(payload), {"id": id_, "replayed": True}) for id_, event, payload in rows]


def _sorted_json(payload: object) -> str:
    """Return JSON in the key order of the real server, which reads replayed messages into maps."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
