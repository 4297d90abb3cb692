"""Presence: every member of a topic receives who comes and who goes."""

from __future__ import annotations

from listener.local.realtime.topics import Topics

ROOM = ("room", False)


class Listener:
    """A member that notes what it receives."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def receive(self, broadcast: object) -> None:
        self.heard.append(broadcast)

    def presence_changed(self, joins: dict[str, list[dict]], leaves: dict[str, list[dict]]) -> None:
        states = [{key: [m["status"] for m in metas] for key, metas in each.items()} for each in (joins, leaves)]
        self.heard.append(tuple(states))


def test_a_broadcast_reaches_the_topic_and_not_its_namesake() -> None:
    """A private and a public channel of one name are strangers; `but` is left out."""
    topics, one, two, private = Topics(), Listener(), Listener(), Listener()
    for member in (one, two):
        topics.join(ROOM, member)
    topics.join(("room", True), private)
    topics.broadcast(ROOM, "hello", but=two)
    assert [each.heard for each in (one, two, private)] == [["hello"], [], []]


def test_a_changed_state_is_a_leave_and_a_join() -> None:
    """As Phoenix says it; a member that goes leaves."""
    topics, one, two = Topics(), Listener(), Listener()
    topics.join(ROOM, one)
    topics.join(ROOM, two)
    topics.track(ROOM, two, "bob", {"status": "here"})
    topics.track(ROOM, two, "bob", {"status": "busy"})
    assert [meta["status"] for meta in topics.present(ROOM)["bob"]] == ["busy"]
    topics.leave(ROOM, two)
    busy = {"bob": ["busy"]}
    assert one.heard == [({"bob": ["here"]}, {}), (busy, {"bob": ["here"]}), ({}, busy)]
    assert topics.present(ROOM) == {}
