"""Broadcasts and changes are delivered as realtime-py would deliver them; what looks different is left to it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from pydantic import ValidationError
from realtime.message import BroadcastMessage, PostgresChangesMessage, ServerMessageAdapter
from recordings import RECORDINGS, lines_of
from websockets.exceptions import ConnectionClosedOK

from listener.supabase.quick_frames import QuickFrames

NAMES = sorted(path.stem for path in RECORDINGS.glob("*.jsonl"))
BROADCAST = {"event": "broadcast", "ref": None, "topic": "t", "payload": {"event": "changed", "payload": {}}}
DATA = {"type": "INSERT", "schema": "public", "table": "a", "commit_timestamp": "now", "errors": None, "columns": []}
CHANGE = {
    "event": "postgres_changes",
    "ref": None,
    "topic": "t",
    "payload": {"ids": [1], "data": {**DATA, "record": {"id": 1}}},
}


class AnyTopic(dict):
    """Channels of every topic, with one callback."""

    def __init__(self, callback):
        self.channel = SimpleNamespace(broadcast_callbacks=[callback], postgres_changes_callbacks=[callback])

    def get(self, _topic):
        return self.channel


class Socket:
    """A socket that brings these frames and closes."""

    close_code = 1000

    def __init__(self, frames):
        self._frames = iter(frames)

    async def recv(self):
        """Return the next frame."""
        for frame in self._frames:
            return frame
        raise ConnectionClosedOK(None, None)


async def read(frames):
    """Read frames: what was delivered at once, and what was left."""
    delivered = []
    quick = QuickFrames(Socket(frames), AnyTopic(delivered.append))
    assert quick.close_code == 1000
    return delivered, [frame async for frame in quick]


@pytest.mark.parametrize("name", NAMES)
async def test_recorded_frames_are_delivered_as_by_the_client(name):
    """Each frame that the real server has sent, in the dialect that realtime-py speaks."""
    frames = [
        line["text"]
        for line in lines_of(name)
        if line.get("dir", "s>c") == "s>c" and line.get("conn") != "note" and line.get("text", "").startswith("{")
    ]
    for frame in frames:
        delivered, left = await read([frame])
        try:
            message = ServerMessageAdapter.validate_json(frame)
        except ValidationError:
            message = None
        if delivered:
            assert isinstance(message, BroadcastMessage | PostgresChangesMessage)
            assert left == []
            assert {key: delivered[0][key] for key in message.payload} == message.payload
        else:
            assert left == [frame]


@pytest.mark.parametrize("frame", [BROADCAST, CHANGE], ids=["broadcast", "change"])
async def test_what_the_database_sends_is_delivered_at_once(frame):
    """Else the look at each frame would only cost time."""
    assert await read([json.dumps(frame)]) == ([frame["payload"]], [])


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "no json",
        "[]",
        json.dumps({**BROADCAST, "payload": {"event": "changed", "payload": 3}}),
        json.dumps({**BROADCAST, "ref": "1"}),
        json.dumps({**BROADCAST, "topic": 1}),
        json.dumps({**CHANGE, "payload": {"ids": [], "data": {**DATA, "record": {}}}}),
        json.dumps({**CHANGE, "payload": {"ids": [1], "data": {**DATA, "record": None}}}),
        json.dumps({**CHANGE, "payload": {"ids": [1], "data": {**DATA, "record": {}, "commit_timestamp": None}}}),
        json.dumps({**CHANGE, "payload": {"ids": [1], "data": {**DATA, "record": {}, "errors": ["Error 401"]}}}),
        json.dumps({**CHANGE, "payload": {"ids": [1], "data": {**DATA, "record": {}, "type": "DELETE"}}}),
    ],
    ids=range(11),
)
async def test_frames_of_another_shape_are_left_to_the_client(frame):
    """It counts what it cannot read, and reports what the server says is wrong."""
    assert await read([frame]) == ([], [frame])
