"""Cron expressions in UTC against croniter and cronsim. Clock changes are in test_clock_changes.py."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

from cron_strategies import expressions
from croniter import croniter
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from listener.domain.job import Trigger, TriggerType
from listener.domain.schedule import upcoming
from listener.errors import InvalidValueError

BUDGET = settings(max_examples=200)
LONG_AGO = datetime(1900, 1, 1, tzinfo=UTC)


def job(expression: str) -> Trigger:
    """A cron job without beginning or end."""
    return Trigger(TriggerType.CRON, LONG_AGO, {"expression": expression})


INSTANTS = st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


def accepted(expression: str, after: datetime, count: int) -> list[datetime]:
    """The next instants; an expression whose date never comes is no example."""
    try:
        return list(islice(upcoming(job(expression), after), count))
    except InvalidValueError:
        assume(False)  # noqa: FBT003 - hypothesis has it so
        return []


@BUDGET
@given(expressions(), INSTANTS)
def test_in_utc_every_expression_means_what_croniter_says(expression: str, after: datetime):
    """Where no clock changes, the two agree (croniter with Vixie's rule for days that start with a star).

    Not about a day field that names every day in other words, as 1-31 does: croniter takes it for a star, Vixie not.
    """
    texts, expanded = expression.split(), croniter(expression).expanded
    assume(all(texts[n][0] in "*?" or expanded[n] != ["*"] for n in (2, 4)))
    found = accepted(expression, after, 4)
    reference = croniter(expression, after, ret_type=datetime, implement_cron_bug=True)
    assert found == [reference.get_next() for _ in found]


def mixed(lowest: int, highest: int) -> st.SearchStrategy[str]:
    """A list of anything that cronsim reads too: values, ranges, and steps."""
    value = st.integers(lowest, highest)
    bounds = st.tuples(value, value).filter(lambda pair: pair[0] < pair[1])
    span = bounds.map(lambda pair: f"{pair[0]}-{pair[1]}")
    stepped = st.tuples(st.one_of(st.just("*"), span), st.integers(2, min(9, highest - lowest + 1))).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )
    part = st.one_of(value.map(str), value.map(str), span, stepped)
    return st.one_of(st.just("*"), st.lists(part, min_size=1, max_size=3).map(",".join))


@BUDGET
@given(st.tuples(mixed(0, 59), mixed(0, 23), mixed(1, 28), mixed(1, 12), mixed(0, 6)).map(" ".join), INSTANTS)
def test_in_utc_every_list_means_what_cronsim_says(expression: str, after: datetime):
    """Two readers that know nothing of each other, croniter's fields and cronsim's, name the same instants."""
    theirs = CronSim(expression, after.replace(second=0, microsecond=0))
    assert list(islice(upcoming(job(expression), after), 5)) == list(islice(theirs, 5))
