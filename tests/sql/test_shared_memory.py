"""Of more jobs than a listener keeps in memory each party gets a share, and within it what is due and most urgent."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from answered_rows import jobs_of
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

    Database = psycopg.Connection[dict[str, Any]]

USERS = [str(uuid.UUID(int=n)) for n in range(1, 30)]


def insert(  # noqa: PLR0913 - what tests vary
    database: Database,
    count: int,
    due: str,
    *,
    user: str | None = None,
    workspace: str | None = None,
    priority: int = 0,
) -> list[int]:
    """Insert jobs that are due at `due`, an expression of SQL in which n counts them."""
    query = (
        "insert into public.scheduled_jobs (handler, created_by, workspace_id, priority, run_date) "  # noqa: S608 - written here
        f"select 'noop', %s, %s, %s, clock_timestamp() + {due} from generate_series(1, %s) as n returning id"
    )
    return [row["id"] for row in database.execute(query, [user, workspace, priority, count]).fetchall()]  # type: ignore[arg-type]


@pytest.fixture
def listed(database: Database) -> Callable[..., dict[str, Any]]:
    """Return what a listener with memory for so many jobs gets, until five minutes from now."""

    def ask(limit: int) -> dict[str, Any]:
        until = database.execute("select now() + interval '300 s' as at").fetchone()["at"]  # type: ignore[index]
        request = Jsonb({"until": until.isoformat(), "limit": limit})
        answer: dict[str, Any] = database.execute("select public.due_jobs_v1(%s) as a", [request]).fetchone()["a"]  # type: ignore[index]
        return {**answer, "until": until}

    return ask


def owners(database: Database, ids: list[int]) -> Counter[str | None]:
    """Count whose they are."""
    rows = database.execute("select created_by::text as user from scheduled_jobs where id = any(%s)", [ids])
    return Counter(row["user"] for row in rows.fetchall())


def instant(database: Database, text: str) -> datetime:
    """Read an instant of an answer."""
    at: datetime = database.execute("select %s::timestamptz as at", [text]).fetchone()["at"]  # type: ignore[index]
    return at


def test_what_fits_is_listed_whole_and_earliest_first(database: Database, listed) -> None:
    """Nothing is left out."""
    later, sooner = insert(database, 2, "200 * interval '1 s' / n", user=USERS[0])
    insert(database, 3, "interval '400 s'")
    (own,) = insert(database, 1, "- interval '1 day'")
    answer = listed(3)
    assert (answer["ids"], answer["left_out"]) == ([own, sooner, later], 0)
    assert instant(database, answer["complete_until"]) == answer["until"]


def test_a_user_with_twenty_workspaces_has_one_users_share(database: Database, listed) -> None:
    """Unused parts are shared out again; the first job of each comes before the second of any."""
    for _ in range(20):
        insert(database, 50, "- interval '20 years' - n * interval '1 s'", user=USERS[0], workspace=str(uuid.uuid4()))
    for user in USERS[1:11]:
        insert(database, 3, "n * interval '9 s'", user=user)
    insert(database, 200, "interval '100 s'", workspace=USERS[20])
    insert(database, 100, "interval '200 s'")
    answer = listed(130)
    assert owners(database, answer["ids"]) == {USERS[0]: 33, None: 66, **dict.fromkeys(USERS[1:11], 3)}
    assert set(owners(database, answer["ids"][:13])) == {None, *USERS[:11]}
    assert answer["left_out"] == 520 - 33, "it counts no further than four times what is kept"
    assert instant(database, answer["complete_until"]) < answer["until"] - timedelta(days=7000)


def test_of_what_is_due_the_most_urgent_is_kept_and_then_what_comes_next(database: Database, listed) -> None:
    """Due jobs go before later ones, whatever their priority."""
    old = insert(database, 4, "- n * interval '1 h'", user=USERS[0])
    soon = insert(database, 4, "n * interval '1 s'", user=USERS[0], priority=3)
    idle = insert(database, 4, "- n * interval '9 h'", user=USERS[0], priority=-1)
    later = insert(database, 4, "n * interval '20 s'", user=USERS[0], priority=9)
    order = [*soon, *reversed(old), *reversed(idle), *later]
    for limit in (2, 6, 9, 13, 15):
        assert listed(limit)["ids"] == order[:limit]


def test_it_says_until_when_nothing_is_left_out(database: Database, listed) -> None:
    """The next list has to come before that."""
    insert(database, 9, "n * interval '30 s'", user=USERS[0])
    insert(database, 2, "n * interval '90 s'", user=USERS[1])
    answer = listed(6)
    assert owners(database, answer["ids"]) == {USERS[0]: 4, USERS[1]: 2}
    left = instant(database, answer["complete_until"]) - answer["until"] + timedelta(seconds=300)
    assert timedelta(seconds=148) < left <= timedelta(seconds=150)
    assert answer["left_out"] == 0


def test_more_parties_than_memory_are_listed_earliest_first_and_soon_again(database: Database, listed) -> None:
    """There is less than one for each."""
    jobs = [insert(database, 2, f"interval '{90 - n} s'", user=user)[0] for n, user in enumerate(USERS)]
    answer = listed(10)
    assert answer["ids"] == jobs[:-11:-1]
    assert instant(database, answer["complete_until"]) < answer["until"] - timedelta(seconds=299)


def test_jobs_are_read_in_the_order_asked_for_and_no_more_than_allowed(database: Database) -> None:
    """The answer says how many of the ids were looked up; those that are gone are not in it."""
    first, second, third = insert(database, 3, "interval '1 s'")
    for limit, after, expected in [(2, 2, [third]), (3, None, [third, first]), (9, None, [third, first])]:
        request = Jsonb({"ids": [third, 0, first], "limit": limit})
        answer = database.execute("select public.jobs_v1(%s) as a", [request]).fetchone()["a"]  # type: ignore[index]
        assert ([row["id"] for row in jobs_of(answer)], answer["after"]) == (expected, after)
    assert second
