"""The local server says, frame by frame, what Supabase's Realtime said when the conversations were recorded."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the player's
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.stack

A, B = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
EVERY_TYPE = (Path(__file__).parent / "every_type.sql").read_text()
EXACT = [
    "a_realtime_py",
    "b_supabase_js",
    "c_filters",
    "d7_py_bad_filter",
    "d7_py_expired_join_token",
    "d7_py_lower_event",
    "d7_py_nonexistent_table",
    "e2_no_pk",
    "e3_poison_rls_error",
    "f_two_tables",
    "j1_broadcast_presence",
    "j3_supabase_js_broadcast_vsn2",
]


def agree(player: Any) -> None:
    """Check that no frame was missing, too many, or out of order."""
    assert player.differences() == {}


@pytest.mark.parametrize("name", EXACT)
async def test_a_conversation_goes_as_recorded(name: str, play: Callable[..., Any]) -> None:
    """Every recorded answer comes, in its words, and none besides."""
    agree(await play(name))


async def test_refused_subscriptions_are_refused_in_the_recorded_words(play: Callable[..., Any], scene: Any) -> None:
    """Unknown tables, bad filters, bad columns: the same message for each."""
    agree(await play("d2_subscription_errors", scene({4000: "insert into scheduled_jobs (status) values ('x')"})))


async def test_refused_joins_are_refused_in_the_recorded_words(play: Callable[..., Any], scene: Any) -> None:
    """Bad tokens, topics and private channels without a policy; a join of the same topic replaces the first."""
    agree(await play("d3_join_token_errors", scene()))


async def test_a_channel_lives_as_long_as_its_token(play: Callable[..., Any], scene: Any) -> None:
    """Expiry ends a channel, a new token renews it, another user's token changes what it may see."""
    owned = "insert into owned_jobs (id, owner, status) values ({}, '{}', '{}')"
    hidden = {
        300: owned.format(2, B, "s1"),  # unseen, so before one that is seen: the next token must not find it under way
        300.1: owned.format(1, A, "s1"),
        5000: owned.format(3, A, "s2a"),
        5000.1: owned.format(4, B, "s2b"),
        13000: "insert into scheduled_jobs (status) values ('after-expiry')",
    }
    agree(await play("d4_token_expiry", scene(hidden, faster=4)))


async def test_row_level_security_decides_who_hears_of_a_row(play: Callable[..., Any], scene: Any) -> None:
    """Policies, column privileges and a missing grant on the key act as recorded, for each role and user."""
    instead = {
        "replica identity default": "alter table owned_jobs replica identity default",
        "column privileges: revoke select on secret from authenticated": (
            "alter table owned_jobs replica identity full;"
            "revoke select on owned_jobs from authenticated;"
            "grant select (id, owner, status) on owned_jobs to authenticated"
        ),
        "revoke select incl. pk": "revoke select (id) on owned_jobs from authenticated",
    }
    agree(await play("e_rls", scene({19000: "revoke select on owned_jobs from anon"}, instead)))


async def test_types_and_replica_identities_are_written_as_recorded(
    play: Callable[..., Any], scene: Any, start_realtime: Callable[..., Any]
) -> None:
    """Every type's JSON, old_record by identity, tables altered while somebody listens.

    In between other tables are published: at its next look the server makes all subscriptions anew, and says so once
    for each of the channel's six bindings.
    """
    server = start_realtime("--tables-check-seconds", "0.1")
    publish = "drop table if exists t_new; create table t_new (); alter publication supabase_realtime add table t_new"

    def ignored(line: dict[str, Any]) -> bool:
        """The recording shortens that statement; `every_type.sql` has the whole of it."""
        return bool(line["text"].startswith("SQL: insert into ty(id,bigi"))

    def without_xml(frame: str) -> str:
        """PostgreSQL's wheel is built without libxml, so the column is of type text here."""
        return frame.replace('"xmlx", "type": "xml"', '"xmlx", "type": "text"')

    hidden = {15: EVERY_TYPE, 20400: publish}
    agree(
        await play("k_types_and_replica_identity", scene(hidden, ignored=ignored, rewritten=without_xml), server=server)
    )


