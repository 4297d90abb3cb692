"""One channel's part in presence: what the client tracks, and how often it may."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from listener.errors import ListenerError
from listener.local.realtime.wire import compact

if TYPE_CHECKING:
    from listener.local.realtime.topics import Member, Presences, Topic, Topics

MOST_CALLS, WINDOW_SECONDS = 5, 30.0
NO_MAP = {"reason": "Presence track payload must be a map"}

Reply = Callable[[str, object], None]  # status and response


class TooManyCallsError(ListenerError):
    """A client called more often than it may; the real server then ends the channel."""


class Presence:
    """The presence of one member of `topic`, under `key`."""

    def __init__(self, topics: Topics, topic: Topic, member: Member, key: str, *, is_enabled: bool) -> None:
        self._topics, self._topic, self._member, self._key = topics, topic, member, key
        self.is_enabled = is_enabled
        self._tracked: dict[str, Any] | None = None
        self._calls, self._window_ends_at = 0, 0.0

    def call(self, payload: object, reply: Reply, *, may_write: bool) -> None:
        """Handle a client's `track` or `untrack`: reply, then notify the members.

        Raises:
            TooManyCallsError: It is one too many; there is no reply.
        """
        if not isinstance(payload, dict) or "event" not in payload:
            reply("ok", {})
            return
        self._count()
        match str(payload["event"]).lower():
            case "track" if may_write:
                self._track(payload.get("payload", {}), reply)
            case "untrack":
                reply("ok", {})
                self._tracked = None
                self._topics.untrack(self._topic, self._member)
            case _:
                reply("error", {})

    def state(self) -> str:
        """Return the `presence_state` of the topic, as JSON."""
        return compact(metas(self._topics.present(self._topic)))

    def _track(self, state: object, reply: Reply) -> None:
        if not isinstance(state, dict):
            reply("error", NO_MAP)
            return
        reply("ok", {})
        self.is_enabled = True
        if state != self._tracked:
            self._tracked = state
            self._topics.track(self._topic, self._member, self._key, state)

    def _count(self) -> None:
        now = time.monotonic()
        if now > self._window_ends_at:
            self._calls, self._window_ends_at = 0, now + WINDOW_SECONDS
        if self._calls >= MOST_CALLS:
            raise TooManyCallsError
        self._calls += 1


def metas(presences: Presences) -> dict[str, Any]:
    """Return presences in the form of the frames."""
    return {key: {"metas": each} for key, each in presences.items()}
