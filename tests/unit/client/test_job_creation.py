"""Plans make requests, and turn the answers into jobs or errors: no client, no network."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from listener import handler
from listener.client import (
    JobAmbiguous,
    JobExists,
    JobNotFound,
    JobRefused,
    JobSchedulerConfig,
    JobStatus,
    JobType,
    NaiveDatetimeWarning,
    job_creation,
    jobs,
)
from listener.client.columns import Defaults
from listener.client.models import Job
from listener.client.requests import Call, Insert, Plan, Request, Select, Update

NOON = datetime(2030, 3, 1, 12, tzinfo=UTC)
ROW = {
    "id": 7,
    "job_id": "seven",
    "workspace_id": None,
    "created_by": None,
    "handler": "custom",
    "metadata": {},
    "trigger_type": "once",
    "run_date": "2030-03-01T12:00:00+00:00",
    "schedule": {},
    "timezone": "UTC",
    "status": "scheduled",
    "max_attempts": 4,
    "retry_delay_seconds": 5,
    "retry_backoff": 2.0,
    "timeout_seconds": 300,
    "priority": 0,
    "overlap": "skip",
    "misfire": "run_once",
    "misfire_grace_seconds": 60,
    "dst_gap": "run_after",
    "dst_fold": "first",
    "cleanup_after_days": 7,
    "created_at": "2030-01-01T00:00:00+00:00",
    "updated_at": "2030-01-01T00:00:00+00:00",
}


def answered(plan: Plan[Any], *answers: Any) -> tuple[list[Request], Any]:
    """Carry a plan out with these answers, of which errors are thrown; give what it asked, and what it gave."""
    asked = [next(plan)]
    for answer in answers:
        try:
            asked.append(plan.throw(answer) if isinstance(answer, Exception) else plan.send(answer))
        except StopIteration as done:
            return asked, done.value
    message = f"it asks for more: {asked[-1]}"
    raise AssertionError(message)


def inserted(plan: Plan[Any]) -> dict[str, Any]:
    """Give the row that a plan inserts."""
    [request], job = answered(plan, [ROW])
    assert isinstance(request, Insert)
    assert job.id == ROW["id"]
    return dict(request.row)


@handler("the_declared_name")
def declared(job, payload):
    """Do nothing."""


@pytest.mark.parametrize(
    ("config", "attempts"),
    [
        (JobSchedulerConfig(), 4),
        (JobSchedulerConfig(max_retries=0), 1),
        (JobSchedulerConfig(retry_failed_jobs=False, max_retries=9), 1),
    ],
)
def test_retries_become_attempts(config, attempts):
    """The first attempt is no retry."""
    assert inserted(job_creation.schedule_job(Defaults(config), "noop"))["max_attempts"] == attempts


def test_the_configuration_reaches_the_columns():
    """Those of the database where they say nothing else."""
    row = inserted(job_creation.schedule_job(Defaults(JobSchedulerConfig(store_job_results=False)), "noop"))
    assert (row["store_result"], row["cleanup_after_days"]) == (False, 7)
    assert "timezone" not in row
    row = inserted(job_creation.schedule_job(Defaults(JobSchedulerConfig()), "noop", max_attempts=9))
    assert "store_result" not in row
    assert row["max_attempts"] == 9


@pytest.mark.parametrize(
    ("named", "name"), [("noop", "noop"), (declared, "the_declared_name"), (answered, "answered"), (JobType.SMS, "sms")]
)
def test_a_function_travels_as_the_name_of_its_handler(named, name):
    """Declared or not."""
    assert inserted(job_creation.schedule_job(Defaults(), named))["handler"] == name


def test_every_way_to_schedule_takes_a_test_mode():
    """It is a column, never part of the payload that a handler would get while the job runs for real."""
    plans = [
        job_creation.schedule_job(Defaults(), "noop", test_mode=True),
        job_creation.schedule_one_time_job(Defaults(), "noop", test_mode=True),
        job_creation.schedule_recurring(Defaults(), "noop", hour=8, test_mode=True),
        job_creation.schedule_reminder(Defaults(), "123", NOON, test_mode=True),
        job_creation.schedule_notification(Defaults(), "7", "Soon!", test_mode=True),
    ]
    rows = [inserted(plan) for plan in plans]
    assert [row["test_mode"] for row in rows] == [True] * 5
    assert not any("test_mode" in row.get("metadata", {}) for row in rows)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"handler": "my_mail", "job_type": JobType.EMAIL}, ("my_mail", "email")),
        ({"handler": "my_mail", "job_type": "invoice"}, ("my_mail", "invoice")),
        ({"job_type": JobType.EMAIL}, ("email", None)),
        ({"handler": "my_mail"}, ("my_mail", None)),
    ],
)
def test_a_job_type_is_kept_with_the_job_whatever_handler_it_names(given, written):
    """Where no handler is given it names that, and the handler's name says it all."""
    for schedule in (job_creation.schedule_one_time_job, job_creation.schedule_recurring):
        row = inserted(schedule(Defaults(), **given))
        assert (row["handler"], row.get("job_type")) == written


