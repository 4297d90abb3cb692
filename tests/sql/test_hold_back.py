"""How many runs of a user or a workspace go on at a time, and begin in a minute, over all listeners: others wait."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from answered_rows import runs_of
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Database = psycopg.Connection[dict[str, Any]]

ALICE, BOB = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
OURS = str(uuid.UUID(int=3))


@pytest.fixture
def bounds(database: Database) -> Iterator[Callable[..., None]]:
    """Return what sets the installation's bounds for one test."""
    names = "('quota_max_running', 'quota_max_runs_per_minute')"
    before = database.execute(f"select name, value from job_scheduler.limits where name in {names}").fetchall()  # noqa: S608 - written here

    def write(**values: float) -> None:
        for name, value in values.items():
            database.execute("update job_scheduler.limits set value = %s where name = %s", [value, f"quota_{name}"])

    database.execute("truncate job_scheduler.usage, public.job_workspaces cascade")
    yield write
    write(**{row["name"].removeprefix("quota_"): row["value"] for row in before})


def insert(
    database: Database, count: int, user: str | None = None, workspace: str | None = None
) -> list[dict[str, Any]]:
    """Insert jobs that are due; their claims."""
    query = (
        "insert into public.scheduled_jobs (handler, created_by, workspace_id, priority) "
        "select 'noop', %s, %s, n from generate_series(1, %s) as n returning id, due_at"
    )
    rows = database.execute(query, [user, workspace, count]).fetchall()
    return [{"id": row["id"], "due": row["due_at"].isoformat(), "exhausted": True} for row in rows]


def claim(database: Database, claims: list[dict[str, Any]]) -> tuple[list[int], list[int], list[str]]:
    """Claim: the jobs that run, those that do not, and who is at their bound."""
    request = {"listener": str(uuid.uuid4()), "lease_seconds": 60, "ahead_seconds": 1, "claims": claims}
    row = database.execute("select public.claim_runs_v1(%s) as answer", [Jsonb(request)]).fetchone()
    answer = row["answer"]  # type: ignore[index]
    return [run["id"] for run in runs_of(answer)], [job["id"] for job in answer["rows"]], answer["bounded"]


def test_beyond_its_bound_runs_of_a_user_wait_the_most_urgent_go_first(database: Database, bounds) -> None:
    """Wherever they are; those of others do not; none is skipped, and one starts as one ends."""
    bounds(max_running=3)
    mine = [*insert(database, 2, ALICE), *insert(database, 4, ALICE, OURS)]
    others = [*insert(database, 2, BOB, OURS), *insert(database, 5)]
    running, refused, bounded = claim(database, [*mine, *others])
    assert sorted(running) == sorted([mine[1]["id"], mine[4]["id"], mine[5]["id"], *(each["id"] for each in others)])
    assert (len(refused), bounded) == (3, [ALICE])
    statuses = database.execute("select status from job_executions where created_by = %s", [ALICE]).fetchall()
    assert [row["status"] for row in statuses] == ["running"] * 3
    assert claim(database, mine[:1])[::2] == ([], [ALICE])
    database.execute(
        "update public.job_executions set status = 'completed', lease_expires_at = null where scheduled_job_id = %s",
        [mine[5]["id"]],
    )
    assert claim(database, mine[:3])[0] == [mine[0]["id"]]


@pytest.mark.parametrize(("seen", "bounded"), [("'{}'", []), ("jobs", [ALICE])], ids=["too late", "in time"])
def test_a_job_that_becomes_visible_while_its_claim_goes_on_stays_within_the_bound(
    database: Database, bounds: Callable[..., None], seen: str, bounded: list[str]
) -> None:
    """A channel reports a commit shortly before it becomes visible; here the claim's wait itself makes the job."""
    bounds(max_running=1)
    late, running = insert(database, 2, ALICE)
    assert claim(database, [running])[0] == [running["id"]]
    database.execute("delete from scheduled_jobs where id = %s", [late["id"]])
    with database.transaction(force_rollback=True):
        database.execute(
            "create or replace function job_scheduler.await_commits(jobs bigint[])"  # noqa: S608 - written here
            " returns bigint[] language plpgsql as $f$ begin"
            " insert into public.scheduled_jobs (id, handler, created_by, run_date) overriding system value"
            f" values ({late['id']}, 'noop', '{ALICE}', '{late['due']}'); return {seen}; end $f$"
        )
        assert claim(database, [late]) == ([], [late["id"]], bounded)


def test_a_workspace_with_a_bound_of_its_own_counts_by_itself(database: Database, bounds) -> None:
    """All users in it together; for the service key only where it says so."""
    bounds(max_running=1)
    database.execute(
        "insert into job_workspaces (id, name, settings) values (%s, 'ours', %s)", [OURS, Jsonb({"max_running": 4})]
    )
    jobs = [*insert(database, 3, ALICE, OURS), *insert(database, 3, BOB, OURS), *insert(database, 1, ALICE)]
    running, _, bounded = claim(database, [*jobs, *(own := insert(database, 3, None, OURS))])
    assert len(running) == 4 + 1 + 3
    assert {each["id"] for each in own} < set(running)
    assert bounded == [OURS]
    database.execute("update job_workspaces set settings = settings || '{\"limit_service\": true}'")
    assert claim(database, insert(database, 1, None, OURS))[::2] == ([], [OURS])


def test_runs_of_a_minute_have_a_bound(database: Database, bounds) -> None:
    """Whether they go on or have ended; the next minute is another one."""
    bounds(max_runs_per_minute=3)
    jobs = insert(database, 5, ALICE)
    database.execute(
        "insert into job_scheduler.usage values (%s, date_trunc('minute', now() + interval '30 s'), 0)", [ALICE]
    )
    assert len(claim(database, jobs[:2])[0]) == 2
    database.execute("update public.job_executions set status = 'completed', lease_expires_at = null")
    running, refused, bounded = claim(database, jobs[2:])
    database.execute("update job_scheduler.usage set minute = minute - interval '1 minute'")
    assert (len(running), len(refused), bounded) == (1, 2, [ALICE])
    assert len(claim(database, jobs[2:4])[0]) == 2


def test_queued_runs_wait_too(database: Database, bounds) -> None:
    """A run asked for manually, of a job that runs at its bound already."""
    bounds(max_running=1)
    (first,), (second,) = insert(database, 1, ALICE), insert(database, 1, ALICE)
    assert claim(database, [first])[0] == [first["id"]]
    database.execute("select public.run_job_now(%s)", [second["id"]])
    assert claim(database, [second])[::2] == ([], [ALICE])


def test_listeners_that_claim_at_once_do_not_exceed_it_together(
    database: Database, migrated_database: str, bounds
) -> None:
    """Each sees what the other one was granted."""
    bounds(max_running=10)
    jobs = insert(database, 80, ALICE)

    def one(number: int) -> int:
        with psycopg.connect(migrated_database, autocommit=True, row_factory=dict_row) as connection:
            return sum(len(claim(connection, jobs[number + at :: 8][:5])[0]) for at in (0, 4))

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(one, range(4))) == 10
