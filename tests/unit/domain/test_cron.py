"""Expressions are parsed into fields; their meaning is compared with croniter in tests/property/test_cron.py."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from listener.domain.cron import as_numbers, parse
from listener.domain.cron_fields import read
from listener.domain.days import CronDays, EveryDay, Weekdays
from listener.errors import InvalidValueError


@pytest.mark.parametrize(
    ("expression", "follows"),
    [
        ("0 * * * *", True),
        ("*/30 1 * * *", True),
        ("0 */2 * * *", True),
        ("0-59 1 * * *", True),
        ("0 0-23 * * *", True),
        ("0 0-22 * * *", False),
        ("30 1 * * *", False),
        ("0,30 1,2 * * *", False),
        ("30 1 * * * *", False),
    ],
)
def test_a_wildcard_minute_or_hour_follows_the_clock(expression: str, follows: bool):  # noqa: FBT001 - the expectation
    """The second does not decide: what happens at 01:30 is an appointment, however many seconds of it."""
    assert parse(expression).follows_clock is follows


@pytest.mark.parametrize(
    ("expression", "kind"), [("0 0 * * *", EveryDay), ("0 0 ? * 1-5", Weekdays), ("0 0 1 * *", CronDays)]
)
def test_common_days_take_the_short_way(expression: str, kind: type):
    """Most expressions name every day or weekdays, which need no look at the month."""
    assert isinstance(parse(expression).days, kind)


def test_the_sixth_field_is_the_second():
    """At the end, as croniter has it and the database checks it."""
    times = parse("1 2 * * * 3")
    assert (times.hours, times.minutes, times.seconds) == ((2,), (1,), (3,))


def test_an_alias_is_its_five_fields():
    """In any case, with space around it."""
    assert parse(" @Weekly ") == parse("0 0 * * 0")


def test_an_expression_is_parsed_once():
    """The same text gives the same object: parsing costs more than the answer."""
    assert parse("7 3 * * *") is parse("7 3 * * *")


@pytest.mark.parametrize(
    ("expression", "given"),
    [
        ("*/15 9-17 * * mon-fri", "0,15,30,45 9,10,11,12,13,14,15,16,17 * * 1,2,3,4,5"),
        ("0 22-2/3 * * *", "0 1,22 * * *"),
        ("0 0 1 11-2/3 *", "0 0 1 2,11 *"),
        ("0 0 * * 6-2/3", "0 0 * * 2,6"),
        ("0 0 25-5/3 * * */30", "0 0 3,25,28,31 * * 0,30"),
        ("0-59 0-23 1-31 1-12 0-7", "* * * * *"),
        ("0 0 l,15w * *", "0 0 * * *"),
        ("0 0 * * 1,5#2", "0 0 * * 1"),
    ],
)
def test_croniter_is_given_numbers_only(expression: str, given: str):
    """No step, no name, no range that wraps around the end, no day that depends on the month."""
    assert as_numbers(read(expression)) == given


@pytest.mark.parametrize(
    ("expression", "instead"),
    [
        ("TZ=UTC 0 9 * * *", 'the column "timezone"'),
        ("CRON_TZ=Asia/Tokyo 0 9 * * *", 'the column "timezone"'),
        ("@every 5m", 'trigger_type "interval"'),
        ("rate(5 minutes)", 'trigger_type "interval"'),
        ("cron(0 12 * * ? *)", "the fields alone"),
        ("@reboot", "inserts a job when it starts"),
        ("H/15 * * * *", "drawn at random"),
        ("0 r(0-9) * * *", "drawn at random"),
        ("0~30 * * * *", "drawn at random"),
        ("0 0 12 * * ?", "the last is the second"),
        ("0 12 * * ? *", "the last is the second"),
        ("0 0 12 * * ? 2027", 'the column "ends_at"'),
        ("0 0 * * monday", "day of week (field 5)"),
        ("0 0 * foo *", "month (field 4)"),
        ("0;0 * * *", "five fields"),
        ("*,5 * * * *", "minute (field 1)"),
        ("5-5 * * * *", "minute (field 1)"),
        ("*/90 * * * *", "minute (field 1)"),
        ("0 0 L-31 * *", "day of month (field 3)"),
        ("0 0 1W * mon", "only where the other day field"),
    ],
)
def test_what_is_meant_otherwise_is_refused_with_what_to_write(expression: str, instead: str):
    """Forms of other programs are not read as something else."""
    with pytest.raises(InvalidValueError) as refused:
        parse(expression)
    assert instead in refused.value.allowed


@pytest.mark.parametrize("month", ["*", "2"])
@pytest.mark.parametrize("days", ["1-31", "1,2-31"])
def test_every_day_in_other_words_is_no_star(days: str, month: str):
    """Vixie's rule looks at the first character: with a weekday beside it either field is enough, so every day is."""
    feb = date(2026, 2, 1)
    assert [parse(f"0 0 {days} {month} 0").days.at_or_after(feb + timedelta(n)) for n in range(7)] == [
        feb + timedelta(n) for n in range(7)
    ]


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("0 0 LW * *", "0 0 31W * *"),
        ("0 0 * * 5L", "0 0 * * L5"),
        ("0 0 * * friL", "0 0 * * l5"),
        ("0 0 * * 7L", "0 0 * * 0L"),
        ("0 0 * * sun-7", "0 0 * * *"),
        ("0 0 * * 5-7", "0 0 * * 5,6,0"),
    ],
)
def test_two_spellings_of_the_same_days_are_the_same(expression: str, same: str):
    """Quartz's and croniter's, and both numbers of Sunday."""
    assert parse(expression).days == parse(same).days
