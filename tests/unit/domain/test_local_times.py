"""Times of day on chosen dates, before any zone."""

from __future__ import annotations

from datetime import datetime

import pytest

from listener.domain.days import EveryDay, Weekdays
from listener.domain.local_times import LocalTimes

TWICE_AN_HOUR = LocalTimes(EveryDay(), hours=(9, 17), minutes=(0, 30), seconds=(0, 15))
MONDAYS = LocalTimes(Weekdays(frozenset({0})), hours=(9,), minutes=(0,))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("2026-05-02T00:00:00", "2026-05-02T09:00:00"),
        ("2026-05-02T09:00:00", "2026-05-02T09:00:00"),
        ("2026-05-02T09:00:01", "2026-05-02T09:00:15"),
        ("2026-05-02T09:00:16", "2026-05-02T09:30:00"),
        ("2026-05-02T09:30:16", "2026-05-02T17:00:00"),
        ("2026-05-02T12:45:59", "2026-05-02T17:00:00"),
        ("2026-05-02T17:30:15", "2026-05-02T17:30:15"),
        ("2026-05-02T17:30:16", "2026-05-03T09:00:00"),
        ("2026-12-31T23:59:59", "2027-01-01T09:00:00"),
    ],
)
def test_the_first_time_at_or_after_another(asked: str, expected: str):
    """Seconds carry into minutes, minutes into hours, hours into dates."""
    assert TWICE_AN_HOUR.at_or_after(datetime.fromisoformat(asked)) == datetime.fromisoformat(expected)


def test_a_time_that_has_passed_on_the_last_fitting_date_waits_for_the_next_one():
    """Monday 09:00 has passed on Monday at noon."""
    noon = datetime.fromisoformat("2026-05-04T12:00:00")
    assert MONDAYS.at_or_after(noon) == datetime.fromisoformat("2026-05-11T09:00:00")


def test_membership_is_exact():
    """A second beside is beside."""
    assert datetime.fromisoformat("2026-05-02T09:30:15") in TWICE_AN_HOUR
    assert datetime.fromisoformat("2026-05-02T09:30:16") not in TWICE_AN_HOUR
