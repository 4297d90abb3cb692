"""A binding has the id that the real server gave it."""

from __future__ import annotations

import json

from recordings import RECORDINGS

from listener.local.realtime.phash2 import phash2


def recorded_bindings() -> list[dict[str, object]]:
    """Return every binding of every recorded reply to a join."""
    found = []
    for recording in RECORDINGS.glob("*.jsonl"):
        for line in map(json.loads, recording.read_text().splitlines()):
            if line.get("dir", "s>c") == "s>c" and '"postgres_changes":[' in line["text"]:
                reply = json.loads(line["text"])
                payload = reply["payload"] if isinstance(reply, dict) else reply[4]
                found += payload["response"]["postgres_changes"]
    return found


def test_every_recorded_id_is_the_hash_of_its_parameters() -> None:
    """Texts short and long, null, lists, integers: as Erlang hashes them."""
    bindings = recorded_bindings()
    assert len(bindings) > 100
    assert [phash2(each) for each in ({k: v for k, v in b.items() if k != "id"} for b in bindings)] == [
        each["id"] for each in bindings
    ]


def test_the_order_of_parameters_does_not_matter() -> None:
    """JSON objects have none."""
    assert phash2({"event": "*", "schema": "public"}) == phash2({"schema": "public", "event": "*"})
