"""The meaning of accepted expressions, beside a short oracle and beside cronsim, which has Debian's rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice

import pytest
from cron_corpus import corpus
from cron_oracle import due_dates, names_date, names_value
from cron_strategies import EVERY_FORM
from cronsim import CronSim, CronSimError
from hypothesis import assume, example, given, settings

from listener.domain.cron import parse
from listener.domain.cron_fields import ALIASES
from listener.domain.job import Trigger, TriggerType
from listener.domain.schedule import upcoming
from listener.errors import InvalidValueError

pytestmark = pytest.mark.slow  # 1,400 expressions, each on 800 days

DATES = [date(2026, 12, 25) + timedelta(days) for days in range(800)]
LONG_AGO = datetime(1900, 1, 1, tzinfo=UTC)
STARTS = [datetime(2027, 2, 27, 21, 58, tzinfo=UTC), datetime(2028, 2, 28, 13, 3, tzinfo=UTC)]


@cache
def values(field: str, size: int) -> tuple[int, ...]:
    """The values from 0 on that the oracle finds in a field."""
    return tuple(value for value in range(size) if names_value(field, value, 0, size - 1))


@cache
def dates(number: str, month: str, weekday: str) -> list[date]:
    """The dates that the oracle finds for the three day fields."""
    return [day for day in DATES if names_date(f"0 0 {number} {month} {weekday}", day)]


def check_with_oracle(expression: str) -> None:
    """Compare each value and each date of two years."""
    times = parse(expression)
    spelled = ALIASES.get(expression.strip().lower(), expression.lower())
    minute, hour, number, month, weekday, *second = spelled.split()
    assert times.minutes == values(minute, 60)
    assert times.hours == values(hour, 24)
    assert times.seconds == values(*second or ["0"], 60)
    assert due_dates(times.days, DATES[0], DATES[-1]) == dates(number, month, weekday)


def accepted() -> list[str]:
    """The expressions of the corpus that a preview shows."""
    found = []
    for expression in corpus():
        try:
            parse(expression)
        except InvalidValueError:
            continue
        found.append(expression)
    return found


def test_accepted_public_expressions_mean_what_the_oracle_says():
    """All of them, on each date of two years."""
    expressions = accepted()
    assert len(expressions) > 1350
    for expression in expressions:
        check_with_oracle(expression)


@settings(max_examples=100)
@given(EVERY_FORM)
@example("0 22-2/3 * * *")
@example("0 0 1 11-2/3 *")
@example("0 0 * * 6-2/3")
@example("50-10/7 * * * *")
@example("0 0 25-5/3 * *")
@example("0 0 * * 0-7/2")
def test_every_form_means_what_the_oracle_says(expression: str):
    """Ranges that wrap around the end in steps, days from the end, and lists of all forms among them."""
    try:
        parse(expression)
    except InvalidValueError as refused:
        assert "one of its months has" in str(refused)  # noqa: PT017 - all else has to be accepted
        assume(False)  # noqa: FBT003 - hypothesis has it so
    check_with_oracle(expression)


def as_cronsim(expression: str) -> str:
    """Return the expression with the second first."""
    minute, hour, number, month, weekday, *second = ALIASES.get(expression.strip().lower(), expression).split()
    return " ".join([*second, minute, hour, number, month, weekday])


def cronsim_reads(expression: str) -> bool:
    """Whether cronsim reads it, and alike: to it `1/2` goes on to 7, which is Sunday; here a week ends on Saturday."""
    try:
        CronSim(as_cronsim(expression), STARTS[0])
    except CronSimError:
        return False
    return expression.rsplit(maxsplit=1)[-1] not in {"1/2", "3/2"}


def test_accepted_public_expressions_are_due_when_cronsim_says():
    """Both day fields, the star in front of one of them, L, LW, # and 5L: all that cronsim reads at all."""
    expressions = [expression for expression in accepted() if cronsim_reads(expression)]
    assert len(expressions) > 1000
    for expression in expressions:
        job = Trigger(TriggerType.CRON, LONG_AGO, {"expression": expression})
        for start in STARTS:
            theirs = list(islice(CronSim(as_cronsim(expression), start), 4))
            assert list(islice(upcoming(job, start), 4)) == theirs, expression


@pytest.mark.parametrize(
    ("expression", "rule"),
    [
        ("0 0 13 * 5", "either"),
        ("0 0 1-31 * 1", "either"),
        ("0 0 13 * 0-6", "either"),
        ("0 0 1,*/10 * 1", "either"),
        ("0 0 */2 * 1", "both"),
        ("0 0 1 * */2", "both"),
        ("0 0 */1 * 1", "both"),
        ("0 0 ? * 1", "both"),
    ],
)
def test_a_star_in_front_of_a_day_field_makes_both_necessary(expression: str, rule: str):
    """Vixie's rule, which looks at the first character only."""
    _, _, number, month, weekday = expression.split()
    counts = {"either": set.union, "both": set.intersection}[rule]
    expected = counts({*dates(number, month, "*")}, {*dates("*", month, weekday)})
    assert due_dates(parse(expression).days, DATES[0], DATES[-1]) == sorted(expected)
