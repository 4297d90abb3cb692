"""The page on telemetry names the levels at which each event is logged, as the code has them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.processors import NAME_TO_LEVEL

from listener.observability.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `([a-z_.]+)` \| ([a-z, ]+) \|", re.MULTILINE)


def documented() -> dict[str, set[str]]:
    """The table of the page: the levels of each event."""
    table = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8").split("## Metrics")[0]
    return {name: set(levels.split(", ")) for name, levels in ROW.findall(table)}


def logged(source: str) -> Iterator[tuple[str, str]]:
    """The event and the level of each call `….warning(Event.X, …)`; whatever else names an event is a fault."""
    tree = ast.parse(source)
    levels = {
        id(node.args[0]): node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Event":
            if node.attr not in Event.__members__:
                continue  # a class of others with this name
            level = levels.get(id(node))
            assert level in NAME_TO_LEVEL, f"line {node.lineno}: {node.attr} is not the first argument of a log line"
            yield Event[node.attr].value, level


def test_the_page_names_the_levels_of_every_event():
    """One row an event; where the code logs it at two levels, the row names both."""
    used: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "listener").rglob("*.py"):
        for event, level in logged(path.read_text(encoding="utf-8")):
            used[event].add(level)
    assert documented() == used


@pytest.mark.parametrize(
    "source", ["log(Event.POLL_FAILED)", "log.bind(Event.POLL_FAILED)", "name = Event.POLL_FAILED"]
)
def test_an_event_whose_level_cannot_be_read_is_a_fault(source):
    """Otherwise the comparison would pass over it."""
    with pytest.raises(AssertionError, match="POLL_FAILED"):
        list(logged(source))