def test_a_reminder_as_programs_wrote_it_by_hand():
    """Positional and keyword arguments of the class that this one replaces."""
    plan = job_creation.schedule_reminder(Defaults(), "123", NOON, declared, 15, message="Don't forget")
    row = inserted(plan)
    assert (row["job_id"], row["handler"], row["run_date"]) == (
        "reminder_123",
        "the_declared_name",
        (NOON - timedelta(minutes=15)).isoformat(),
    )
    assert row["metadata"] == {
        "event_id": "123",
        "event_time": NOON.isoformat(),
        "minutes_before": 15,
        "message": "Don't forget",
    }


@pytest.mark.parametrize("event_time", [NOON, NOON.replace(tzinfo=None), NOON.isoformat(), "2030-03-01 12:00"])
def test_the_time_of_an_event_may_be_a_text(event_time):
    """As `run_date` may."""
    row = inserted(job_creation.schedule_reminder(Defaults(timezone="UTC"), "123", event_time, minutes_before=90))
    assert (row["run_date"], row["metadata"]["event_time"]) == ("2030-03-01T10:30:00+00:00", NOON.isoformat())


def test_minutes_before_an_event_are_real_ones_when_clocks_change():
    """Half an hour before 3:15, when clocks go from 2 to 3, is a quarter to two."""
    early = datetime(2030, 3, 31, 3, 15)  # noqa: DTZ001 - meant in the time zone below
    plan = job_creation.schedule_reminder(Defaults(timezone="Europe/Berlin"), "123", early, minutes_before=30)
    assert datetime.fromisoformat(inserted(plan)["run_date"]) == datetime(2030, 3, 31, 0, 45, tzinfo=UTC)


def test_a_reminder_at_an_instant_of_its_own():
    """And its default handler."""
    row = inserted(job_creation.schedule_reminder(Defaults(), job_id="r", user_id=3, run_date=NOON, metadata={"a": 1}))
    assert (row["job_id"], row["handler"], row["run_date"]) == ("r", "event_reminder", NOON.isoformat())
    assert row["metadata"] == {"a": 1, "user_id": 3}


def test_a_one_time_job_by_either_name_of_its_arguments():
    """`func` and `run_at` are `handler` and `run_date`; other keywords are the payload."""
    old = job_creation.schedule_one_time_job(Defaults(), func=declared, run_at=NOON, job_id="x", to_number="+1")
    new = job_creation.schedule_one_time_job(Defaults(), "the_declared_name", NOON, "x", metadata={"to_number": "+1"})
    assert inserted(old) == inserted(new)


def test_a_recurring_job_by_words_and_by_schedule():
    """Arguments that do not define a schedule belong to the handler."""
    by_words = job_creation.schedule_recurring(
        Defaults(), func="report", trigger_type="daily", job_id="d", hour=8, minute=0, who="all"
    )
    by_schedule = job_creation.schedule_recurring(
        Defaults(), "report", job_id="d", schedule={"time": "08:00"}, metadata={"who": "all"}
    )
    assert inserted(by_words) == (row := inserted(by_schedule))
    assert (row["trigger_type"], row["schedule"], row["metadata"]) == ("daily", {"time": "08:00"}, {"who": "all"})
    with pytest.raises(JobRefused, match="either schedule or the words"):
        next(job_creation.schedule_recurring(Defaults(), "report", schedule={"time": "08:00"}, hour=8))


