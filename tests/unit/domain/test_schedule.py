"""Each trigger by example. Clock changes over all zones are in tests/property/test_clock_changes.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any

import pytest

from listener.domain.job import DstFold, DstGap, Trigger, TriggerType
from listener.domain.schedule import first_run, next_run, upcoming, validate
from listener.errors import InvalidValueError

NEW_YORK = "America/New_York"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def job(kind: str, timezone: str = "UTC", /, **schedule: Any) -> Trigger:
    """A job that began long ago and never ends."""
    return Trigger(TriggerType(kind), LONG_AGO, schedule, timezone)


def at(text: str) -> datetime:
    """The UTC instant written as `text`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def following(trigger: Trigger, after: str, count: int) -> list[str]:
    """The next instants, as text without the offset."""
    return [
        f"{instant:%Y-%m-%d %H:%M:%S}".removesuffix(":00") for instant in islice(upcoming(trigger, at(after)), count)
    ]


def test_a_one_time_job_is_due_at_its_run_date_and_never_again():
    """Later than `after` means later: at its own instant it is exhausted."""
    once = Trigger(TriggerType.ONCE, at("2026-05-01 12:00"))
    assert next_run(once, at("2026-05-01 11:59")) == at("2026-05-01 12:00")
    assert next_run(once, at("2026-05-01 12:00")) is None


def test_a_daily_job_keeps_its_local_time_over_the_year():
    """08:00 in Berlin is 07:00 UTC in winter and 06:00 in summer."""
    daily = job("daily", "Europe/Berlin", time="08:00")
    assert following(daily, "2026-03-28 00:00", 2) == ["2026-03-28 07:00", "2026-03-29 06:00"]


def test_seconds_may_be_given():
    """A time of day is HH:MM or HH:MM:SS."""
    assert following(job("daily", time="08:00:30"), "2026-03-28 00:00", 1) == ["2026-03-28 08:00:30"]


def test_a_weekly_job_runs_on_its_weekdays():
    """Monday and Friday, whatever order they are written in."""
    weekly = job("weekly", time="10:00", days=["friday", "monday", "friday"])
    assert following(weekly, "2026-05-04 10:00", 3) == ["2026-05-08 10:00", "2026-05-11 10:00", "2026-05-15 10:00"]


