"""An upcoming meeting has exactly one job, at its end; whatever happens to the meeting happens to the job."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from listener.migrate.files import migrations_folder
from listener.migrate.migrator import apply_migrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

END = datetime(2030, 1, 1, 10, tzinfo=UTC)
ALICE, BOB = uuid.UUID(int=0xA11CE), uuid.UUID(int=0xB0B)
NOTHING = {"jobs_scheduled": 0, "jobs_moved": 0, "jobs_cancelled": 0, "errors": 0}

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def sync(database: Database) -> Callable[..., dict[str, Any]]:
    """Return the call of the service, made as service_role; a request that says nothing is a start's first page."""

    def call(**request: object) -> dict[str, Any]:
        with database.transaction():
            database.execute("set local role service_role")
            row = database.execute(
                "select public.sync_meetings_v1(%s) as answer", [json.dumps({"limit": 100, **request}, default=str)]
            ).fetchone()
            return row["answer"]

    return call


def meet(database: Database, **columns: object) -> uuid.UUID:
    """Insert a meeting; answer its id."""
    columns = {"title": "Board", "end_time": END, "created_by": ALICE, **columns}
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    query = f"insert into public.meetings ({names}) values ({places}) returning id"  # noqa: S608 - the names are ours
    return database.execute(query, list(columns.values())).fetchone()["id"]


def change(database: Database, meeting: uuid.UUID, **columns: object) -> None:
    """Update a meeting."""
    sets = ", ".join(f"{name} = %s" for name in columns)
    database.execute(f"update public.meetings set {sets} where id = %s", [*columns.values(), meeting])  # noqa: S608


def jobs_of(database: Database, meeting: uuid.UUID) -> list[dict[str, Any]]:
    """Read the jobs of a meeting."""
    key = f"meeting-status:{meeting}"
    query = """
        select id, handler, trigger_type, status, name, metadata, created_by, workspace_id, run_date, next_run_at,
            due_at, revision, updated_at
        from public.scheduled_jobs where job_id = %s
    """
    return database.execute(query, [key]).fetchall()


def bring(database: Database, meeting: uuid.UUID, *statuses: str) -> None:
    """Take the job through these statuses, as the service does."""
    with database.transaction():
        database.execute("select set_config('job_scheduler.stage', 'service', true)")
        for status in statuses:
            database.execute(
                "update public.scheduled_jobs set status = %s, due_at = null where job_id = %s",
                [status, f"meeting-status:{meeting}"],
            )


def counts(answer: dict[str, Any]) -> dict[str, int]:
    """Read what an answer says was written."""
    return {name: answer[name] for name in NOTHING}


@pytest.mark.parametrize(
    ("title", "name"), [("x" * 600, "x" * 500), (" ", None), ("\t\n", None), (None, None), ("", "")], ids=repr
)
def test_a_meeting_has_its_job_whatever_its_title(database, sync, title, name):
    """A name that no job may have would else leave the meeting upcoming for ever; nor does it stop an edit."""
    meeting, renamed = meet(database, title=title), meet(database)
    assert sync()["errors"] == 0
    assert [job["name"] for job in jobs_of(database, meeting)] == [name]
    change(database, renamed, title=title, end_time=END + timedelta(hours=1))
    assert sync(changed=True)["errors"] == 0
    assert [(job["name"], job["run_date"]) for job in jobs_of(database, renamed)] == [(name, END + timedelta(hours=1))]
    assert sync(changed=True)["jobs_moved"] == 0, "what is right is left as it is"


def test_an_upcoming_meeting_gets_its_one_job(database: Database, sync):
    """With the key, handler, payload, instant and owner that the documentation names."""
    meeting = meet(database, title="Board")
    assert counts(sync()) == {**NOTHING, "jobs_scheduled": 1}
    (job,) = jobs_of(database, meeting)
    assert (job["handler"], job["trigger_type"], job["status"]) == ("meeting_status", "once", "scheduled")
    assert (job["run_date"], job["next_run_at"]) == (END, END)
    assert (job["metadata"], job["name"]) == ({"meeting_id": str(meeting)}, "Board")
    assert (job["created_by"], job["workspace_id"]) == (ALICE, None)