@pytest.mark.parametrize(("zone", "hour"), [("UTC", "12:00:00+00:00"), ("Asia/Tokyo", "12:00:00+09:00")])
def test_an_instant_without_an_offset_is_meant_in_the_time_zone(zone, hour):
    """The job's, else the scheduler's."""
    naive = NOON.replace(tzinfo=None)
    own = inserted(job_creation.schedule_one_time_job(Defaults(timezone=zone), "noop", naive))
    said = inserted(job_creation.schedule_one_time_job(Defaults(), "noop", naive, timezone=zone))
    assert own["run_date"] == said["run_date"] == f"2030-03-01T{hour}"


@pytest.mark.parametrize(
    "columns",
    [
        {"timezone": "Mars/Base", "run_date": NOON.replace(tzinfo=None)},
        {"metadata": {"f": print}},
        {"metadata": {"f": float("nan")}},
        {"metadata": {"f": ["\x00"]}},
        {"metadata": {"f": "\ud800"}},
        {"name": "\x00"},
    ],
    ids=ascii,
)
def test_what_cannot_be_sent_is_refused_by_its_column(columns):
    """Before anything is sent."""
    with pytest.raises(JobRefused) as refusal:
        next(job_creation.schedule_job(Defaults(), "noop", **columns))
    assert refusal.value.column == next(iter(columns))
    assert str(refusal.value).encode()


def test_a_text_about_nul_is_sent():
    """Only the character itself cannot be held."""
    texts = {"json": "\\u0000", "python": "\\x00"}
    assert inserted(job_creation.schedule_job(Defaults(), "noop", metadata=texts))["metadata"] == texts


TAKEN = JobExists("duplicate key value violates unique constraint")


def _again(**columns: Any) -> Plan[Job]:
    said = {"job_id": "seven", "run_date": NOON, **columns}
    return job_creation.schedule_job(Defaults(), "custom", **said)


def test_a_job_id_that_says_the_same_again_gives_the_job_that_is_there():
    """However its values are written in JSON."""
    asked, job = answered(_again(), TAKEN, [{**ROW, "run_date": "2030-03-01T13:00:00+01:00", "max_attempts": 4.0}])
    assert asked[1] == Select("scheduled_jobs", {"job_id": "seven"})
    assert job.id == ROW["id"]


def test_a_job_id_that_says_something_else_is_a_conflict():
    """The error names the job, and how it differs."""
    with pytest.raises(JobExists) as conflict:
        answered(_again(metadata={"a": 1}, priority=3), TAKEN, [ROW])
    assert (conflict.value.job.id, conflict.value.differs) == (7, ["metadata", "priority"])


def at_a_start(seconds, of=NOON, **columns):
    """Give the row of a job made so long after an instant, with the instant of that start as its run_date."""
    at = (of + timedelta(seconds=seconds)).isoformat()
    return {**ROW, "trigger_type": "interval", "schedule": {"seconds": 60}, "run_date": at, "created_at": at, **columns}


