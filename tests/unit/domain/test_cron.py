"""Expressions are parsed into fields; their meaning is compared with croniter in tests/property/test_cron.py."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from listener.domain.cron import normal, parse
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
    assert normal(" @Weekly ") == "0 0 * * 0"


def test_an_expression_is_parsed_once():
    """The same text gives the same object: parsing costs more than the answer."""
    assert parse("7 3 * * *") is parse("7 3 * * *")


@pytest.mark.parametrize("expression", ["h 0 * * *", "r(0-9) 0 * * *", "0 0 * * monday", "0 0 * foo *", "0;0 * * *"])
def test_foreign_words_are_refused_before_croniter_sees_them(expression: str):
    """It would draw some of them at random."""
    with pytest.raises(InvalidValueError, match=r"schedule\.expression"):
        normal(expression)


@pytest.mark.parametrize("month", ["*", "2"])
@pytest.mark.parametrize("days", ["1-31", "1,*"])
def test_every_day_in_other_words_is_no_star(days: str, month: str):
    """Vixie's rule looks at the first character: with a weekday beside it either field is enough, so every day is."""
    feb = date(2026, 2, 1)
    assert [parse(f"0 0 {days} {month} 0").days.at_or_after(feb + timedelta(n)) for n in range(7)] == [
        feb + timedelta(n) for n in range(7)
    ]


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("*,5 * * * *", "* * * * *"),
        ("5,* 3 * * *", "* 3 * * *"),
        ("0 0 *,5 * *", "0 0 * * *"),
        ("0 0 1 3,* *", "0 0 1 * *"),
        ("0 0 * * *,5", "0 0 * * *"),
        ("0 0 * * 1#2,*", "0 0 * * *"),
        ("* * * * * 7,*", "* * * * * *"),
    ],
)
def test_a_list_with_a_star_names_every_value(expression: str, same: str):
    """Wherever in the list it stands, and whatever stands beside it."""
    assert parse(expression) == parse(same)
