"""Bindings of postgres_changes are read as the real server reads them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.local.realtime.bindings import BindingError, Filter, parse


def filters(text: str) -> tuple[Filter, ...]:
    """Parse a filter of some table."""
    return parse({"schema": "s", "table": "t", "filter": text}).filters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("  ", ()),
        ("a=eq.1", (Filter("a", "eq", "1"),)),
        ("a=eq.", (Filter("a", "eq", ""),)),
        ("a=eq.x=y.z", (Filter("a", "eq", "x=y.z"),)),
        ("a=not.like.x%", (Filter("a", "like", "x%", negated=True),)),
        ("a=gt.0,b=lt.3", (Filter("a", "gt", "0"), Filter("b", "lt", "3"))),
        ('a=in.(x,"y,z"),b=is.null', (Filter("a", "in", '{x,"y,z"}'), Filter("b", "is", "null"))),
        ('a=eq."x,y"', (Filter("a", "eq", "x,y"),)),
        (r'a=eq."x\"y"', (Filter("a", "eq", 'x"y'),)),
        ('a=eq.x"y', (Filter("a", "eq", 'x"y'),)),
    ],
)
def test_filters_are_split_and_unquoted(text: str, expected: tuple[Filter, ...]) -> None:
    """Commas separate unless they are quoted or in parentheses."""
    assert filters(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("status=foo.x", '["foo", "x"]'),
        ("undefined", '["undefined"]'),
        ("a=eq", '["eq"]'),
        ("id=in.1,2", "`in` filter value must be wrapped by parentheses"),
        ("id=eq.1,", "filter must not contain empty segments (check for extra commas)"),
    ],
)
def test_bad_filters_are_refused_in_the_real_servers_words(text: str, reason: str) -> None:
    """The words end up in a system frame."""
    with pytest.raises(BindingError) as fault:
        filters(text)
    assert str(fault.value) == f"Error parsing `filter` params: {reason}"


@pytest.mark.parametrize(
    ("params", "schema", "table"),
    [({"schema": "x"}, "x", "*"), ({"table": "y"}, "public", "y"), ({"schema": "*"}, "*", "*")],
)
def test_what_is_not_named_has_a_default(params: dict[str, Any], schema: str, table: str) -> None:
    """A schema alone is all of its tables; a table alone is one of public."""
    assert (parse(params).schema, parse(params).table) == (schema, table)


@pytest.mark.parametrize(
    "params", [{}, {"schema": None}, {"schema": "s", "filter": "a=eq.1"}, {"schema": "s", "table": 1}]
)
def test_a_binding_names_a_schema_or_a_table(params: dict[str, Any]) -> None:
    """Anything else is refused, quoting what was given."""
    with pytest.raises(BindingError, match="Please provide at least a `schema` or `table`"):
        parse(params)


@given(st.text())
def test_no_filter_text_breaks_the_parser(text: str) -> None:
    """It is parsed or refused."""
    try:
        filters(text)
    except BindingError:
        return
