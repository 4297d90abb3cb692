"""Dates by rule; cron's day fields are compared with croniter in tests/property/test_cron.py."""

from __future__ import annotations

from datetime import date

import pytest

from listener.domain.days import LAST, CronDays, DayRule, EveryDay, MonthDays, Weekdays

NONE: frozenset[int] = frozenset()


def cron_days(**fields: object) -> CronDays:
    """Dates of every month that no field restricts, but for `fields`."""
    unrestricted = {
        "months": frozenset(range(1, 13)),
        "numbers": NONE,
        "nearest": NONE,
        "weekdays": NONE,
        "nth": frozenset(),
        "any_number": True,
        "any_weekday": True,
        "either": False,
    }
    return CronDays(**(unrestricted | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "day", "expected"),
    [
        (EveryDay(), date(2026, 5, 2), date(2026, 5, 2)),
        (Weekdays(frozenset({5})), date(2026, 5, 2), date(2026, 5, 2)),
        (Weekdays(frozenset({4})), date(2026, 5, 2), date(2026, 5, 8)),
        (MonthDays(frozenset({30}), clamp=True), date(2026, 2, 1), date(2026, 2, 28)),
        (MonthDays(frozenset({30}), clamp=False), date(2026, 2, 1), date(2026, 3, 30)),
        (MonthDays(frozenset({LAST}), clamp=False), date(2026, 12, 31), date(2026, 12, 31)),
        (MonthDays(frozenset({1}), clamp=False), date(2026, 12, 2), date(2027, 1, 1)),
        (cron_days(any_number=False, nearest=frozenset({1})), date(2026, 8, 1), date(2026, 8, 3)),
        (cron_days(any_number=False, nearest=frozenset({31})), date(2026, 5, 1), date(2026, 5, 29)),
        (cron_days(any_weekday=False, nth=frozenset({(0, LAST)})), date(2026, 5, 1), date(2026, 5, 25)),
        (cron_days(any_weekday=False, nth=frozenset({(0, 5)})), date(2026, 5, 1), date(2026, 6, 29)),
    ],
    ids=str,
)
def test_the_first_date_at_or_after_a_day(rule: DayRule, day: date, expected: date):
    """The day itself counts."""
    assert rule.at_or_after(day) == expected


def test_a_date_that_never_comes_is_given_up():
    """30 February: the search ends at the horizon."""
    never = cron_days(months=frozenset({2}), numbers=frozenset({30}), any_number=False)
    assert never.at_or_after(date(2026, 1, 1)) is None


def test_the_calendar_ends_without_an_error():
    """There is no year 10000."""
    assert MonthDays(frozenset({1}), clamp=False).at_or_after(date(9999, 12, 2)) is None
