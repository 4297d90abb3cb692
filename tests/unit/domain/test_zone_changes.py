"""A planned instant moves to the nearest one by the present rules of its zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from listener.domain.job import Trigger, TriggerType
from listener.domain.zone_changes import moved_instant

SIX_IN_NEW_YORK = datetime(2026, 3, 2, 11, tzinfo=UTC)  # a Monday, five hours behind UTC
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
DAILY = {"time": "06:00"}
WEEKLY = {"time": "06:00", "days": ["monday"]}
MONTHLY = {"time": "06:00", "days": [2]}


def trigger(kind: str, schedule: dict[str, Any], **columns: Any) -> Trigger:
    """Make a trigger in New York."""
    return Trigger(TriggerType(kind), LONG_AGO, schedule, "America/New_York", **columns)


@pytest.mark.parametrize("hours", [-11, -1, 0, 1, 11])
@pytest.mark.parametrize(
    ("kind", "schedule"),
    [("daily", DAILY), ("weekly", WEEKLY), ("monthly", MONTHLY), ("cron", {"expression": "0 6 2 3 *"})],
    ids=["daily", "weekly", "monthly", "cron"],
)
def test_an_instant_by_other_rules_moves_to_the_one_that_it_stands_for(kind, schedule, hours) -> None:
    """Earlier or later; that of the present rules stays."""
    planned = SIX_IN_NEW_YORK + timedelta(hours=hours)
    assert moved_instant(trigger(kind, schedule), planned, LONG_AGO) == SIX_IN_NEW_YORK


def test_an_instant_of_a_frequent_schedule_stays_or_is_followed_by_the_next() -> None:
    """Another offset of whole hours changes nothing for it."""
    every_minute = trigger("cron", {"expression": "* * * * *"})
    assert moved_instant(every_minute, SIX_IN_NEW_YORK, LONG_AGO) == SIX_IN_NEW_YORK
    odd = SIX_IN_NEW_YORK + timedelta(seconds=10)
    assert moved_instant(every_minute, odd, LONG_AGO) == SIX_IN_NEW_YORK + timedelta(minutes=1)


def test_no_instant_moves_before_the_definition() -> None:
    """Earlier instants belong to nobody."""
    planned = SIX_IN_NEW_YORK + timedelta(hours=1)
    daily = trigger("daily", DAILY)
    assert moved_instant(daily, planned, planned) == SIX_IN_NEW_YORK + timedelta(days=1)
    assert moved_instant(daily, planned, SIX_IN_NEW_YORK) == SIX_IN_NEW_YORK


def test_none_is_left_after_the_end() -> None:
    """The planned one stays then: the job ends by its run."""
    ended = trigger("daily", DAILY, ends_at=SIX_IN_NEW_YORK - timedelta(days=2))
    assert moved_instant(ended, SIX_IN_NEW_YORK + timedelta(hours=1), LONG_AGO) is None
    last = trigger("daily", DAILY, ends_at=SIX_IN_NEW_YORK)
    assert moved_instant(last, SIX_IN_NEW_YORK + timedelta(hours=1), LONG_AGO) == SIX_IN_NEW_YORK