async def test_private_channels_and_broadcasts_from_the_database_go_as_recorded(
    play: Callable[..., Any], scene: Any
) -> None:
    """Policies admit to a topic; realtime.send and broadcast_changes reach it; a replay repeats the last messages."""
    trigger = """
        create or replace function send_to_room() returns trigger language plpgsql security definer as $$
        begin
            perform realtime.broadcast_changes('room:1', tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
            return null;
        end $$;
        create trigger send after insert or update or delete on scheduled_jobs
        for each row execute function send_to_room();
    """
    sends = ";;".join(["""select realtime.send('{"k":1}', 'ev', 'room:1', true)"""] * 100)
    agree(await play("j2_private_and_db_broadcast", scene({9000: trigger, 13620: sends})))


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        (
            "m_py_two_bindings",
            (
                "insert into scheduled_jobs (id, status) values (9, 'p'), (10, 'q');"
                "insert into other_jobs (id, name) values (8, 'q')"
            ),
        ),
        ("m_py_dup_binding", "insert into scheduled_jobs (id, status) values (11, 'p')"),
        ("m_py_late_on", "insert into scheduled_jobs (id, status) values (12, 'p')"),
        ("m_py_err401", "insert into t401 default values"),
        ("m_py_errors_null_commit", "insert into nopk values (1, 'x')"),
    ],
)
async def test_what_stock_clients_stumble_over_is_sent_as_recorded(
    name: str, hidden: str, play: Callable[..., Any], scene: Any, realtime: Any
) -> None:
    """Events for several bindings at once, doubled bindings, error frames without a commit time."""
    realtime.sql(
        "drop table if exists t401; create table t401 (id bigint generated by default as identity primary key)"
    )
    realtime.sql("alter publication supabase_realtime add table t401")
    agree(await play(name, scene({3000: hidden})))


@pytest.mark.parametrize("name", ["m_py_callback_raises", "m_py_events_in_join_gap"])
async def test_every_row_inserted_after_the_subscription_is_delivered(
    name: str, play: Callable[..., Any], scene: Any
) -> None:
    """The client's own behaviour does not matter: its callback may raise or come too late."""
    agree(await play(name, scene(inserts=50)))


async def test_a_token_that_expires_ends_the_channel_alone(play: Callable[..., Any], scene: Any) -> None:
    """A `system` error and `phx_close`; then nothing, and the socket stays."""
    insert = {"INSERT after token expiry": "insert into scheduled_jobs (status) values ('unheard')"}
    agree(await play("d7_py_token_expires_connected", scene(instead=insert, faster=4)))


async def test_a_refreshed_token_carries_the_channel_beyond_the_old_ones_end(
    play: Callable[..., Any], scene: Any
) -> None:
    """One more "Subscribed to PostgreSQL", and changes after the first token's end."""

    async def wait_for_the_end(_: Any) -> None:
        await asyncio.sleep(6 / 3 + 0.1)

    ends = scene(happens={8000: "the first token ends"}, acts={"the first token ends": wait_for_the_end}, faster=3)
    ends.inserts = 1
    agree(await play("d7_py_token_refreshed", ends))


async def test_no_change_is_lost_while_a_token_is_refreshed(play: Callable[..., Any], scene: Any) -> None:
    """Rows are inserted while the new token takes effect; each is delivered once, in its order."""
    agree(await play("d6_token_refresh_gap", scene(inserts=5, is_loose=True)))


async def test_malformed_frames_are_ignored_and_idle_sockets_closed(
    play: Callable[..., Any], start_realtime: Callable[..., Any]
) -> None:
    """Rubbish gets no answer; a socket that sends nothing for the idle time is closed with code 1000."""
    player = await play("d5_malformed_and_idle", server=start_realtime("--idle-seconds", "1"))
    agree(player)
