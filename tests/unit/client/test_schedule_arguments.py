"""Schedules in APScheduler's words become those of a row."""

from __future__ import annotations

import pytest

from listener.client import JobRefused, TriggerType
from listener.client.schedule_arguments import schedule_of, weekdays, words_of

SAID = [
    ("daily", {"hour": 8, "minute": 0}, {"time": "08:00"}),
    ("daily", {"hour": 8, "minute": 5, "second": 9}, {"time": "08:05:09"}),
    ("daily", {}, {"time": "00:00"}),
    ("daily", {"time": "07:30"}, {"time": "07:30"}),
    (
        "weekly",
        {"days": "mon-wed,sun", "hour": 9},
        {"time": "09:00", "days": ["monday", "tuesday", "wednesday", "sunday"]},
    ),
    ("weekly", {"days": ["friday", 0]}, {"time": "00:00", "days": ["friday", "monday"]}),
    ("weekly", {"day_of_week": 0}, {"time": "00:00", "days": ["monday"]}),
    ("weekly", {}, {"time": "00:00", "days": ["monday", "tuesday", "wednesday", "thursday", "friday"]}),
    ("monthly", {"day": 15, "hour": 6}, {"time": "06:00", "days": [15]}),
    ("monthly", {"days": [1, -1], "missing_day": "skip"}, {"time": "00:00", "days": [1, -1], "missing_day": "skip"}),
    ("monthly", {}, {"time": "00:00", "days": [1]}),
    ("interval", {"hours": 1, "minutes": 30, "seconds": 5}, {"seconds": 5405}),
    ("interval", {"days": 1}, {"seconds": 86400}),
    ("cron", {"cron_expression": "0 9 * * 1-5"}, {"expression": "0 9 * * 1-5"}),
    ("cron", {"expression": "@daily"}, {"expression": "@daily"}),
    ("cron", {"minute": "*/5"}, {"expression": "*/5 * * * *"}),
    ("cron", {"hour": 8}, {"expression": "0 8 * * *"}),
    (
        "cron",
        {"hour": "8-17", "minute": 30, "day_of_week": "mon-fri"},
        {"expression": "30 8-17 * * mon,tue,wed,thu,fri"},
    ),
    ("cron", {"day_of_week": "0"}, {"expression": "0 0 * * mon"}),
    ("cron", {"day_of_week": "sat-mon,2"}, {"expression": "0 0 * * sat,sun,mon,wed"}),
    ("cron", {"day_of_week": "*/2"}, {"expression": "0 0 * * mon,wed,fri,sun"}),
    ("cron", {"day": "last", "hour": 6}, {"expression": "0 6 L * *"}),
    ("cron", {"month": "jan-mar"}, {"expression": "0 0 1 jan-mar *"}),
    ("cron", {"second": "*/10"}, {"expression": "* * * * * */10"}),
    ("once", {}, {}),
]


@pytest.mark.parametrize(("kind", "words", "schedule"), SAID)
def test_words_become_a_schedule(kind, words, schedule):
    """Of every trigger, also with nothing said."""
    assert schedule_of(TriggerType(kind), words) == schedule
    assert set(words) <= words_of(TriggerType(kind))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("daily", {"days": "mon"}),
        ("once", {"hour": 8}),
        ("daily", {"hour": "x"}),
        ("weekly", {"days": "moon"}),
        ("cron", {}),
        ("cron", {"day": 1, "day_of_week": 1}),
        ("cron", {"expression": "* * * * *", "hour": 1}),
    ],
)
def test_words_that_say_no_time_are_refused(kind, words):
    """By the column's name, before anything is sent."""
    with pytest.raises(JobRefused) as refusal:
        schedule_of(TriggerType(kind), words)
    assert refusal.value.column == "schedule"


def test_a_range_of_weekdays_may_go_round_the_end_of_the_week():
    """As in a cron expression."""
    assert weekdays(["sat-mon", "sun"]) == ["saturday", "sunday", "monday"]


def test_month_belongs_to_the_handler_of_any_other_trigger():
    """A report of a month is no schedule."""
    assert "month" in words_of(TriggerType.CRON)
    assert "month" not in words_of(TriggerType.MONTHLY)