@pytest.mark.parametrize(
    ("kind", "said", "row", "differs"),
    [
        ("interval", NOON, at_a_start(-86400), []),
        ("once", NOON, at_a_start(-86400, trigger_type="once"), []),
        ("interval", NOON + timedelta(hours=1), at_a_start(-86400), ["run_date"]),
        ("interval", NOON, at_a_start(-86400, run_date="2030-02-01T12:00:00Z"), ["run_date"]),
        ("interval", NOON - timedelta(hours=1), at_a_start(-86400), ["run_date"]),
        ("daily", NOON - timedelta(hours=1), at_a_start(-86400, run_date="2030-02-01T12:00:00Z"), []),
        ("daily", NOON + timedelta(hours=1), at_a_start(-86400, run_date="2030-02-01T12:00:00Z"), ["run_date"]),
    ],
)
def test_the_time_of_a_programs_start_is_no_edit(kind, said, row, differs):
    """A day later the same program says `run_date=datetime.now()` again: the job is the one that is there."""
    schedule = {"interval": {"seconds": 60}, "daily": {"time": "08:00"}, "once": None}[kind]
    row = {**row, "trigger_type": kind, "schedule": schedule or {}}
    own = Defaults(now=lambda: NOON + timedelta(seconds=3))
    columns = {"trigger_type": kind, **({"schedule": schedule} if schedule else {})}
    plan = job_creation.schedule_job(own, "custom", job_id="seven", run_date=said, **columns)
    if differs:
        with pytest.raises(JobExists) as conflict:
            answered(plan, TAKEN, [row])
        assert conflict.value.differs == differs
    else:
        assert answered(plan, TAKEN, [row])[1].id == 7


def test_an_instant_without_an_offset_is_taken_as_utc_and_said_loudly():
    """Unless a time zone is given: `datetime.now()` of a machine in Berlin is an hour or two late."""
    with pytest.warns(NaiveDatetimeWarning, match="run_date 2030-03-01 12:00:00 has no offset"):
        row = inserted(job_creation.schedule_job(Defaults(), "noop", run_date=NOON.replace(tzinfo=None)))
    assert row["run_date"] == NOON.isoformat()


@pytest.mark.parametrize(("status", "again"), [("scheduled", {}), ("completed", {"status": "scheduled"})])
def test_replacing_writes_what_differs_and_lets_a_finished_job_run_again(status, again):
    """And nothing else."""
    asked, job = answered(_again(priority=3, replace_existing=True), TAKEN, [{**ROW, "status": status}], [ROW])
    assert asked[2] == Update("scheduled_jobs", 7, {"priority": 3, **again})
    assert job.id == ROW["id"]


