"""Answers to a raw client in every odd case; most of these differed once from the real server's frames."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
from real_frames import NOTE, Clients, clients_of, frames
from recordings import token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.stack

# ruff: noqa: S608 - statements of constants

MORE_TABLES = (Path(__file__).parent / "more_tables.sql").read_text()
A, B = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
T1 = {"event": "*", "schema": "public", "table": "t1"}


@pytest.fixture
async def clients(realtime: Any) -> AsyncIterator[Clients]:
    """Give clients of the shared server, whose database has the scenarios' tables."""
    realtime.sql(MORE_TABLES)
    async with clients_of(realtime) as clients:
        yield clients


def watching(*bindings: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of a join with bindings."""
    return {"config": {"postgres_changes": list(bindings)}}


def said(kind: str, **config: Any) -> dict[str, Any]:
    """Return the payload of a join with one member of its configuration."""
    return {"config": {kind: config}}


async def subscribe(clients: Clients, name: str, *bindings: dict[str, Any], **claims: str) -> None:
    """Connect, and wait until the subscription works."""
    await clients.connect(name, "authenticated" if claims else "service_role", **claims)
    await clients.join(name, "x", watching(*bindings))
    await clients.has(name, 2)


async def test_every_payload_of_a_join_is_answered_as_recorded(clients: Clients) -> None:
    """Lists, texts and numbers where maps belong, flags as texts, tokens that are none, replays of public channels."""
    for noted in frames("bad_config2")[NOTE]:
        name, _, payload = noted.partition(": ")
        await clients.connect(name)
        await clients.push(name, f"bad{name[1:]}", "phx_join", json.loads(payload), "1")
    await clients.check("bad_config2")


async def test_malformed_frames_and_joins_twice_are_answered_as_recorded(clients: Clients) -> None:
    """A join without a ref has no answer; another join of a topic closes the first one."""
    await clients.connect("c")
    for frame in frames("protocol_misc")[NOTE]:
        await clients.send("c", frame)
    await clients.has("c", 9)
    await clients.push("c", "dup", "phx_join", {"config": {}}, "20")
    await clients.push("c", "dup", "phx_join", {"config": {}}, "21")
    await clients.push("c", "dup", "phx_leave", {}, "23")
    await clients.push("c", "dup", "broadcast", {}, "24")
    await clients.check("protocol_misc")


async def test_clients_older_than_config_get_changes_under_their_own_name(clients: Clients) -> None:
    """The topic names schema, table and filter; the event is the kind of the change, and the payload is the change."""
    topics = ["public", "public:t1", "public:t1:status=eq.a", "*", "public:nope"]
    for number, topic in enumerate(topics):
        name = f"c{number}"
        await clients.connect(name)
        await clients.join(name, topic, {})
        await clients.has(name, 2)
        if topic != "public:nope":
            await clients.sql(f"insert into t1 (id, status) values ({300 + number}, 'a')")
            await clients.has(name, 3)
            await clients.leave(name)
    await clients.check("old_style")


async def test_several_bindings_of_one_channel_share_an_event(clients: Clients) -> None:
    """Each event names the bindings that it matched."""
    await subscribe(
        clients,
        "c",
        {**T1, "filter": "status=eq.a"},
        {**T1, "event": "INSERT", "filter": "amount=gt.5"},
        {**T1, "event": "UPDATE"},
    )
    await clients.sql(
        "insert into t1 values (1, 'a', 1)",
        "insert into t1 values (2, 'b', 10)",
        "insert into t1 values (3, 'a', 10)",
        "insert into t1 values (4, 'b', 1)",
        "update t1 set status = 'a' where id = 4",
        "update t1 set status = 'z' where id = 1",
    )
    await clients.check("two_filters")


async def test_lists_of_values_are_read_as_recorded(clients: Clients) -> None:
    """Quoted members, blanks, values of a wrong type, too many of them.

    Of the recording's frames two are left out: its publication had changed, and was noticed while it listened.
    """
    await subscribe(clients, "c", {**T1, "filter": "status=in.(a,b)"}, {**T1, "filter": "n=in.(1,2)"})
    await clients.sql(
        "insert into t1 values (11, 'a', 1, 1)",
        "insert into t1 values (12, 'c', 10, 2)",
        "insert into t1 values (13, 'z', 10, 3)",
        "update t1 set status = 'b', n = null where id = 13",
    )
    many = ",".join(f"v{number}" for number in range(101))
    values = ["a,b", "()", '("a,b",c)', "(a b, c)", "(x)", f"({many})", "(a", "(1,2,null)"]
    for number, value in enumerate(values):
        column = {4: "n", 7: "id"}.get(number, "status")
        await clients.connect(f"c{number}")
        binding = {**T1, "filter": f"{column}=in.{value}"}
        await clients.join(f"c{number}", f"y{number}", watching(binding))
    await clients.has("c", 5)
    clients.received["c"][3:3] = [clients.received["c"][1]] * 2
    await clients.check("in_filter")


async def test_changes_of_keys_are_delivered_with_the_old_key(clients: Clients) -> None:
    """Also beside an unchanged value that is stored out of line."""
    await subscribe(clients, "c", T1, {**T1, "table": "t3"}, {**T1, "filter": "id=eq.101"})
    await clients.sql(
        "insert into t1 values (101, 'a', 1, 1)",
        "update t1 set id = 102",
        "delete from t1",
        f"insert into t3 values ('{A}', 'ok', '2025-12-31T22:00:00.123456Z', true, repeat('x', 3000), "
        """'{"a": [1]}', '{1,2}')""",
        f"update t3 set id = '{B}'",
        "update t3 set m = 'happy'",
        "delete from t3",
    )
    await clients.check("pk_change")


async def test_keys_of_two_columns_are_delivered_whole(clients: Clients) -> None:
    """A DELETE is filtered by the old row, of which the key is known."""
    t2 = {**T1, "table": "t2"}
    await subscribe(clients, "c", t2, {**t2, "filter": "b=eq.k"}, {**t2, "event": "DELETE", "filter": "a=eq.1"})
    await clients.sql(
        "insert into t2 values (1, 'k', 'v')", "update t2 set v = 'w'", "update t2 set b = 'l'", "delete from t2"
    )
    await clients.check("composite")


async def test_of_a_row_that_is_gone_only_the_deletion_is_delivered(clients: Clients) -> None:
    """Where policies hold, every subscriber's look at a row comes after its transaction, service_role's too."""
    own = {**T1, "table": "own"}
    changed = {"event": "UPDATE", "schema": "public", "table": "own", "filter": "id=eq.50"}
    await subscribe(clients, "a", own, changed, sub=A)
    await subscribe(clients, "b", own, changed, sub=B)
    await subscribe(clients, "s", own, changed)
    for number, statement in enumerate(
        (
            f"insert into own values (50, '{A}', 's')",
            f"update own set owner = '{B}'",
            "update own set status = 't'",
            "delete from own",
            f"insert into own values (51, '{A}', 's'); update own set status = 't'; delete from own",
        )
    ):
        await clients.sql(statement)
        await clients.has("s", 3 + number)
    await clients.check("rls_delete_update")


async def test_broadcasts_are_passed_on_whatever_they_carry(clients: Clients) -> None:
    """Events without a type, lists, bare texts; back to the sender and acknowledged where it asked for that."""
    payloads = [{"event": "noType"}, {"type": "broadcast", "payload": [1]}, "str"]
    for number, (echoes, acknowledges) in enumerate([(False, False), (True, False), (False, True), (True, True)]):
        topic, sender, other = f"b{number}", f"a{number}", f"b{number}"
        for name in (sender, other):
            await clients.connect(name)
        await clients.join(sender, topic, said("broadcast", self=echoes, ack=acknowledges))
        await clients.join(other, topic, {"config": {}})
        first = {"type": "broadcast", "event": "e", "payload": {"k": number}}
        for ref, payload in enumerate([first, *payloads], start=2):
            await clients.push(sender, topic, "broadcast", payload, str(ref))
        await clients.has(other, 5)
    for name in ("a", "b"):  # the recording has two sockets for all topics
        for number in range(4):
            clients.received[name] += clients.received.pop(f"{name}{number}")
    await clients.check("bcast_flags", is_loose=True)


async def test_large_broadcasts_pass_up_to_three_megabytes(clients: Clients) -> None:
    """Beyond them the sender gets an error, if it asked for an acknowledgement, and nobody else does."""
    for name, config in (("a", {"ack": True}), ("b", {})):
        await clients.connect(name)
        await clients.join(name, "g", said("broadcast", **config))
    for ref, size in enumerate([1000, 90_000, 110_000, 300_000, 1_100_000, 3_100_000], start=2):
        payload = {"type": "broadcast", "event": "e", "payload": {"k": "x" * size}}
        await clients.push("a", "g", "broadcast", payload, str(ref))
        await clients.has("a", ref)
    await clients.check("big_frames")


async def test_binary_broadcasts_reach_both_versions(clients: Clients) -> None:
    """A payload flagged as JSON is passed on unread; bytes reach new clients alone; unknown versions are refused."""
    for name, vsn in (("a", "2.0.0"), ("b", "2.0.0"), ("o", "1.0.0")):
        await clients.connect(name, vsn=vsn)
    config = {"config": {"broadcast": {"self": True, "ack": True}}}
    await clients.send("a", json.dumps(["1", "1", "realtime:v2", "phx_join", config]))
    await clients.send("b", json.dumps(["1", "1", "realtime:v2", "phx_join", {"config": {}}]))
    await clients.join("o", "v2", {"config": {}})
    for name in ("a", "b"):
        await clients.has(name, 1)
    text = {"type": "broadcast", "event": "e", "payload": {"k": 1}}
    await clients.send("a", json.dumps(["1", "2", "realtime:v2", "broadcast", text]))
    for ref, encoding, payload in ((b"3", 1, b'{"k":2}'), (b"4", 0, b"\x01\x02"), (b"5", 1, b"notjson")):
        await clients.send("a", bytes([3, 1, 1, 11, 1, 0, encoding]) + b"1" + ref + b"realtime:v2e" + payload)
    await clients.send("a", json.dumps([None, "6", "phoenix", "heartbeat", {}]))
    await clients.send("a", json.dumps(["1", "7", "realtime:v2", "phx_leave", {}]))
    for vsn in ("", "3.0.0", "0.9", "2"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await clients.connect("x", vsn=vsn)
        clients.received["x"].append(f"HANDSHAKE {refusal.value.status}")
    await clients.connect("x")
    await clients.send("x", json.dumps({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "9"}))
    await clients.check("vsn2")


async def test_presences_of_two_clients_come_and_go_as_recorded(clients: Clients) -> None:
    """An unknown event is an error, and so is a state that is no map."""
    for name in ("a", "b"):
        await clients.connect(name)
        await clients.join(name, "p", said("presence", key=f"k{name}", enabled=True))
        await clients.has(name, 2)

    async def present(name: str, ref: str, event: str, *state: object) -> None:
        payload = {"type": "presence", "event": event, **({"payload": state[0]} if state else {})}
        await clients.push(name, "p", "presence", payload, ref)

    await present("a", "2", "track", {"x": 1})
    await clients.has("b", 3)
    await present("b", "2", "track", {"y": 1})
    await clients.has("a", 5)
    await present("a", "3", "track", {"x": 2})
    await clients.has("b", 6)
    await present("b", "4", "untrack")
    await clients.has("a", 8)
    await present("a", "5", "dance")
    await present("a", "6", "track", "text")
    await clients.push("a", "p", "phx_leave", {}, "7")
    await clients.check("presence_two", is_loose=True)


async def test_a_client_without_presence_may_track_and_gets_no_state(clients: Clients) -> None:
    """Its own presence is sent to it, under a name that the server made."""
    for topic, config in (("p2", {}), ("p3", {"presence": {"key": ""}})):
        await clients.connect(topic)
        await clients.join(topic, topic, {"config": config})
        await clients.push(topic, topic, "presence", {"event": "track", "payload": {"x": 1}}, "2")
        await clients.has(topic, 3)
        clients.received["a"] += clients.received.pop(topic)
    await clients.check("presence_off")


async def test_the_sixth_call_of_presence_within_half_a_minute_ends_the_channel(clients: Clients) -> None:
    """With a reason, and without a reply."""
    await clients.connect("a")
    await clients.join("a", "p4", said("presence", key="k", enabled=True))
    for number in range(8):
        payload = {"type": "presence", "event": "track", "payload": {"x": number}}
        await clients.push("a", "p4", "presence", payload, str(10 + number))
    await clients.check("presence_limit")


async def test_what_a_private_channel_may_not_do_is_refused_as_recorded(clients: Clients) -> None:
    """Broadcasts of a channel that is read-only vanish, `track` is an error, and the database's messages arrive."""
    presence = {"key": "k", "enabled": True}
    whole = {"config": {"private": True, "broadcast": {"self": True, "ack": True}, "presence": presence}}
    plain = {"config": {"private": True}}
    for name in ("a", "b"):
        await clients.connect(name, "authenticated", sub=A)
    for name in ("d", "e"):
        await clients.connect(name, "anon")
    await clients.join("a", "rw:1", whole, "7")
    await clients.has("a", 2)
    await clients.join("b", "rw:1", plain, "8")
    payload = {"type": "broadcast", "event": "e", "payload": {"k": 2}}
    await clients.push("a", "rw:1", "broadcast", payload, "9")
    await clients.push("a", "rw:1", "presence", {"event": "track", "payload": {"k": 1}}, "10")
    await clients.join("d", "no:1", plain, "5")
    await clients.join("e", "ro:2", plain, "6")
    await clients.has("a", 6)
    await clients.push("a", "ro:3", "phx_join", whole, "11")
    await clients.join("b", "ro:3", plain, "12")
    await clients.has("a", 8)
    await clients.push("a", "ro:3", "broadcast", payload, "13")
    await clients.push("a", "ro:3", "presence", {"event": "track", "payload": {"k": 1}}, "14")
    await clients.has("a", 9)
    await clients.sql("""select realtime.send('{"z": 1}', 'dbe', 'ro:3', true)""")
    await clients.check("private_ro2")