@pytest.mark.parametrize(
    ("days", "missing", "expected"),
    [
        ([31], "last", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        ([31], "skip", ["2026-01-31", "2026-03-31", "2026-05-31", "2026-07-31"]),
        ([-1], "skip", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        ([29, 30, 31, -1], "last", ["2026-01-29", "2026-01-30", "2026-01-31", "2026-02-28"]),
        ([-31], "last", ["2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01"]),
        ([-31], "skip", ["2026-01-01", "2026-03-01", "2026-05-01", "2026-07-01"]),
        ([1, -1], None, ["2026-01-01", "2026-01-31", "2026-02-01", "2026-02-28"]),
    ],
)
def test_a_monthly_job_treats_days_that_a_month_lacks_as_configured(days, missing, expected):
    """`last` falls back to the end of the month, once however many days fall there; `skip` leaves the month out."""
    extra = {"missing_day": missing} if missing else {}
    monthly = job("monthly", time="00:00", days=days, **extra)
    assert following(monthly, "2025-12-31 23:59", 4) == [f"{day} 00:00" for day in expected]


def test_an_interval_counts_absolute_time_from_its_run_date():
    """The run date itself is the first instant, and a late question moves nothing."""
    every = Trigger(TriggerType.INTERVAL, at("2026-03-08 06:00"), {"seconds": 5400}, NEW_YORK)
    assert next_run(every, at("2026-01-01 00:00")) == at("2026-03-08 06:00")
    assert following(every, "2026-03-08 06:00", 2) == ["2026-03-08 07:30", "2026-03-08 09:00"]
    assert next_run(every, at("2026-03-08 08:59:59")) == at("2026-03-08 09:00")


def test_an_interval_may_have_a_fraction_of_a_second():
    """Counted in microseconds, so that it does not drift."""
    every = Trigger(TriggerType.INTERVAL, at("2026-01-01 00:00"), {"seconds": 1.5})
    assert next_run(every, at("2027-01-01 00:00:01")) == at("2027-01-01 00:00:01.500000")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 * * 1-5", ["2026-05-04 09:00", "2026-05-05 09:00", "2026-05-06 09:00"]),
        ("0 9 * * MON-FRI", ["2026-05-04 09:00", "2026-05-05 09:00", "2026-05-06 09:00"]),
        ("0 0 L * *", ["2026-05-31 00:00", "2026-06-30 00:00", "2026-07-31 00:00"]),
        ("0 0 * * mon#1", ["2026-05-04 00:00", "2026-06-01 00:00", "2026-07-06 00:00"]),
        ("0 0 * * L5", ["2026-05-29 00:00", "2026-06-26 00:00", "2026-07-31 00:00"]),
        ("0 0 16W * *", ["2026-05-15 00:00", "2026-06-16 00:00", "2026-07-16 00:00"]),
        ("0 0 ? jan 7", ["2027-01-03 00:00", "2027-01-10 00:00", "2027-01-17 00:00"]),
        ("0 0 13 * 5", ["2026-05-08 00:00", "2026-05-13 00:00", "2026-05-15 00:00"]),
        ("0 0 */2 * 1", ["2026-05-11 00:00", "2026-05-25 00:00", "2026-06-01 00:00"]),
        ("59/15 * * * *", ["2026-05-02 12:59", "2026-05-02 13:59", "2026-05-02 14:59"]),
        ("0 22-2/2 * * *", ["2026-05-02 22:00", "2026-05-03 00:00", "2026-05-03 02:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("@weekly", ["2026-05-03 00:00", "2026-05-10 00:00", "2026-05-17 00:00"]),
        ("* * * * * */20", ["2026-05-02 12:00:20", "2026-05-02 12:00:40", "2026-05-02 12:01"]),
    ],
)
def test_cron_expressions_mean_what_cron_users_expect(expression: str, expected: list[str]):
    """Names, ranges, steps, lists, L, W, #, aliases; the sixth field, at the end, is the second."""
    assert following(job("cron", expression=expression), "2026-05-02 12:00", 3) == expected


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (DstGap.RUN_AFTER, ["2026-03-07 07:30", "2026-03-08 07:00", "2026-03-09 06:30"]),
        (DstGap.SKIP, ["2026-03-07 07:30", "2026-03-09 06:30", "2026-03-10 06:30"]),
    ],
)
def test_a_time_in_a_gap_runs_right_after_it_or_not_at_all(gap: DstGap, expected: list[str]):
    """02:30 in New York does not exist on 8 March 2026; the gap ends at 03:00, 07:00 UTC."""
    daily = replace(job("daily", NEW_YORK, time="02:30"), dst_gap=gap)
    assert following(daily, "2026-03-07 00:00", 3) == expected


@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        (DstFold.FIRST, ["2026-10-31 05:30", "2026-11-01 05:30", "2026-11-02 06:30"]),
        (DstFold.SECOND, ["2026-10-31 05:30", "2026-11-01 06:30", "2026-11-02 06:30"]),
        (DstFold.BOTH, ["2026-10-31 05:30", "2026-11-01 05:30", "2026-11-01 06:30"]),
    ],
)
def test_a_time_in_a_fold_runs_at_the_pass_that_the_job_names(fold: DstFold, expected: list[str]):
    """01:30 in New York comes twice on 1 November 2026, at 05:30 and 06:30 UTC."""
    daily = replace(job("daily", NEW_YORK, time="01:30"), dst_fold=fold)
    assert following(daily, "2026-10-31 00:00", 3) == expected


def test_two_times_that_meet_at_the_end_of_a_gap_are_one_run():
    """02:00 moves to 03:00 on the day of the change, where 03:00 runs anyway."""
    found = following(job("cron", NEW_YORK, expression="0 2,3 * * *"), "2026-03-07 12:00", 3)
    assert found == ["2026-03-08 07:00", "2026-03-09 06:00", "2026-03-09 07:00"]


@pytest.mark.parametrize("expression", ["0 * * * *", "0 0-23 * * *", "@hourly"])
def test_an_hourly_job_runs_every_hour_of_the_longest_day(expression: str):
    """Naming all 24 hours means the same as a star: both passes of the repeated hour count."""
    found = following(job("cron", NEW_YORK, expression=expression), "2026-11-01 04:30", 3)
    assert found == ["2026-11-01 05:00", "2026-11-01 06:00", "2026-11-01 07:00"]