def test_nothing_is_written_when_the_job_is_right(database: Database, sync):
    """Neither by a second start nor by a poll that shows the same meeting again: no revision, no noise."""
    meeting = meet(database)
    sync()
    before = jobs_of(database, meeting)
    again = [sync(), sync(changed=True), sync(ids=[meeting])]
    assert [counts(answer) for answer in again] == [NOTHING] * 3
    assert [answer["jobs_already_exist"] for answer in again] == [1, 1, 1]
    assert jobs_of(database, meeting) == before


def test_moving_the_end_moves_the_job(database: Database, sync):
    """Found on the list of what changed."""
    meeting = meet(database)
    sync()
    change(database, meeting, end_time=END + timedelta(hours=1))
    assert counts(sync(changed=True)) == {**NOTHING, "jobs_moved": 1}
    (job,) = jobs_of(database, meeting)
    assert (job["run_date"], job["next_run_at"]) == (END + timedelta(hours=1),) * 2


def test_a_paused_job_moves_and_stays_paused(database: Database, sync):
    """Somebody paused it for a reason."""
    meeting = meet(database)
    sync()
    database.execute("update public.scheduled_jobs set status = 'paused'")
    change(database, meeting, end_time=END + timedelta(hours=1))
    sync(ids=[meeting])
    (job,) = jobs_of(database, meeting)
    assert (job["run_date"], job["status"]) == (END + timedelta(hours=1), "paused")


@pytest.mark.parametrize("status", ["scheduled", "paused", "running"])
@pytest.mark.parametrize("fate", ["cancelled", "deleted"])
def test_cancelling_or_deleting_the_meeting_cancels_the_job(database: Database, sync, status: str, fate: str):
    """Also one that has begun."""
    meeting = meet(database)
    sync()
    if status != "scheduled":
        bring(database, meeting, status)
    if fate == "cancelled":
        change(database, meeting, status="cancelled")
    else:
        database.execute("delete from public.meetings")
    assert counts(sync(ids=[meeting])) == {**NOTHING, "jobs_cancelled": 1}
    (job,) = jobs_of(database, meeting)
    assert job["status"] == "cancelled"


def test_the_run_that_ends_its_meeting_is_not_cancelled_for_it(database: Database, sync):
    """The handler sets the meeting to done while its job runs: the job must be left to complete."""
    meeting = meet(database)
    sync()
    bring(database, meeting, "running")
    change(database, meeting, status="done")
    assert counts(sync(ids=[meeting])) == NOTHING
    assert [job["status"] for job in jobs_of(database, meeting)] == ["running"]


def test_a_meeting_done_early_needs_its_job_no_more(database: Database, sync):
    """A user ended it."""
    meeting = meet(database)
    sync()
    change(database, meeting, status="done")
    assert counts(sync(changed=True)) == {**NOTHING, "jobs_cancelled": 1}


def test_a_cancelled_meeting_that_is_on_again_has_its_job_again(database: Database, sync):
    """The same row, at the same instant."""
    meeting = meet(database)
    sync()
    change(database, meeting, status="cancelled")
    sync(ids=[meeting])
    change(database, meeting, status="upcoming")
    assert counts(sync(ids=[meeting])) == {**NOTHING, "jobs_moved": 1}
    (job,) = jobs_of(database, meeting)
    assert (job["status"], job["next_run_at"]) == ("scheduled", END)


def test_a_meeting_moved_after_its_job_ran_has_it_run_again(database: Database, sync):
    """The run found the meeting moved and left it upcoming."""
    meeting = meet(database)
    sync()
    bring(database, meeting, "running", "completed")
    change(database, meeting, end_time=END + timedelta(hours=1))
    assert counts(sync(ids=[meeting])) == {**NOTHING, "jobs_moved": 1}
    (job,) = jobs_of(database, meeting)
    assert (job["status"], job["next_run_at"]) == ("scheduled", END + timedelta(hours=1))


def test_a_meeting_moved_while_its_job_runs_has_it_run_again(database: Database, sync):
    """The new instant is noted at once, and is what the end of the run finds."""
    meeting = meet(database)
    sync()
    bring(database, meeting, "running")
    change(database, meeting, end_time=END + timedelta(hours=1))
    sync(ids=[meeting])
    (job,) = jobs_of(database, meeting)
    assert (job["status"], job["due_at"]) == ("running", END + timedelta(hours=1))


