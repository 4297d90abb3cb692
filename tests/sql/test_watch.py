"""`job_scheduler.watch()` notices that every listener is gone, or a job late: one alert, then one recovery.

pg_cron and pg_net do not run here: the parts of their interfaces that are used are written in SQL. `make test-cron`
has the real pg_cron.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from listener.migrate.files import migrations_folder, migrations_in
from listener.migrate.removal import removal

if TYPE_CHECKING:
    from collections.abc import Iterator

CRON = """
create schema cron;
create table cron.job (jobid bigint generated always as identity, jobname text unique, schedule text, command text);
create function cron.schedule(job_name text, schedule text, command text) returns bigint language sql as $$
    insert into cron.job as j (jobname, schedule, command) values (job_name, schedule, command)
    on conflict (jobname) do update set schedule = excluded.schedule, command = excluded.command returning jobid
$$;
create function cron.unschedule(job_id bigint) returns boolean language sql as
$$ delete from cron.job where jobid = job_id returning true $$;
"""
NET = """
create schema net;
create table net.sent (id bigint generated always as identity, url text, body jsonb, headers jsonb);
create table net._http_response (id bigint, status_code integer, timed_out boolean);
create function net.http_post(
    url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
    timeout_milliseconds integer default 2000
) returns bigint language sql as
$$ insert into net.sent (url, body, headers) values (url, body, headers) returning id $$;
"""
URL = "https://hooks.example.com/T0/secret"


class Watched:
    """A database that is watched each minute, as its owner sees it."""

    def __init__(self, database: psycopg.Connection[Any]) -> None:
        self.database = database

    def one(self, query: str, *values: object) -> Any:
        return next(iter(self.database.execute(query, values).fetchone().values()))

    def minute(self) -> list[str]:
        """Let a minute pass, and do what pg_cron does; the problems."""
        self.database.execute("update public.job_listeners set heartbeat_at = heartbeat_at - interval '1 minute'")
        self.database.execute(
            "update job_scheduler.watch_state set absent_since = absent_since - interval '1 minute',"
            " firing_since = firing_since - interval '1 minute', sent_at = sent_at - interval '1 minute'"
        )
        return self.look()

    def look(self) -> list[str]:
        return [row["problem"] for row in self.database.execute("select * from job_scheduler.watch()")]

    def beat(self, listener: str) -> None:
        """Send a heartbeat, as a listener does."""
        request = {"listener": listener, "name": "one", "lease_seconds": 30, "executions": [], "handlers": ["noop"]}
        self.database.execute("select public.extend_leases_v1(%s)", [json.dumps(request)])

    def leave(self, listener: str) -> None:
        self.database.execute("select public.leave_v1(%s)", [json.dumps({"listener": listener})])

    def setup(self, *arguments: object) -> str:
        holes = ", ".join(["%s"] * len(arguments))
        return self.one(f"select job_scheduler.watch_every_minute({holes})", *arguments)

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [row["body"] for row in self.database.execute("select body from net.sent order by id")]

    def answer(self, status: int) -> None:
        """Answer the latest message."""
        self.database.execute("insert into net._http_response select max(id), %s, false from net.sent", [status])


@pytest.fixture
def watched(migrated_database: str) -> Iterator[Watched]:
    """Give the database with both extensions, without listeners, jobs or settings; all of it is rolled back."""
    with psycopg.connect(migrated_database, row_factory=dict_row) as database:
        database.execute("truncate public.scheduled_jobs cascade")
        database.execute("delete from public.job_listeners")
        database.execute(CRON)
        database.execute(NET)
        yield Watched(database)
        database.rollback()


@pytest.fixture
def listener() -> str:
    """Name a listener."""
    return str(uuid.uuid4())


def test_a_listener_that_sends_heartbeats_is_no_problem(watched, listener) -> None:
    """With jobs that wait for their time."""
    watched.beat(listener)
    watched.database.execute("insert into public.scheduled_jobs (handler, run_date) values ('noop', now() + '1 hour')")
    assert watched.look() == []


def test_a_listener_that_was_killed_is_one_alert_and_its_successor_one_recovery(watched, listener) -> None:
    """However many minutes lie between; the alert comes within two minutes."""
    watched.setup(URL, "shop", json.dumps({"Authorization": "Bearer x"}))
    watched.beat(listener)
    assert [watched.look(), watched.minute()] == [[], ["no_listener"]]
    watched.answer(200)
    assert [watched.minute() for _ in range(5)] == [["no_listener"]] * 5
    (alert,) = watched.sent
    assert (alert["status"], alert["name"], [each["problem"] for each in alert["problems"]]) == (
        "firing",
        "shop",
        ["no_listener"],
    )
    assert alert["text"].startswith("shop: jobs do not run: no listener has sent a heartbeat since 2")
    watched.beat(str(uuid.uuid4()))
    assert watched.look() == []
    watched.answer(200)
    assert watched.look() == []
    assert [message["status"] for message in watched.sent] == ["firing", "resolved"]
    assert watched.one("select headers ->> 'Authorization' from net.sent limit 1") == "Bearer x"


@pytest.mark.parametrize("late", [True, False])
def test_a_late_job_is_a_problem(watched, listener, late) -> None:
    """The oldest one is named, with how many others are late."""
    watched.beat(listener)
    seconds = 130 if late else 110
    for name in ("oldest", "other"):
        query = (
            "insert into public.scheduled_jobs (handler, job_id, run_date) values ('noop', %s, now() - %s::interval)"
        )
        watched.database.execute(query, [name, f"{seconds + (name == 'oldest')} seconds"])
    rows = watched.database.execute("select * from job_scheduler.watch()").fetchall()
    assert [row["problem"] for row in rows] == ["late"] * late
    if late:
        assert "2 jobs wait; the oldest, job " in rows[0]["explanation"]
        assert '("oldest", handler "noop"), was due at 2' in rows[0]["explanation"]


def test_a_restart_is_no_alarm(watched, listener) -> None:
    """A listener that leaves removes its row; the next one comes before the second look."""
    watched.beat(listener)
    assert watched.look() == []
    watched.leave(listener)
    assert watched.look() == []
    watched.beat(str(uuid.uuid4()))
    assert watched.look() == []
    watched.database.execute("delete from public.job_listeners")
    assert [watched.look(), watched.minute()] == [[], ["no_listener"]]


def test_a_lease_that_is_longer_gives_a_listener_more_time(watched, listener) -> None:
    """It sends its heartbeats less often."""
    watched.beat(listener)
    watched.database.execute("update public.job_listeners set lease_seconds = 300")
    assert [watched.minute() for _ in range(5)] == [[], [], [], [], ["no_listener"]]


def test_what_begins_while_another_problem_lasts_is_no_second_alert(watched) -> None:
    """And a recovery is one only when nothing is wrong any more."""
    watched.setup(URL)
    assert [watched.look(), watched.minute()] == [[], ["no_listener"]]
    watched.database.execute(
        "insert into public.scheduled_jobs (handler, run_date) values ('noop', now() - '1 hour'::interval)"
    )
    assert watched.minute() == ["no_listener", "late"]
    watched.beat(str(uuid.uuid4()))
    assert watched.look() == ["late"]
    assert [message["status"] for message in watched.sent] == ["firing"]
    watched.answer(204)
    watched.database.execute("delete from public.scheduled_jobs")
    assert [watched.look(), watched.look()] == [[], []]
    assert [message["status"] for message in watched.sent] == ["firing", "resolved"]
    assert watched.sent[1]["text"].startswith("jobs run again, after 00:0")


@pytest.mark.parametrize("answer", [500, None], ids=["refused", "lost"])
def test_an_alert_that_did_not_arrive_is_sent_again(watched, answer) -> None:
    """Ten times at most, and never once it has arrived."""
    watched.setup(URL)
    watched.look()
    for _ in range(24):
        watched.minute()
        if answer:
            watched.answer(answer)
    assert len(watched.sent) == 10
    assert {message["status"] for message in watched.sent} == {"firing"}


def test_a_message_that_arrived_is_not_sent_again(watched) -> None:
    """The setting of a new URL does not repeat it either."""
    watched.setup(URL)
    watched.look()
    watched.minute()
    watched.answer(200)
    watched.minute()
    watched.setup("https://other.example.com/x")
    watched.minute()
    assert len(watched.sent) == 1


def test_without_pg_net_it_says_what_is_wrong_and_warns(watched) -> None:
    """The log of PostgreSQL has one line when it begins, and one when it ends."""
    warnings: list[str] = []
    watched.database.add_notice_handler(lambda notice: warnings.append(f"{notice.severity}: {notice.message_primary}"))
    watched.database.execute("drop function net.http_post")
    assert watched.setup(URL).endswith("pg_net is not installed, so alerts are only warnings in the log of PostgreSQL")
    watched.look()
    assert [watched.minute() for _ in range(3)] == [["no_listener"]] * 3
    watched.beat(str(uuid.uuid4()))
    assert watched.look() == []
    assert [line.partition(" jobs ")[2].partition(":")[0].partition(",")[0] for line in warnings] == [
        "do not run",
        "run again",
    ]
    assert all(line.startswith("WARNING: job scheduler:") for line in warnings)


def test_a_failing_pg_net_does_not_hide_the_problem(watched) -> None:
    """Its fault is raised as a warning."""
    watched.setup(URL)
    watched.database.execute("alter table net.sent add check (id < 0)")
    watched.look()
    assert watched.minute() == ["no_listener"]


def test_it_is_called_by_pg_cron_each_minute_until_it_is_stopped(watched) -> None:
    """Twice set up, it is there once; an uninstallation stops it as well."""
    assert watched.setup("https://user:secret@hooks.example.com/T0/secret") == (
        "checked each minute; alerts go to hooks.example.com"
    )
    watched.setup(URL)
    (job,) = watched.database.execute("select jobname, schedule, command from cron.job").fetchall()
    assert (job["jobname"], job["schedule"]) == ("job_scheduler_watch", "* * * * *")
    assert watched.database.execute(job["command"]).fetchall() == []
    watched.database.execute("select job_scheduler.stop_watching()")
    assert watched.one("select count(*) from cron.job") == 0
    watched.setup(URL)
    watched.database.execute(removal(migrations_in(migrations_folder())))
    assert watched.one("select count(*) from cron.job") == 0


def test_a_pg_cron_of_others_does_not_hinder_an_uninstallation(watched) -> None:
    """Where nothing was set up, it is left alone: the role may have no right to its functions."""
    watched.database.execute("drop function cron.unschedule")
    watched.database.execute("select job_scheduler.stop_watching()")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ftp://hooks.example.com"], "url: expected one that begins with https://"),
        ([URL, None, "{}", 5], "silent_seconds must be at least 20"),
        ([URL, None, "{}", 45, 1], "late_seconds at least 10"),
    ],
    ids=["url", "silence", "lateness"],
)
def test_a_setting_that_makes_no_switch_is_refused(watched, arguments, message) -> None:
    """At once."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=message):
        watched.setup(*arguments)


def test_without_pg_cron_it_says_what_to_enable(watched) -> None:
    """Nothing is checked then, and nobody is to believe so."""
    watched.database.execute("drop schema cron cascade")
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="pg_cron is not installed"):
        watched.setup(URL)