async def test_what_the_database_sends_arrives_unless_it_is_null(clients: Clients) -> None:
    """With its id, as text and as a binary frame; without a payload or an event nothing is sent."""
    private = {"config": {"private": True}}
    await clients.connect("a", "authenticated", sub=A)
    await clients.join("a", "rw:db", private)
    await clients.connect("p")
    await clients.join("p", "rw:db", {"config": {}})
    await clients.connect("v", "authenticated", sub=A, vsn="2.0.0")
    await clients.send("v", json.dumps(["1", "1", "realtime:rw:db", "phx_join", private]))
    await clients.has("v", 1)
    [numbers] = [frame for frame in frames("db_broadcast")["a"] if "12345678901234567890.5" in frame]
    digits = re.search(r'"u": (\d+)', numbers)[1]
    sent = [
        ("""'{"a": 1}', 'e'""", True),
        ("""'{"a": 1, "id": "mine"}', 'e'""", True),
        ("'{}', 'e'", False),
        ("null, 'e'", True),
        ("'{}', null", True),
        ("'{}', ''", True),
        ("""'{"u": "é☃"}', 'e☃'""", True),
        (f"""'{{"u": {digits}, "v": 12345678901234567890.5}}', 'e'""", True),
        ("jsonb_build_object('big', repeat('x', 200000)), 'e'", True),
    ]
    for what, is_private in sent:
        await clients.sql(f"select realtime.send({what}, 'rw:db', {is_private})")
    both = """select realtime.send('{"n": 1}', 'e', 'rw:db', true), realtime.send('{"n": 2}', 'e', 'rw:db', true)"""
    await clients.sql(both)
    await clients.check("db_broadcast")


async def test_broadcasts_by_http_are_accepted_or_refused_as_recorded(clients: Clients) -> None:
    """202, or 422 with the errors of each message; what was accepted is delivered."""
    await clients.connect("c")
    await clients.join("c", "rb", {"config": {}})
    good = {"topic": "rb", "event": "e", "payload": {"a": 1}}
    bodies = [
        {"messages": [good]},
        {},
        {"messages": []},
        {"messages": [{"topic": "rb"}]},
        {"messages": [{**good, "payload": "text"}]},
        {"messages": [{**good, "topic": "elsewhere", "private": True}]},
    ]
    url, headers = clients.server.url("/api/broadcast"), {"Authorization": f"Bearer {token('anon')}"}
    async with httpx.AsyncClient(headers=headers) as http:
        answers = [await http.post(url, json=body) for body in bodies]
        assert (await http.post(url, json=bodies[0], headers={"Authorization": "Bearer no"})).status_code == 401
    assert [f"{answer.status_code} {answer.text}" for answer in answers] == frames("rest_broadcast")[NOTE]
    await clients.check("rest_broadcast")
