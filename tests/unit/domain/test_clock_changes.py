"""Zones by name, and the bound of the search; the rules themselves are in tests/property/test_clock_changes.py."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from listener.domain import cron
from listener.domain.clock_changes import next_instant, offset_change, zone
from listener.domain.days import HORIZON_YEARS, DayRule
from listener.domain.job import DstFold, DstGap
from listener.domain.local_times import LocalTimes
from listener.errors import InvalidValueError

NEW_YORK = ZoneInfo("America/New_York")


class Counted:
    """A rule for dates that counts how often it is asked."""

    def __init__(self, rule: DayRule) -> None:
        self.rule, self.asked = rule, 0

    def at_or_after(self, day: date) -> date | None:
        self.asked += 1
        return self.rule.at_or_after(day)


def test_a_time_that_is_always_in_a_gap_is_looked_for_within_the_horizon():
    """02:30 on the second Sunday of March, skipped in gaps: a bounded number of questions, then None."""
    parsed = cron.parse("30 2 * mar sun#2")
    days = Counted(parsed.days)
    times = LocalTimes(days, parsed.hours, parsed.minutes)
    assert next_instant(times, NEW_YORK, datetime(2026, 1, 1, tzinfo=UTC), DstGap.SKIP, DstFold.FIRST) is None
    assert HORIZON_YEARS <= days.asked <= 4 * HORIZON_YEARS


@pytest.mark.parametrize(
    ("instant", "hours"),
    [
        (datetime(2026, 3, 8, 7, tzinfo=UTC), 1),
        (datetime(2026, 11, 1, 6, tzinfo=UTC), -1),
        (datetime(2026, 3, 8, 7, 0, 1, tzinfo=UTC), 0),
        (datetime(2026, 6, 1, tzinfo=UTC), 0),
    ],
)
def test_an_offset_changes_at_one_instant_only(instant: datetime, hours: int):
    """At the first second of the new offset, forward counting as positive."""
    assert offset_change(NEW_YORK, instant) == timedelta(hours=hours)


@pytest.mark.parametrize("name", ["UTC", "America/New_York", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"])
def test_a_zone_is_found_by_its_name(name: str):
    """Any name of the IANA database."""
    assert zone(name).key == name


@pytest.mark.parametrize(
    "name",
    ["", "EDT?", "america", "Europe", "Europe/", "/Europe/Berlin", "Europe/../UTC", "UTC\x00", "localtime", "Factory"],
)
def test_what_is_no_zone_is_refused(name: str):
    """Files and folders beside the zones are none, nor is the machine's own setting."""
    with pytest.raises(InvalidValueError, match="timezone"):
        zone(name)