def test_a_recurring_job_is_not_due_before_its_run_date_nor_after_its_end():
    """Both ends are instants that the job may have."""
    daily = replace(job("daily", time="08:00"), run_date=at("2026-05-02 08:00"), ends_at=at("2026-05-03 08:00"))
    assert following(daily, "2020-01-01 00:00", 9) == ["2026-05-02 08:00", "2026-05-03 08:00"]
    later = replace(daily, run_date=at("2026-05-02 08:00:00.000001"))
    assert following(later, "2020-01-01 00:00", 9) == ["2026-05-03 08:00"]


@pytest.mark.parametrize("kind", ["daily", "interval"])
def test_the_first_run_is_never_before_the_definition(kind: str):
    """A job defined in May that may run since 2020 does not catch up on six years."""
    trigger = job("daily", time="08:00") if kind == "daily" else job("interval", seconds=86_400)
    assert first_run(trigger, at("2026-05-02 08:00")) == at(
        "2026-05-02 08:00" if kind == "daily" else "2026-05-03 00:00"
    )


def test_the_first_run_of_a_one_time_job_that_has_passed_is_now():
    """A client whose clock is a little slow wants its job to run, not to be exhausted before it began."""
    once = Trigger(TriggerType.ONCE, at("2026-05-02 07:59"))
    assert first_run(once, at("2026-05-02 08:00")) == at("2026-05-02 08:00")
    assert first_run(once, at("2026-05-02 07:00")) == at("2026-05-02 07:59")


def test_answers_are_in_utc_whatever_zone_the_question_comes_in():
    """Instants compare by what they are, and are given in UTC."""
    elsewhere = timezone(timedelta(hours=5, minutes=45))
    found = next_run(job("daily", time="08:00"), at("2026-05-02 07:00").astimezone(elsewhere))
    assert found == at("2026-05-02 08:00")
    assert found.tzinfo is UTC


def test_the_end_of_the_calendar_is_the_end_of_the_job():
    """After the year 9999 there is nothing, and no error."""
    last = datetime.max.replace(tzinfo=UTC)
    assert next_run(job("daily", NEW_YORK, time="08:00"), last - timedelta(hours=2)) is None
    assert next_run(job("interval", seconds=3_600), last - TICK) is None
    assert next_run(job("cron", "Asia/Tokyo", expression="0 0 1 1 *"), last - timedelta(hours=1)) is None


def test_a_date_that_is_always_in_a_gap_is_given_up():
    """02:30 on the second Sunday of March, with `skip`, never comes in New York: bounded search, no run."""
    never = replace(job("cron", NEW_YORK, expression="30 2 * mar sun#2"), dst_gap=DstGap.SKIP)
    assert next_run(never, at("2026-01-01 00:00")) is None


GOOD = [
    Trigger(TriggerType.ONCE, LONG_AGO),
    job("daily", "Asia/Kathmandu", time="23:59:59"),
    job("weekly", time="00:00", days=["sunday"]),
    job("monthly", time="00:00", days=[*range(1, 32), *range(-31, 0)], missing_day="skip"),
    job("interval", seconds=1),
    job("cron", expression="  */5\t* * * *  "),
    job("cron", expression="@DAILY"),
]


@pytest.mark.parametrize("trigger", GOOD, ids=repr)
def test_a_good_trigger_is_accepted(trigger: Trigger):
    """A trigger that passes validation can be scheduled."""
    validate(trigger)
    assert first_run(trigger, LONG_AGO) is not None