@pytest.mark.parametrize("ended", ["completed", "failed"])
def test_a_poll_does_not_run_a_job_again_that_ended_in_vain(database: Database, sync, ended: str):
    """A poll may show the same meeting many times: a failing job must not run once a poll. A start tries again."""
    meeting = meet(database, end_time=datetime(2026, 1, 1, tzinfo=UTC))
    sync()
    bring(database, meeting, "running", ended)
    assert [counts(sync(changed=True)), counts(sync(ids=[meeting]))] == [NOTHING, NOTHING]
    assert counts(sync()) == {**NOTHING, "jobs_moved": 1}


def test_a_meeting_reopened_after_its_end_is_ended_again(database: Database, sync):
    """The change is newer than the job, so that this run is due, once."""
    meeting = meet(database, end_time=datetime(2026, 1, 1, tzinfo=UTC))
    sync()
    bring(database, meeting, "running")
    change(database, meeting, status="done")
    bring(database, meeting, "completed")
    change(database, meeting, status="upcoming")
    assert [counts(sync(changed=True)), counts(sync(changed=True))] == [{**NOTHING, "jobs_moved": 1}, NOTHING]


def test_a_meeting_reopened_after_a_restore_is_ended_again_and_again(database: Database, sync):
    """Its job has the transactions of another cluster, far ahead of those of the changes that follow."""
    meeting = meet(database, end_time=datetime(2026, 1, 1, tzinfo=UTC))
    sync()
    bring(database, meeting, "running")
    change(database, meeting, status="done")
    bring(database, meeting, "completed")
    with database.transaction():
        database.execute("select set_config('job_scheduler.stage', 'service', true)")
        database.execute("update public.scheduled_jobs set revision = 10 ^ 12, changed_in = 10 ^ 12")
    for _ in range(2):
        change(database, meeting, status="upcoming")
        assert [counts(sync(changed=True)), counts(sync(changed=True))] == [{**NOTHING, "jobs_moved": 1}, NOTHING]
        bring(database, meeting, "running")
        change(database, meeting, status="done")
        bring(database, meeting, "completed")


def test_a_start_cancels_jobs_whose_meeting_went_while_nobody_listened(database: Database, sync):
    """Deleted, cancelled or done; the others stay."""
    gone, cancelled, kept = meet(database), meet(database), meet(database)
    sync()
    database.execute("delete from public.meetings where id = %s", [gone])
    change(database, cancelled, status="cancelled")
    assert counts(sync()) == {**NOTHING, "jobs_cancelled": 2}
    assert [jobs_of(database, one)[0]["status"] for one in (gone, cancelled, kept)] == [
        "cancelled",
        "cancelled",
        "scheduled",
    ]


def test_a_start_goes_through_all_meetings_by_pages(database: Database, sync):
    """In the order of id, until there is none after."""
    meetings = sorted(meet(database) for _ in range(7))
    pages, after = [], None
    while not pages or after is not None:
        pages.append(sync(limit=3, after=after))
        after = pages[-1]["after"]
    assert [page["jobs_scheduled"] for page in pages] == [3, 3, 1]
    assert [page["after"] for page in pages] == [str(meetings[2]), str(meetings[5]), None]


def test_changes_beyond_a_batch_stay_on_the_list(database: Database, sync):
    """A bulk move of many meetings is settled batch by batch; `more` says whether there are any left."""
    for _ in range(5):
        meet(database)
    sync()
    sync(changed=True)
    database.execute("update public.meetings set end_time = end_time + interval '1 day'")
    database.execute("update public.meetings set end_time = end_time + interval '1 day'")
    answers = [sync(changed=True, limit=3) for _ in range(3)]
    assert [answer["jobs_moved"] for answer in answers] == [3, 2, 0], "a meeting that changed twice is looked at once"
    assert [answer["more"] for answer in answers] == [True, False, False]


def test_users_take_turns_whoever_has_changed_more(database: Database, sync):
    """Of a batch each user has the same share, in the order of their changes; a round goes on where it stopped."""
    for _ in range(20):
        meet(database, created_by=ALICE)
    first, second = (meet(database, created_by=BOB) for _ in range(2))
    others = [meet(database, created_by=uuid.UUID(int=0xC0 + each)) for each in range(3)]
    round_of_two = sync(changed=True, limit=2)
    assert round_of_two["after"] is not None
    assert counts(sync(changed=True, limit=10, after=round_of_two["after"]))["jobs_scheduled"] == 6, "1, 2 and 3"
    assert sync(changed=True, limit=10)["jobs_scheduled"] == 10
    assert [len(jobs_of(database, each)) for each in (first, second, *others)] == [1] * 5
    while sync(changed=True, limit=10)["more"]:
        pass
    query = "select count(*) as jobs from public.scheduled_jobs"
    assert database.execute(query).fetchone()["jobs"] == 25


