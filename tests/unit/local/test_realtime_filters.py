"""Filters that are decided without the database agree with SQL, and what the gate drops nobody wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.local.realtime.bindings import Binding, Filter
from listener.local.realtime.filters import BOOL, NUMERIC, Checked
from listener.local.realtime.pgoutput import INSERT, Column, Relation, Transaction, change
from listener.local.realtime.subscriptions import Gate, Subscription, match
from listener.local.realtime.tokens import Identity

if TYPE_CHECKING:
    from listener.local.realtime.filters import Decision

TEXT, INT8, TIMESTAMP = 25, 20, 1114


def decision(operator: str, value: str, type_oid: int = TEXT, *, negated: bool = False) -> Decision | None:
    """Compile a filter whose value is canonical already."""
    return Checked(Filter("c", operator, value, negated), type_oid, is_enum=False, canonical=(value,)).decision()


@pytest.mark.parametrize(
    ("operator", "value", "type_oid", "passing", "failing"),
    [
        ("eq", "a", TEXT, ["a"], ["b", "", None]),
        ("neq", "a", TEXT, ["b", ""], ["a", None]),
        ("isdistinct", "a", TEXT, ["b", None], ["a"]),
        ("gt", "9", INT8, ["10"], ["9", "-10", None]),
        ("lte", "10", NUMERIC, ["10.00", "-1"], ["10.01", "NaN", "Infinity", None]),
        ("is", "null", TIMESTAMP, [None], ["2026-01-01 00:00:00"]),
        ("is", "true", BOOL, ["t"], ["f", None]),
        ("eq", "true", BOOL, ["t"], ["f", None]),
    ],
)
def test_a_decision_is_sqls(
    operator: str, value: str, type_oid: int, passing: list[str | None], failing: list[str | None]
) -> None:
    """Null passes only where SQL's condition is true of it; a negation turns the rest round."""
    decide, deny = decision(operator, value, type_oid), decision(operator, value, type_oid, negated=True)
    assert decide is not None
    assert deny is not None
    assert [decide(text) for text in passing + failing] == [True] * len(passing) + [False] * len(failing)
    certain = [text for text in passing + failing if text not in {None, "NaN", "Infinity"}]
    assert [deny(text) for text in certain] == [not decide(text) for text in certain]


@pytest.mark.parametrize("operator", ["like", "ilike", "match", "imatch", "lt", "gte"])
def test_patterns_and_collations_are_the_databases(operator: str) -> None:
    """No guess is made about text order or patterns."""
    assert decision(operator, "a") is None


def test_times_are_the_databases() -> None:
    """One instant has many texts."""
    assert decision("eq", "2026-01-01 00:00:00", TIMESTAMP) is None


RELATION = Relation(1, "public", "jobs", "f", (Column("id", INT8, in_key=True), Column("status", TEXT, in_key=True)))


def gate(*wanted: str) -> Gate:
    """Make the gate of one binding, `status=in.(…)`."""
    filter_ = Filter("status", "in", "")
    binding = Binding(7, "*", "public", "jobs", (filter_,))
    checked = {(0, TEXT): Checked(filter_, TEXT, is_enum=False, canonical=wanted)}
    subscription = Subscription(binding, Identity("anon", "{}", 0), None, checked)
    return Gate([match(subscription, RELATION, unfiltered=False)])


def insert(*values: str) -> bytes:
    """Write an INSERT message."""
    columns = b"".join(b"t" + len(v.encode()).to_bytes(4, "big") + v.encode() for v in values)
    return b"I" + (1).to_bytes(4, "big") + b"N" + len(values).to_bytes(2, "big") + columns


FEW_TEXTS = st.text("aé", max_size=2)  # few, so that hits are as frequent as misses


@given(st.sets(FEW_TEXTS, min_size=1), FEW_TEXTS, FEW_TEXTS)
def test_the_gate_drops_only_what_no_binding_wants(wanted: set[str], first: str, status: str) -> None:
    """Looking for bytes never loses a row that the filter would pass, and the test after it is exact."""
    message, of_binding = insert(first, status), gate(*wanted)
    parsed = change(message, RELATION, Transaction(1, ""))
    if status in wanted:
        assert of_binding.may_want(INSERT, message)
    assert of_binding.wants(parsed) == (status in wanted)
    if not of_binding.may_want(INSERT, message):
        assert not of_binding.wants(parsed)


def test_a_table_nobody_listens_to_is_dropped_unread() -> None:
    """An empty gate wants nothing."""
    assert not Gate([]).may_want(INSERT, b"I")
