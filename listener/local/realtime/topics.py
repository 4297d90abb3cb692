"""Members and presences of topics."""

from __future__ import annotations

import secrets
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Protocol

from listener.local.realtime.usage import Usage

if TYPE_CHECKING:
    from listener.local.realtime.wire import UserBroadcast

PHX_REF_BYTES = 12

Topic = tuple[str, bool]  # name, private: a public and a private channel of one name are strangers
Meta = dict[str, Any]


class Member(Protocol):
    """A joined channel."""

    def receive(self, broadcast: UserBroadcast | str) -> None:
        """Send a broadcast: one whose payload travels verbatim, or a whole payload as JSON text."""
        ...

    def presence_changed(self, joins: Presences, leaves: Presences) -> None:
        """Notify the client of joined and left presences."""
        ...


Presences = dict[str, list[Meta]]  # metas by presence key


class Topics:
    """Members and presences by topic. Order of joining is kept. `usage` counts what they send and receive."""

    def __init__(self, usage: Usage | None = None) -> None:
        self._usage = usage or Usage()
        self._members: defaultdict[Topic, dict[Member, None]] = defaultdict(dict)
        self._present: defaultdict[Topic, dict[Member, tuple[str, Meta]]] = defaultdict(dict)

    def join(self, topic: Topic, member: Member) -> None:
        """Add a member."""
        self._members[topic][member] = None

    def leave(self, topic: Topic, member: Member) -> None:
        """Remove a member, and its presence, of which it is not notified itself."""
        self._members[topic].pop(member, None)
        self.untrack(topic, member)
        if not self._members[topic]:
            del self._members[topic]

    def broadcast(self, topic: Topic, broadcast: UserBroadcast | str, *, but: Member | None = None) -> None:
        """Send to every member except `but`."""
        receivers = [member for member in self._members.get(topic, ()) if member is not but]
        self._usage.broadcast += 1 + len(receivers)
        for member in receivers:
            member.receive(broadcast)

    def present(self, topic: Topic) -> Presences:
        """Return the presences of a topic."""
        presences: Presences = {}
        for key, meta in self._present.get(topic, {}).values():
            presences.setdefault(key, []).append(meta)
        return presences

    def track(self, topic: Topic, member: Member, key: str, state: Meta) -> None:
        """Make `member` present under `key`, or change its state, and notify all members."""
        meta = {"phx_ref": secrets.token_urlsafe(PHX_REF_BYTES), **state}
        previous = self._present[topic].get(member)
        if previous is not None:
            meta["phx_ref_prev"] = previous[1]["phx_ref"]
        self._present[topic][member] = (key, meta)
        self._send_diff(topic, {key: [meta]}, {} if previous is None else {previous[0]: [previous[1]]})

    def untrack(self, topic: Topic, member: Member) -> None:
        """Make `member` absent, if it was present, and notify all members."""
        previous = self._present.get(topic, {}).pop(member, None)
        if previous is not None:
            self._send_diff(topic, {}, {previous[0]: [previous[1]]})
        if not self._present.get(topic):
            self._present.pop(topic, None)

    def _send_diff(self, topic: Topic, joins: Presences, leaves: Presences) -> None:
        members = list(self._members.get(topic, ()))
        self._usage.presence += 1 + len(members)
        for member in members:
            member.presence_changed(joins, leaves)