def test_a_change_that_commits_late_is_seen_once_it_has(migrated_database: str, database: Database, sync):
    """It is on the list when it is there, and the transaction that is still open holds nobody up."""
    meeting = meet(database)
    sync()
    with psycopg.connect(migrated_database) as slow:
        slow.execute("update public.meetings set title = 'late' where id = %s", [meeting])
        meet(database)
        assert sync(changed=True)["jobs_scheduled"] == 1
        slow.commit()
    sync(changed=True)
    assert jobs_of(database, meeting)[0]["name"] == "late"


def test_a_job_that_somebody_holds_waits_alone(migrated_database: str, database: Database, sync):
    """A client's open transaction costs no other meeting its turn, and nothing is forgotten."""
    held, free = meet(database), meet(database)
    sync()
    sync(changed=True)
    with psycopg.connect(migrated_database) as holder:
        holder.execute("select from public.scheduled_jobs where job_id = %s for update", [f"meeting-status:{held}"])
        database.execute("update public.meetings set title = 'moved'")
        answer = sync(changed=True)
        assert (answer["jobs_moved"], answer["jobs_locked"]) == (1, 1)
        assert (sync(changed=True)["jobs_locked"], sync(changed=True)["more"]) == (1, False)
        assert jobs_of(database, free)[0]["name"] == "moved"
    assert sync(changed=True)["jobs_moved"] == 1
    assert jobs_of(database, held)[0]["name"] == "moved"


def test_a_key_that_somebody_is_inserting_waits_alone(migrated_database: str, database: Database, sync):
    """The insert would wait for the other transaction: a moment, then the meeting goes back on the list."""
    held, free = meet(database), meet(database)
    with psycopg.connect(migrated_database) as holder:
        holder.execute(
            "insert into public.scheduled_jobs (handler, job_id, created_by) values ('noop', %s, %s)",
            [f"meeting-status:{held}", ALICE],
        )
        answer = sync(changed=True)
        assert (answer["jobs_scheduled"], answer["jobs_locked"], answer["errors"]) == (1, 1, 0)
        assert len(jobs_of(database, free)) == 1
        holder.rollback()
    assert sync(changed=True)["jobs_scheduled"] == 1


def test_a_bad_meeting_is_reported_and_the_others_get_their_jobs(database: Database, sync):
    """A key that is taken, an end that no job can have: both are named."""
    with database.transaction(force_rollback=True):
        database.execute("alter table public.meetings drop constraint meetings_end_time_check")
        good, taken, never = meet(database), meet(database), meet(database, end_time="infinity")
        database.execute(
            "insert into public.scheduled_jobs (handler, job_id, created_by) values ('noop', %s, %s)",
            [f"meeting-status:{taken}", ALICE],
        )
        answer = sync()
        assert (answer["total_meetings"], answer["jobs_scheduled"], answer["errors"]) == (3, 1, 2)
        failures = {failure["meeting_id"]: failure["error"] for failure in answer["failures"]}
        assert "is taken" in failures[str(taken)]
        assert "scheduled_jobs.run_date" in failures[str(never)]
        assert [job["status"] for job in jobs_of(database, good)] == ["scheduled"]


def test_a_meeting_that_changes_hands_takes_no_history_along(database: Database, sync):
    """The new owner has a new job, since Realtime would show the old one; the old one stays with whose it was."""
    meeting = meet(database)
    sync()
    change(database, meeting, created_by=BOB)
    assert counts(sync(changed=True)) == {**NOTHING, "jobs_scheduled": 1, "jobs_cancelled": 1}
    assert {(job["created_by"], job["status"]) for job in jobs_of(database, meeting)} == {
        (ALICE, "cancelled"),
        (BOB, "scheduled"),
    }
    assert counts(sync()) == NOTHING


