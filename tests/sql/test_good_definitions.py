"""All definitions that the documentation promises are accepted, and none that the listener could not plan."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from listener.domain.job import DstFold, DstGap, Trigger, TriggerType
from listener.domain.schedule import next_run, validate

if TYPE_CHECKING:
    import httpx

AFTER = datetime(2026, 1, 1, tzinfo=UTC)
NEVER = "0 0 31 2 */2"  # with a star in one day field both must hold
CHECK = "select job_scheduler.check_cron(jsonb_build_object('expression', %s::text))"

GOOD: list[dict[str, Any]] = [
    {},
    {"trigger_type": "once", "run_date": "2030-01-01T00:00:00Z", "schedule": {}},
    {"run_date": "2999-12-31T23:59:59Z"},
    {"trigger_type": "daily", "schedule": {"time": "08:00"}, "timezone": "Europe/Berlin"},
    {"trigger_type": "daily", "schedule": {"time": "23:59:59"}},
    {"trigger_type": "weekly", "schedule": {"time": "10:00", "days": ["monday", "friday"]}},
    {"trigger_type": "monthly", "schedule": {"time": "09:00", "days": [1, -1], "missing_day": "last"}},
    {"trigger_type": "monthly", "schedule": {"time": "09:00", "days": [31], "missing_day": "skip"}},
    {"trigger_type": "monthly", "schedule": {"time": "09:00", "days": list(range(1, 32))}},
    {"trigger_type": "interval", "schedule": {"seconds": 30}, "max_runs": 3, "ends_at": "2999-01-01T00:00:00Z"},
    {"trigger_type": "interval", "schedule": {"seconds": 1.5}},
    {"trigger_type": "cron", "schedule": {"expression": "*/5 * * * *"}},
    {"max_attempts": 1, "retry_delay_seconds": 0, "retry_backoff": 1, "timeout_seconds": 0.5},
    {"max_attempts": 100, "retry_delay_seconds": 2_592_000, "retry_backoff": 100, "timeout_seconds": 3_600},
    {"overlap": "replace", "misfire": "run_all", "dst_gap": "skip", "dst_fold": "both", "misfire_grace_seconds": 0},
    {"test_mode": True, "priority": -32768, "concurrency_key": "printer", "name": "", "description": ""},
    {"job_type": "invoice"},
    {"metadata": {"deep": [{"er": None}], "text": "ü" * 1000}},
    {"status": "paused"},
]
FOR_THE_SERVICE: list[dict[str, Any]] = [{"run_date": "1970-01-01T00:00:00Z"}, {"timeout_seconds": 604_800}]
CRON = [
    *("0 9 * * 1-5", "59/15 * * * *", "0 0 1,15 * *", "0 22-2 * * *", "0 0 l * *", "0 0 1,l * *", "0 0 15w * *"),
    *("0 0 ? * mon", "0 0 * * mon#2", "0 0 * * 1#1,3#1", "0 0 * * l5", "0 0 * * 0-7", "0 0 * * 7", "0 0 * * fri-mon"),
    *("0 0 lw * *", "0 0 l-3 * *", "0 0 1w,15w * *", "0 0 * * 5l", "0 0 * * mon,fri#1", "0 22-2/3 * * *"),
    *("0 0 29 2 *", "0 0 31 1,2 *", "0 0 31 2 mon", "0 0 1 jan-mar *", "0 0 1 */3 *", "* * * * * */10", "0 0 31/1 * *"),
    *("@hourly", "@Daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "  0\t9 * *  MON-FRI "),
]


def trigger_of(row: dict[str, Any]) -> Trigger:
    """Read a row of PostgREST as the listener does."""
    return Trigger(
        type=TriggerType(row["trigger_type"]),
        run_date=datetime.fromisoformat(row["run_date"]),
        schedule=row["schedule"],
        timezone=row["timezone"],
        ends_at=row["ends_at"] and datetime.fromisoformat(row["ends_at"]),
        dst_gap=DstGap(row["dst_gap"]),
        dst_fold=DstFold(row["dst_fold"]),
    )


def cron(expression: str) -> Trigger:
    """A cron trigger as the listener reads it."""
    return Trigger(TriggerType.CRON, AFTER, {"expression": expression})


@pytest.mark.parametrize("row", FOR_THE_SERVICE, ids=str)
def test_quotas_do_not_bound_what_the_service_key_writes(service: httpx.Client, row: dict[str, Any]):
    """A run of a week, and any past."""
    assert service.post("/scheduled_jobs", json={"handler": "noop", **row}).status_code == 201


@pytest.mark.parametrize("row", GOOD, ids=lambda row: str(row)[:70])
def test_a_well_formed_job_is_accepted(alice: httpx.Client, row: dict[str, Any]):
    """The row has the values that were sent, is owned by the sender, and is ready to be due."""
    answer = alice.post("/scheduled_jobs", json={"handler": "noop", **row})
    assert answer.status_code == 201, answer.text
    job = answer.json()[0]
    dates = {"run_date", "ends_at"}
    assert {key: job[key] for key in row if key not in dates} == {key: row[key] for key in row if key not in dates}
    assert job["created_by"] is not None
    assert job["status"] == row.get("status", "scheduled")
    validate(trigger_of(job))


@pytest.mark.parametrize("expression", CRON)
def test_a_cron_expression_is_accepted_and_has_a_next_run(alice: httpx.Client, expression: str):
    """The whole dialect that the documentation lists; the listener finds an instant for each."""
    row = {"handler": "noop", "trigger_type": "cron", "schedule": {"expression": expression}}
    answer = alice.post("/scheduled_jobs", json=row)
    assert answer.status_code == 201, answer.text
    assert next_run(trigger_of(answer.json()[0]), AFTER) is not None


def test_every_zone_that_the_database_takes_is_known_to_the_listener(database: psycopg.Connection[Any]):
    """Else a job would be accepted that the listener cannot plan."""
    names = {row["name"] for row in database.execute("select name from job_scheduler.timezones").fetchall()}
    assert len(names) > 400
    assert names <= zoneinfo.available_timezones()
    for name in names:
        validate(Trigger(TriggerType.DAILY, AFTER, {"time": "02:30"}, timezone=name))


def test_a_zone_newer_than_the_installation_is_accepted(database: psycopg.Connection[Any]):
    """A zone that PostgreSQL has learnt since is looked up there."""
    with database.transaction(force_rollback=True):
        database.execute("delete from job_scheduler.timezones where name = 'Europe/Berlin'")
        database.execute("insert into public.scheduled_jobs (handler, timezone) values ('noop', 'Europe/Berlin')")
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="timezone"):
            database.execute("insert into public.scheduled_jobs (handler, timezone) values ('noop', 'europe/berlin')")


@pytest.mark.parametrize(
    "columns",
    [
        "'noop', 'UTC', 'once', '{}'::jsonb",
        "'noop', 'Europe/Berlin', 'cron', '{\"expression\": \"*/5 9-17 * * mon-fri\"}'::jsonb",
    ],
)
def test_a_large_insert_is_checked_in_seconds(database: psycopg.Connection[Any], columns: str):
    """The checks cost microseconds a row; reading all zones for each row would take ten minutes here."""
    names = "handler, timezone, trigger_type, schedule"
    insert = f"insert into public.scheduled_jobs ({names}) select {columns} from generate_series(1, 10000)"  # noqa: S608
    with database.transaction(force_rollback=True):
        database.execute("set local statement_timeout = '90s'")
        assert database.execute(insert).rowcount == 10_000


def test_an_operator_may_change_a_limit(database: psycopg.Connection[Any]):
    """The table of limits is what is enforced, from the next row on."""
    fast = "insert into public.scheduled_jobs (handler, trigger_type, schedule) values ('noop', 'interval', %s)"
    database.execute(fast, ['{"seconds": 2}'])
    with database.transaction(force_rollback=True):
        database.execute("update job_scheduler.limits set value = 60 where name = 'min_interval_seconds'")
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="from 60 to"):
            database.execute(fast, ['{"seconds": 2}'])


words = st.sampled_from(["*", "?", "l", "w", "h", "r", "sun", "mon", "fri", "jan", "feb", "dec", "foo", "", "-", "#"])
numbers = st.integers(0, 62).map(str)
tokens = words | numbers
elements = st.one_of(
    tokens,
    st.builds("{}-{}".format, tokens, tokens),
    st.builds("{}/{}".format, tokens, numbers),
    st.builds("{}-{}/{}".format, tokens, tokens, numbers),
    st.builds("{}#{}".format, tokens, tokens),
    st.builds("l{}".format, numbers),
    st.builds("{}w".format, numbers),
)
fields = st.lists(elements, min_size=1, max_size=3).map(",".join)


def field(low: int, high: int, *others: str) -> st.SearchStrategy[str]:
    """Mostly a field as it should be, sometimes anything."""
    number = st.integers(low, high).map(str)
    good = st.one_of(
        st.just("*"),
        number,
        st.builds("{}-{}".format, number, number),
        st.builds("*/{}".format, number),
        st.builds("{}/{}".format, number, number),
        st.lists(number, min_size=2, max_size=3).map(",".join),
    )
    return st.one_of(good, good, st.sampled_from(others) if others else good, good, good, good, good, fields)


expressions = st.builds(
    "{} {} {} {} {}{}".format,
    field(0, 59),
    field(0, 23),
    field(1, 31, "l", "1,l", "15w", "31w", "?", "29", "30-31"),
    field(1, 12, "feb", "jan-mar", "2", "2,4"),
    field(0, 7, "mon", "mon-fri", "mon#2", "fri#5", "l5", "?", "*/2", "0-7"),
    st.just("") | field(0, 59).map(" {}".format),
)


@pytest.fixture(scope="module")
def checker(migrated_database: str):
    """A connection for thousands of small questions."""
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        yield connection


@settings(max_examples=600)
@given(expressions)
@example("0 0 29 2 *")
@example("0 0 15w * ?")
@example(NEVER)
def test_no_expression_that_the_database_takes_lacks_a_next_run(checker: psycopg.Connection[Any], expression: str):
    """The database may be stricter than the listener, never looser: what it takes can be planned."""
    try:
        checker.execute(CHECK, [expression])
    except psycopg.errors.InvalidParameterValue:
        event("refused")
        return
    event("accepted")
    assert next_run(cron(expression), AFTER) is not None
