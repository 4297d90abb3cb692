"""Formats values as Elixir's `inspect` does: the real server quotes clients' input in that form."""

from __future__ import annotations

from typing import Any

LINE_WIDTH = 80  # `inspect` breaks a list that does not fit


def inspect(value: Any) -> str:  # noqa: ANN401, PLR0911 - anything that JSON can carry, a line for each kind
    """Return `value` as Elixir writes it: nil, maps with =>, tuples in braces."""
    match value:
        case None:
            return "nil"
        case bool():
            return str(value).lower()
        case str():
            return _string(value)
        case dict():
            return "%{" + ", ".join(f"{inspect(key)} => {inspect(value[key])}" for key in sorted(value)) + "}"
        case tuple():
            return "{" + ", ".join(map(inspect, value)) + "}"
        case list():
            return "[" + ", ".join(map(inspect, value)) + "]"
        case _:
            return str(value)


def inspect_tuples(tuples: list[tuple[Any, ...]]) -> str:
    """Return a list of tuples, broken over lines when a member is longer than a line."""
    flat = inspect(tuples)
    if len(flat) <= LINE_WIDTH:
        return flat
    return "[\n" + ",\n".join("  " + _folded(each) for each in tuples) + "\n]"


def _folded(members: tuple[Any, ...]) -> str:
    lines, line = [], "{"
    for index, member in enumerate(members):
        text = inspect(member) + ("}" if index == len(members) - 1 else ",")
        fits = len(line) + len(text) + 3 <= LINE_WIDTH or line == "{"
        if fits:
            line += text if line == "{" else f" {text}"
        else:
            lines.append(line)
            line = f"   {text}"
    return "\n".join([*lines, line])


def _string(value: str) -> str:
    escaped = (
        value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("#{", "\\#{")
    )
    return f'"{escaped}"'