@pytest.mark.parametrize("how", ["changed", "ids", "all"])
def test_a_key_used_again_gives_no_power_over_what_it_left(database: Database, sync, how: str):
    """A user who learns a deleted meeting's id and inserts one with it has a job of their own: nothing else changes."""
    meeting = meet(database)
    sync()
    bring(database, meeting, "running", "completed")
    before = jobs_of(database, meeting)
    database.execute("delete from public.meetings")
    sync(changed=True)
    meet(database, id=meeting, created_by=BOB)
    request = {"changed": {"changed": True}, "ids": {"ids": [meeting]}, "all": {}}[how]
    assert counts(sync(**request)) == {**NOTHING, "jobs_scheduled": 1}
    database.execute("delete from public.meetings")
    sync(changed=True)
    assert [job for job in jobs_of(database, meeting) if job["created_by"] == ALICE] == before
    assert [job["status"] for job in jobs_of(database, meeting) if job["created_by"] == BOB] == ["cancelled"]


def test_a_meeting_of_nobody_has_its_job_too(database: Database, sync):
    """Inserted by the service key."""
    meeting = meet(database, created_by=None)
    assert counts(sync()) == {**NOTHING, "jobs_scheduled": 1}
    assert counts(sync()) == NOTHING
    assert jobs_of(database, meeting)[0]["created_by"] is None


def test_syncs_at_the_same_time_take_turns(migrated_database: str, database: Database, sync):
    """Two replicas that start together neither collide nor make two jobs, and lock no rows in each other's way."""
    meeting = meet(database)
    sync()
    start = "select public.sync_meetings_v1('{\"limit\": 10}')"
    with psycopg.connect(migrated_database) as one, psycopg.connect(migrated_database) as two:
        one.execute(start)  # it writes nothing, so that only the turn itself can be waited for
        two.execute("set lock_timeout = '100ms'")
        two.commit()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            two.execute(start)
        two.rollback()
        one.commit()
        two.execute(start)
    assert len(jobs_of(database, meeting)) == 1


def test_the_revision_of_a_meeting_is_nobodys_to_write(database: Database):
    """It follows title, end, status and owner, not what a client writes into it."""
    meeting = meet(database, revision=7)
    query = "select revision from public.meetings where id = %s"
    first = database.execute(query, [meeting]).fetchone()["revision"]
    change(database, meeting, revision=9, start_time=END - timedelta(hours=1))
    assert database.execute(query, [meeting]).fetchone()["revision"] == first > 9
    change(database, meeting, end_time=END + timedelta(hours=1))
    assert database.execute(query, [meeting]).fetchone()["revision"] > first


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "started"},
        {"end_time": None},
        {"start_time": END},
        {"end_time": "infinity"},
        {"end_time": "1960-01-01"},
    ],
)
def test_an_invalid_meeting_is_refused(database: Database, columns: dict[str, Any]):
    """By the table itself, before there could be a job."""
    with pytest.raises(psycopg.errors.IntegrityError):
        meet(database, **columns)


@pytest.fixture
def notified(blank_database: str) -> Iterator[Callable[[str], list[Any]]]:
    """Return a function that runs a statement and returns the ids of the notification, in a database that has one."""
    with psycopg.connect(blank_database, autocommit=True, row_factory=dict_row) as connection:
        apply_migrations(blank_database, migrations_folder())
        connection.execute(
            """
            create table public.received (payload jsonb);
            create or replace function job_scheduler.notify(what text, rows_changed jsonb) returns void
            language sql security definer set search_path = '' as
            $$ insert into public.received values (jsonb_build_object('table', what, 'rows', rows_changed)) $$;
            """
        )

        def run(statement: str) -> list[Any]:
            connection.execute("truncate public.received")
            connection.execute(statement)
            rows = connection.execute("select payload from public.received").fetchall()
            assert all(row["payload"]["table"] == "sources" for row in rows)
            return [row["payload"]["rows"] for row in rows]

        yield run


def test_the_listeners_are_notified_once_a_statement(notified: Callable[[str], list[Any]]):
    """Without ids: they are on the list. Not for a change that does not concern the job; also for a delete."""
    one = "11111111-1111-1111-1111-111111111111"
    assert notified(f"insert into public.meetings (id, end_time) values ('{one}', '2030-01-01')") == [None]  # noqa: S608
    assert notified("update public.meetings set start_time = '2029-12-31'") == []
    assert notified("update public.meetings set end_time = '2030-01-02'") == [None]
    assert notified("update public.meetings set end_time = '2030-01-02'") == []
    assert notified("delete from public.meetings") == [None]
    assert notified("delete from public.meetings") == []
    many = "insert into public.meetings (end_time) select '2030-01-01' from generate_series(1, 101)"
    assert notified(many) == [None]
    assert notified("update public.meetings set status = 'cancelled'") == [None]