BAD = [
    ("scheduled_jobs.schedule", job("daily", time="25:99")),
    ("scheduled_jobs.schedule", job("daily", time="8:00")),
    ("scheduled_jobs.schedule", job("daily", time=8)),
    ("scheduled_jobs.schedule", job("daily", time="08:00\n")),
    ("scheduled_jobs.schedule", job("daily", time="08:00", days=["monday"])),
    ("scheduled_jobs.schedule", job("daily")),
    ("scheduled_jobs.schedule", job("once", time="08:00")),
    ("scheduled_jobs.schedule", replace(job("daily"), schedule="time")),
    ("scheduled_jobs.schedule", replace(job("daily"), schedule=None)),
    ("scheduled_jobs.schedule", job("weekly", time="08:00", days=["someday"])),
    ("scheduled_jobs.schedule", job("weekly", time="08:00", days=[])),
    ("scheduled_jobs.schedule", job("weekly", time="08:00", days="monday")),
    ("scheduled_jobs.schedule", job("monthly", time="08:00", days=[0])),
    ("scheduled_jobs.schedule", job("monthly", time="08:00", days=[32])),
    ("scheduled_jobs.schedule", job("monthly", time="08:00", days=[True])),
    ("scheduled_jobs.schedule", job("monthly", time="08:00", days=[[1]])),
    ("scheduled_jobs.schedule", job("monthly", time="08:00", days=[1] * 200_000)),
    ("scheduled_jobs.schedule", job("monthly", time="08:00", days=[1], missing_day="next")),
    ("scheduled_jobs.schedule", job("interval", seconds=0)),
    ("scheduled_jobs.schedule", job("interval", seconds=-30)),
    ("scheduled_jobs.schedule", job("interval", seconds="30")),
    ("scheduled_jobs.schedule", job("interval", seconds=True)),
    ("scheduled_jobs.schedule", job("interval", seconds=float("nan"))),
    ("scheduled_jobs.schedule", job("interval", seconds=float("inf"))),
    ("scheduled_jobs.schedule", job("cron", expression="")),
    ("scheduled_jobs.schedule", job("cron", expression=None)),
    ("scheduled_jobs.schedule", job("cron", expression="* * * *")),
    ("scheduled_jobs.schedule", job("cron", expression="* * * * * * *")),
    ("scheduled_jobs.schedule", job("cron", expression="60 * * * *")),
    ("scheduled_jobs.schedule", job("cron", expression="*/0 * * * *")),
    ("scheduled_jobs.schedule", job("cron", expression="@reboot")),
    ("scheduled_jobs.schedule", job("cron", expression="H H * * *")),
    ("scheduled_jobs.schedule", job("cron", expression="R R * * *")),
    ("scheduled_jobs.schedule", job("cron", expression="0 0 31 2 *")),
    ("scheduled_jobs.schedule", job("cron", expression="0 0 30 2 */2")),
    ("scheduled_jobs.schedule", job("cron", expression="0 0 * * mon#6")),
    ("scheduled_jobs.schedule", job("cron", expression=",".join(["1"] * 200_000) + " * * * *")),
    ("scheduled_jobs.schedule", job("cron", expression="٥ * * * *")),  # noqa: RUF001 - a digit, but not cron's
    ("scheduled_jobs.timezone", job("daily", "Mars/Olympus", time="08:00")),
    ("scheduled_jobs.timezone", job("daily", "America", time="08:00")),
    ("scheduled_jobs.timezone", job("daily", "../UTC", time="08:00")),
    ("scheduled_jobs.timezone", job("daily", "/etc/passwd", time="08:00")),
    ("scheduled_jobs.timezone", job("daily", "right/UTC", time="08:00")),
    ("scheduled_jobs.timezone", job("daily", "x" * 10_000, time="08:00")),
    ("scheduled_jobs.timezone", replace(job("daily", time="08:00"), timezone=None)),
    ("trigger_type", replace(job("daily", time="08:00"), type="hourly")),
    ("dst_gap", replace(job("daily", time="08:00"), dst_gap="run_before")),
    ("dst_fold", replace(job("daily", time="08:00"), dst_fold="third")),
    ("run_date", replace(job("daily", time="08:00"), run_date=datetime(2026, 1, 1))),  # noqa: DTZ001 - the fault
    ("ends_at", replace(job("daily", time="08:00"), ends_at=datetime(2026, 1, 1))),  # noqa: DTZ001 - the fault
]


@pytest.mark.parametrize(("field", "trigger"), BAD, ids=[f"{field}-{n}" for n, (field, _) in enumerate(BAD)])
def test_a_bad_trigger_is_refused_by_column_value_and_what_is_allowed(field: str, trigger: Trigger):
    """The message names the column and is short, however long the value is."""
    with pytest.raises(InvalidValueError) as refused:
        validate(trigger)
    assert refused.value.field == field
    assert refused.value.allowed in str(refused.value)
    assert len(str(refused.value)) < 500


def test_what_validation_refuses_is_not_scheduled_either():
    """A row that reached the service by another way raises the same error, and no other."""
    for field, trigger in BAD:
        if not field.startswith("dst"):  # those are words of the type, which the database checks too
            with pytest.raises(InvalidValueError):
                next_run(trigger, LONG_AGO)
