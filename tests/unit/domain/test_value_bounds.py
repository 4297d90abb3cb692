"""A value of a handler is measured before it is converted, and no more of it is looked at than is needed."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from listener.domain.value_bounds import MAX_PARTS, is_too_large, sample

MOST = 1000


@dataclass
class Rows:
    """A dataclass around anything."""

    rows: Any


class Model(BaseModel):
    """A model around anything, with a field that is not for others."""

    rows: Any = None
    hidden: str = Field(default="secret", exclude=True)
    password: SecretStr = SecretStr("secret")


def doubled(levels: int) -> Any:
    """Give a few lists that are as JSON 2 to the power of `levels` numbers."""
    value: Any = [1]
    for _ in range(levels):
        value = [value, value]
    return value


class Unread(list[Any]):
    """Raises where somebody looks at its items."""

    def __iter__(self) -> Any:
        raise AssertionError


@pytest.mark.parametrize(
    "value",
    [
        [0] * (MAX_PARTS + 1),
        deque([0] * (MAX_PARTS + 1)),
        dict.fromkeys(range(MAX_PARTS + 1), 0),
        [{"k": number} for number in range(MAX_PARTS // 2 + 1)],
        Rows([0] * MAX_PARTS),
        Model(rows=[0] * MAX_PARTS),
        [Rows(0)] * (MAX_PARTS // 2),
        doubled(60),
        Unread([0] * (MAX_PARTS + 1)),
        "x" * (MOST + 1),
        ["x" * (MOST // 2 + 1)] * 2,
        {"x" * (MOST + 1): 0},
        {"x" * (MOST + 1): 0, 1: 1},
        b"x" * (MOST + 1),
        [2**10_000],
    ],
    ids=[
        "list", "deque", "dict", "objects", "dataclass", "model", "dataclasses", "doubled", "unread", "text", "texts",
        "key", "keys of two types", "bytes", "digits",
    ],
)  # fmt: skip
def test_what_has_too_many_parts_or_characters_is_too_large(value):
    """However it is made up, and without a look at all of it."""
    assert is_too_large(value, MOST)


@pytest.mark.parametrize(
    "value",
    [None, True, 1.5, 2**63, "x" * MOST, [0] * MAX_PARTS, {"a": [Rows(Model())]}, {1: "x"}, object()],
    ids=["none", "true", "float", "int", "text", "list", "nested", "number as key", "object"],
)
def test_what_is_within_the_bounds_is_not(value):
    """The bounds themselves are allowed."""
    assert not is_too_large(value, MOST)


@pytest.mark.parametrize(
    "value", [itertools.count(), [{"a": iter([])}], Rows(map(str, [1]))], ids=["it", "in", "field"]
)
def test_an_iterator_is_refused_without_a_step(value):
    """It may have no end."""
    with pytest.raises(TypeError, match="has no end that could be known"):
        is_too_large(value, MOST)


def test_an_integer_of_a_million_digits_is_refused():
    """Its text takes time in proportion to their square."""
    with pytest.raises(ValueError, match="too many digits"):
        is_too_large({"n": 1 << 4_000_000}, MOST)


def test_a_sample_is_the_beginning():
    """Depth first, as JSON is written; the rest is left out."""
    rows = [{"k": number, "text": "x" * 5000} for number in range(100)]
    shown = sample({"rows": rows, "more": 1}, 3000)
    assert shown["rows"][0] == {"k": 0, "text": "x" * 1024}
    assert len(shown["rows"]) < 5


def test_a_sample_shows_no_field_of_a_model():
    """Its own serializer may hide some."""
    assert "secret" not in str(sample([Model(), Rows("secret")], 1000))


def test_what_contains_itself_has_no_sample():
    """Nor what is nested without an end in sight."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="contains itself"):
        sample({"a": endless}, 1000)
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        sample(deep, 1000)