def test_a_job_id_taken_by_a_job_out_of_sight_stays_a_conflict():
    """There is nothing to compare with."""
    with pytest.raises(JobExists, match="duplicate key"):
        answered(_again(), TAKEN, [])


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([], None),
        ([{"id": 1, "created_by": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}], 1),
        ([{"id": 1, "created_by": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}, {"id": 2}], 2),
        ([{"id": 1, "workspace_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}, {"id": 2}], 2),
    ],
)
def test_the_callers_own_private_job_comes_first(rows, chosen):
    """Among those with one job_id."""
    _, job = answered(jobs.find_job(Defaults(), "seven"), [{**ROW, **row} for row in rows])
    assert (job and job.id) == chosen


def test_several_jobs_with_one_job_id_are_not_guessed_among():
    """The error names them."""
    owners = ["f47ac10b-58cc-4372-a567-0e02b2c3d479", "0e02b2c3-58cc-4372-a567-f47ac10bd479"]
    with pytest.raises(JobAmbiguous) as ambiguity:
        answered(
            jobs.find_job(Defaults(), "seven"), [{**ROW, "id": n, "created_by": who} for n, who in enumerate(owners)]
        )
    assert ambiguity.value.ids == [0, 1]


def test_only_a_job_id_has_to_be_looked_up():
    """An `id` and a job are enough for a function of the database."""
    for named in (7, Job.model_validate(ROW)):
        asked, _ = answered(jobs.cancel_job(Defaults(), named), ROW)
        assert asked == [Call("cancel_job", {"job": 7})]
    asked, _ = answered(jobs.cancel_job(Defaults(), "seven"), [ROW], ROW)
    assert asked == [Select("scheduled_jobs", {"job_id": "seven"}), Call("cancel_job", {"job": 7})]


def test_a_random_job_id_may_be_a_uuid():
    """It is looked up as the text that it is in the row."""
    named = UUID("f47ac10b-58cc-4372-a567-0e02b2c3d479")
    asked, _ = answered(jobs.pause_job(Defaults(), named), [ROW], ROW)
    assert asked[0] == Select("scheduled_jobs", {"job_id": str(named)})
    assert jobs.name_of(named) == str(named)


def test_an_update_of_nothing_gives_the_job_as_it_is():
    """And writes nothing."""
    asked, job = answered(jobs.update_job(Defaults(), 7), [ROW])
    assert (asked, job.id) == ([Select("scheduled_jobs", {"id": 7})], 7)


def test_an_update_names_a_function_as_scheduling_does():
    """It is never sent."""
    asked, _ = answered(jobs.update_job(Defaults(), 7, handler=declared), [ROW])
    assert asked == [Update("scheduled_jobs", 7, {"handler": "the_declared_name"})]


@pytest.mark.parametrize(
    "plan",
    [
        lambda: jobs.get_jobs_by_status(Defaults(), "done"),
        lambda: jobs.list_jobs(Defaults(), status="done"),
        lambda: job_creation.schedule_recurring(Defaults(), "noop", "done", hour=8),
    ],
)
def test_a_word_that_is_none_is_refused_as_the_database_would(plan):
    """A misspelt status would else look like no jobs."""
    with pytest.raises(JobRefused, match="expected one of ") as refusal:
        next(plan())
    assert (refusal.value.column in {"status", "trigger_type"}, refusal.value.value) == (True, '"done"')


@pytest.mark.parametrize("wrong", [{"max_retries": -1}, {"cleanup_after_days": 0}, {"max_retry": 3}])
def test_an_invalid_configuration_is_refused_at_once(wrong):
    """Also a misspelt name."""
    with pytest.raises(ValidationError):
        JobSchedulerConfig(**wrong)


def test_a_test_run_may_be_asked_for_by_position():
    """As in the function of the database."""
    run = {"id": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}
    plan = jobs.run_job_now(Defaults(), 7, True)  # noqa: FBT003 - what is tested
    assert next(plan) == Call("run_job_now", {"job": 7, "test_mode": True})
    assert plan.send(run["id"]) == Select("job_executions", run)


@pytest.mark.parametrize("plan", [jobs.cancel_job, jobs.delete_job, jobs.run_job_now, jobs.update_job])
def test_a_job_id_that_nobody_has_is_not_found(plan):
    """Each operation raises the same error."""
    with pytest.raises(JobNotFound, match="nobody"):
        answered(plan(Defaults(), "nobody"), [])


def test_a_list_is_read_to_its_end():
    """Page by page, however few rows the project answers at a time."""
    pages = [[{**ROW, "id": 1}, {**ROW, "id": 2}], [{**ROW, "id": 3}], []]
    asked, found = answered(jobs.list_jobs(Defaults(workspace_id="w"), status=JobStatus.PAUSED), *pages)
    assert [job.id for job in found] == [1, 2, 3]
    assert [request.after for request in asked if isinstance(request, Select)] == [("id", 0), ("id", 2), ("id", 3)]
    assert asked[0] == Select("scheduled_jobs", {"status": "paused", "workspace_id": "w"}, after=("id", 0), limit=1000)


def test_a_limited_list_asks_for_no_more():
    """And stops there."""
    asked, found = answered(jobs.list_jobs(Defaults(), limit=1), [ROW])
    assert (len(asked), len(found)) == (1, 1)


async def test_an_answer_may_be_awaited():
    """So that programs which awaited the class they wrote run unchanged."""
    job = Job.model_validate(ROW)
    assert await job is job
    _, found = answered(jobs.list_jobs(Defaults(), limit=1), [ROW])
    assert await found == [job]


def test_a_job_speaks_the_words_of_the_class_it_replaces():
    """Beside those of its row."""
    job = Job.model_validate({**ROW, "handler": "sms", "attempt": 3})
    assert (job.job_type, job.retry_count, job.max_retries, job.is_final) == (JobType.SMS, 2, 3, False)
    assert Job.model_validate(ROW).job_type is JobType.CUSTOM
    assert Job.model_validate({**ROW, "handler": "my_mail", "job_type": "email"}).job_type is JobType.EMAIL
    assert Job.model_validate({**ROW, "handler": "my_mail", "job_type": "invoice"}).job_type == "invoice"
    assert Job.model_validate({**ROW, "status": "failed"}).is_final
