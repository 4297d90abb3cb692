"""Refusals name the field, the value and what is allowed, at a bearable length."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from listener.domain.job import DstGap
from listener.domain.refusal import instant, refuse, refuse_column, word
from listener.errors import InvalidValueError


@pytest.mark.parametrize("value", ["x" * 1_000_000, list(range(1_000_000)), {"deep": [[[[["x"] * 10_000]]]]}])
def test_a_long_value_is_neither_shown_nor_kept(value: object):
    """One bad row must not fill the log, nor stay in memory with its error."""
    for how in (refuse, refuse_column):
        with pytest.raises(InvalidValueError) as refused:
            how("schedule", value, "something short")
        assert len(str(refused.value)) < 400
        assert not any(kept is value for kept in vars(refused.value.value).values())


@pytest.mark.parametrize("value", ["25:99", 7, -0.5, True, None])
def test_a_short_value_is_kept_as_it_is(value: object):
    """The code that handles the error can look at it."""
    with pytest.raises(InvalidValueError) as refused:
        refuse("schedule.time", value, "a time")
    assert refused.value.value is value
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"bb": [1, None], "a": "ü\t"}, '{"a": "ü\\t", "bb": [1, null]}'),
        ({"a": "x" * 200}, '{"a": "' + "x" * 113 + "…"),
        ("\ud800", '"\\ud800"'),
        (object, "<class 'object'>"),
    ],
    ids=["keys", "long", "surrogate", "foreign"],
)
def test_a_column_is_shown_as_the_database_shows_it(value: object, shown: str):
    """As jsonb prints it, 120 characters at most; what is no JSON is shown all the same."""
    with pytest.raises(InvalidValueError) as refused:
        refuse_column("schedule", value, "something else")
    assert str(refused.value) == f"scheduled_jobs.schedule: {shown} is not allowed; expected something else"


def test_a_word_may_come_as_text():
    """Rows bring text; code brings the enumeration."""
    assert word(DstGap, "dst_gap", "skip") is DstGap.SKIP
    assert word(DstGap, "dst_gap", DstGap.SKIP) is DstGap.SKIP


@pytest.mark.parametrize("value", ["SKIP", "", None, 3, ["skip"]])
def test_a_foreign_word_is_refused_with_the_list_of_words(value: object):
    """The message says what would have been right."""
    with pytest.raises(InvalidValueError, match="run_after, skip"):
        word(DstGap, "dst_gap", value)


def test_an_instant_without_an_offset_is_refused():
    """It would mean another instant on another machine."""
    aware = datetime(2026, 1, 1, tzinfo=UTC)
    assert instant("run_date", aware) is aware
    with pytest.raises(InvalidValueError, match="run_date"):
        instant("run_date", aware.replace(tzinfo=None))
