"""While every live listener receives NOTIFY, statements send nothing through Realtime; else they do."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INSERT = "insert into public.scheduled_jobs (handler, run_date) values ('noop', now() + '1 h')"
MEETING = "insert into public.meetings (title, start_time, end_time) values ('m', now(), now() + '1 h')"
SENT = (
    "select count(*)::int as n from job_scheduler.signals where message ->> 'table' not in ('probe', 'job_listeners')"
)
NOTHING = (
    "delete from job_scheduler.listening; delete from job_scheduler.mute; delete from job_scheduler.signals; "
    "delete from job_scheduler.stops; delete from public.job_listeners"
)
LEFT = "select extract(epoch from spared_until - clock_timestamp())::float as left from job_scheduler.listening"
OLD = "update public.job_listeners set heartbeat_at = now() - %s * interval '1 second' where id = %s"
DIRECT, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


@pytest.fixture(autouse=True)
def nobody_lives(database: psycopg.Connection[Any]) -> Iterator[None]:
    """No listener is alive, before and after each test."""
    database.execute(NOTHING)
    yield
    database.execute(NOTHING)


@pytest.fixture
def is_spared(database: psycopg.Connection[Any]) -> Callable[[], bool]:
    """Insert a job; return whether nothing was sent through Realtime."""

    def insert() -> bool:
        before = database.execute(SENT).fetchone()["n"]
        database.execute(INSERT)
        return database.execute(SENT).fetchone()["n"] == before

    return insert


@pytest.fixture
def beat(ask) -> Callable[..., Any]:
    """Send a heartbeat."""

    def send(listener: str, *, lease: float = 30, **request: Any) -> Any:
        return ask("extend_leases_v1", listener=listener, name="a test", lease_seconds=lease, executions=[], **request)

    return send


@pytest.fixture
def spared(ask, beat) -> None:
    """One listener is alive, and receives NOTIFY."""
    ask("listen_v1", seconds=120)
    beat(DIRECT, receives_notify=True)


def polled(ask) -> dict[str, Any]:
    """Poll."""
    return ask("poll_jobs_v1", cursor=0, until="2999-01-01T00:00:00Z", after=None, limit=1)


@pytest.mark.usefixtures("spared")
def test_a_listener_that_does_not_receive_notify_ends_it_as_it_joins_and_until_it_leaves(beat, ask, is_spared):
    """So does an older one, which does not say; and one that received it up to now."""
    assert is_spared()
    beat(OTHER)
    assert not is_spared()
    beat(DIRECT, receives_notify=True)
    assert not is_spared()
    ask("leave_v1", listener=OTHER)
    beat(DIRECT, receives_notify=True)
    assert is_spared()
    beat(DIRECT, receives_notify=False)
    assert not is_spared()
    beat(DIRECT, receives_notify=True)
    assert is_spared()


@pytest.mark.usefixtures("spared")
def test_one_that_is_no_longer_alive_does_not_count(database, beat, is_spared):
    """Its own lease says for how long it is, whatever that of the one that asks."""
    beat(OTHER, lease=60)
    database.execute(OLD, [29, OTHER])
    beat(DIRECT, receives_notify=True)
    assert not is_spared()
    database.execute(OLD, [31, OTHER])
    beat(DIRECT, receives_notify=True)
    assert is_spared()


@pytest.mark.usefixtures("spared")
def test_it_is_for_those_who_share_and_ends_with_the_last(database, beat, ask, is_spared):
    """A listener that starts, or drains, sends no heartbeat: it polls, or needs no notification."""
    beat(OTHER, shares=False)
    assert is_spared()
    ask("leave_v1", listener=DIRECT)
    beat(DIRECT, shares=False, receives_notify=True)
    assert not is_spared()


@pytest.mark.parametrize("lease", [60, 300])
def test_it_lasts_for_a_lease_and_no_longer_than_notify_is_sent(database, beat, ask, is_spared, lease):
    """Nobody has to end it; each heartbeat that is on time renews it, and writes no more than that."""
    ask("listen_v1", seconds=120)
    beat(DIRECT, lease=lease, receives_notify=True)
    assert lease - 30 < database.execute(LEFT).fetchone()["left"] <= lease
    (first,) = database.execute("select xmin from job_scheduler.listening").fetchone().values()
    if lease > 100:
        beat(DIRECT, lease=lease, receives_notify=True)
        assert database.execute("select xmin from job_scheduler.listening").fetchone() == {"xmin": first}
    database.execute(
        "update job_scheduler.listening set spared_until = clock_timestamp() + %s * '0.6 s'::interval", [lease]
    )
    beat(DIRECT, lease=lease, receives_notify=True)
    assert database.execute(LEFT).fetchone()["left"] > 0.6 * lease
    database.execute("update job_scheduler.listening set until = clock_timestamp()")
    assert not is_spared()
    ask("listen_v1", seconds=120)
    database.execute("update job_scheduler.listening set spared_until = clock_timestamp()")
    assert not is_spared()


def test_nothing_is_spared_where_nobody_listens(database, beat, is_spared):
    """Whatever a heartbeat says: no NOTIFY is sent."""
    beat(DIRECT, receives_notify=True)
    assert not is_spared()


@pytest.mark.usefixtures("spared")
def test_polls_and_requests_for_mutes_say_that_nothing_comes_through_realtime(database, beat, ask):
    """A listener that receives nothing else polls at short intervals; they also say when it is over."""
    answer, mute = polled(ask), ask("mute_v1", seconds=0)
    assert answer["muted_until"] == answer["spared_until"] == mute["muted_until"] == mute["spared_until"]
    assert answer["muted_until"] > answer["now"]
    database.execute(MEETING)
    assert [each["table"] for each in polled(ask)["signals"]] == ["sources"]
    beat(OTHER)
    answer, mute = polled(ask), ask("mute_v1", seconds=0)
    assert answer["spared_until"] == answer["muted_until"] < answer["now"]
    assert mute["muted_until"] is None
    assert polled(ask)["signals"] == []


@pytest.mark.usefixtures("spared")
def test_listeners_are_announced_and_channels_probed_through_realtime(database, beat, ask):
    """The channels stay proved for the time when they are needed again."""
    messages = "select message ->> 'table' as of from job_scheduler.signals order by id"
    database.execute("delete from job_scheduler.signals")
    beat(OTHER, receives_notify=True)
    ask("send_probe_v1", listener=DIRECT)
    database.execute(INSERT)
    assert [row["of"] for row in database.execute(messages)] == ["job_listeners", "probe"]


@pytest.mark.usefixtures("spared")
def test_notify_can_be_muted_meanwhile_but_no_longer_than_that(database, beat, ask, is_spared):
    """There are too many then for those who receive it, too, and they poll; a listener that joins is notified."""
    answer = ask("mute_v1", seconds=60, notify=True)
    assert answer["now"] < answer["notify_muted_until"] == answer["spared_until"]
    assert ask("mute_v1", seconds=1, notify=True)["notify_muted_until"] == answer["notify_muted_until"]
    assert database.execute("select job_scheduler.open_channels() as open").fetchone()["open"] == []
    beat(OTHER)
    assert polled(ask)["notify_muted_until"] < polled(ask)["now"]
    assert set(database.execute("select job_scheduler.open_channels() as open").fetchone()["open"]) == {
        "notify",
        "broadcast",
        "postgres_changes",
    }
    assert ask("mute_v1", seconds=60, notify=True)["notify_muted_until"] is None


@pytest.mark.usefixtures("spared")
def test_a_mute_of_realtime_outlasts_it(database, beat, ask, is_spared):
    """It is what the listeners have agreed upon, and so it keeps that of NOTIFY."""
    database.execute("insert into job_scheduler.mute (until) values (now() + '10 min')")
    muted = ask("mute_v1", seconds=5, notify=True)
    assert muted["spared_until"] < muted["muted_until"]
    beat(OTHER)
    assert is_spared()
    assert polled(ask)["notify_muted_until"] == muted["notify_muted_until"]


@pytest.mark.usefixtures("spared")
def test_heartbeats_at_the_same_time_overlook_nobody(migrated_database, beat, ask, database, is_spared):
    """While one holds the row, no other spares Realtime; leases are extended all the same."""
    database.execute("update job_scheduler.listening set spared_until = null")
    with psycopg.connect(migrated_database) as other:
        other.execute("select from job_scheduler.listening for update")
        beat(DIRECT, receives_notify=True)
        assert not is_spared()
        other.rollback()
    beat(DIRECT, receives_notify=True)
    with psycopg.connect(migrated_database) as other:
        other.execute("select from job_scheduler.listening for update")
        assert beat(OTHER)["listeners"].keys() == {DIRECT, OTHER}
        other.rollback()
    beat(DIRECT, receives_notify=True)
    assert not is_spared(), "the next heartbeat, of whomever, ends it"
