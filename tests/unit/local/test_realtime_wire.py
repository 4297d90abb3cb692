"""Both serializers carry what the other side sent, and rubbish harms nobody."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.local.realtime.wire import ArrayCodec, ObjectCodec, Push, UserBroadcast, codec_for


@pytest.mark.parametrize("codec", [ObjectCodec(), ArrayCodec()])
@given(frame=st.one_of(st.text(), st.binary(), st.recursive(st.none() | st.text(), st.lists).map(json.dumps)))
def test_no_frame_raises(codec: ObjectCodec | ArrayCodec, frame: str | bytes) -> None:
    """A malformed frame is None, whatever it is."""
    push = codec.decode(frame)
    assert push is None or isinstance(push, Push)


def test_an_object_and_an_array_say_the_same() -> None:
    """The two versions decode to one push."""
    message = {"topic": "t", "event": "e", "payload": {"a": 1}, "ref": "2", "join_ref": "1"}
    assert ObjectCodec().decode(json.dumps(message)) == ArrayCodec().decode('["1","2","t","e",{"a":1}]')


def test_payload_text_is_sent_verbatim() -> None:
    """Numbers keep their zeros, objects their spaces."""
    assert ObjectCodec().encode("t", "e", '{"n": 1.50}') == '{"ref":null,"event":"e","payload":{"n": 1.50},"topic":"t"}'
    assert ArrayCodec().encode("t", "e", '{"n": 1.50}', join_ref="6") == '["6",null,"t","e",{"n": 1.50}]'


def test_recorded_binary_frames_are_read_and_written() -> None:
    """The bytes of `j3_supabase_js_broadcast_vsn2`."""
    push = ArrayCodec().decode(b'\x03\x01\x01\r\x03\x00\x0167realtime:chatmsg{"x":1}')
    assert push == Push("realtime:chat", "broadcast", {}, "7", "6", UserBroadcast("msg", '{"x":1}'))
    assert (
        ArrayCodec().encode_broadcast("realtime:chat", push.broadcast) == b'\x04\r\x03\x00\x01realtime:chatmsg{"x":1}'
    )


def test_bytes_cannot_go_to_an_old_client() -> None:
    """Vsn 1.0.0 has no binary frames; what calls itself JSON is passed on as it is."""
    assert ObjectCodec().encode_broadcast("t", UserBroadcast("e", b"\x01")) is None
    push = ArrayCodec().decode(b"\x03\x00\x00\x01\x01\x00\x01te{no json")
    assert push.broadcast == UserBroadcast("e", "{no json")


@pytest.mark.parametrize("member", ["ref", "payload"])
def test_an_object_that_lacks_a_member_is_malformed(member: str) -> None:
    """A join without a ref has no answer."""
    message = {"topic": "t", "event": "phx_join", "payload": {}, "ref": None}
    assert ObjectCodec().decode(json.dumps(message)) is not None
    del message[member]
    assert ObjectCodec().decode(json.dumps(message)) is None


@pytest.mark.parametrize(("vsn", "kind"), [("1.0.0", ObjectCodec), ("2.0.0", ArrayCodec), ("9.9.9", type(None))])
def test_the_version_chooses_the_serializer(vsn: str, kind: type) -> None:
    """Unknown versions have none."""
    assert isinstance(codec_for(vsn), kind)
